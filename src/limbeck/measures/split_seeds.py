"""Distances between what several seeds show of configurations, without the part that is only noise of the seeds.

Let x_ai be what seed i shows of configuration a (predictions, gaps, a kernel), and `m_a` its mean over all seeds. The
plain distance of two averages never is 0, even between duplicates, as `E |x_a - x_b|^2` holds the noise of both. Inner
products of *different* seeds hold none:

    |m_a - m_b|^2 = mean_{i != j} <x_ai, x_aj> + mean_{i != j} <x_bi, x_bj> - 2 mean_{i, j} <x_ai, x_bj>

without bias (the U-statistic of a two-sample comparison, Gretton et al. 2012, lemma 6), provided that seeds are
independent between configurations too. It can come out negative, which says no more than "near 0".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limbeck.errors import BadData, UnknownName, nearest

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DistanceMatrix:
    """Distances between configurations, with what is known of their error."""

    kind: str
    names: tuple[str, ...]
    value: Floats  # (configurations, configurations), 0 on the diagonal
    se: Floats  # (configurations, configurations), standard errors; NaN where too few seeds tell
    noise: (
        float  # q95 of what two groups of seeds of one and the same configuration are apart; 0 where nothing is drawn
    )

    def distance(self, one: str, other: str) -> tuple[float, float]:
        """The distance of two configurations, and its standard error. Raises `UnknownName`."""
        places = [self.place(name) for name in (one, other)]
        return float(self.value[places[0], places[1]]), float(self.se[places[0], places[1]])

    def place(self, name: str) -> int:
        """The row of a configuration. Raises `UnknownName`."""
        if name not in self.names:
            raise UnknownName(f"'{name}' is not among the configurations measured. {nearest(name, self.names)}")
        return self.names.index(name)

    def among(self, names: Sequence[str]) -> DistanceMatrix:
        """The part of the matrix that some configurations make, in their order."""
        rows = np.array([self.place(name) for name in names])
        return DistanceMatrix(
            self.kind, tuple(names), self.value[np.ix_(rows, rows)], self.se[np.ix_(rows, rows)], self.noise
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for an unknown error."""
        se = [[None if math.isnan(one) else one for one in row] for row in self.se.tolist()]
        about = {"kind": self.kind, "names": list(self.names), "noise": self.noise}
        return {**about, "value": self.value.tolist(), "se": se}

    @classmethod
    def read(cls, held: dict[str, Any]) -> DistanceMatrix:
        """From `to_dict`."""
        se = np.array([[np.nan if one is None else one for one in row] for row in held["se"]], float)
        return cls(held["kind"], tuple(held["names"]), np.array(held["value"], float), se, float(held["noise"]))


def split_seed_distances(
    kind: str, names: Sequence[str], features: ArrayLike, *, angular: bool = False
) -> DistanceMatrix:
    """Distances of the mean features of configurations, debiased as above; features (configurations, seeds, dims).

    `d = |m_a - m_b|`, or, where `angular`, `d = sqrt(2 - 2 cos(m_a, m_b))`, with inner products of different seeds in
    the cosine too: then the length of the features says nothing. Estimates below 0 count as 0. Errors are a jackknife
    that leaves out one seed of one configuration at a time; they need three seeds. `noise` is the 95 % quantile of
    the same estimate between two disjoint halves of the seeds of one configuration, scaled to all seeds; it needs
    four seeds, and with fewer is worked out from how two seeds differ.

    Raises `BadData` for fewer than two seeds or numbers that are not finite.
    """
    x = np.asarray(features, float)
    if x.ndim != 3 or x.shape[0] != len(names) or not np.isfinite(x).all():
        raise BadData(f"features must be finite, (configurations, seeds, dims); theirs is {x.shape}.")
    m, s, dims = x.shape
    if s < 2:
        raise BadData("distances without the noise of seeds need at least 2 trainings of every configuration.")
    flat = x.reshape(m * s, dims)
    products = (flat @ flat.T).reshape(m, s, m, s)
    squared = _squared(products, np.ones((m, s)), np.ones((m, s)), angular)
    value = np.sqrt(np.maximum(squared, 0))
    np.fill_diagonal(value, 0)
    return DistanceMatrix(kind, tuple(names), value, _errors(products, value, angular), _noise(products, angular))


def _squared(products: Floats, left: Floats, right: Floats, angular: bool) -> Floats:
    """Squared distances, seeds of the first and of the second member weighted 0 or 1 (configurations, seeds)."""
    own_left, own_right = _own(products, left), _own(products, right)
    pairs = np.einsum("ai,aibj,bj->ab", left, products, right) / np.outer(left.sum(1), right.sum(1))
    if not angular:
        return np.asarray(own_left[:, None] + own_right[None, :] - 2 * pairs)
    scale = np.sqrt(np.maximum(own_left, 0)[:, None] * np.maximum(own_right, 0)[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(scale > 0, pairs / scale, 0.0)  # no direction that seeds share: as far as unrelated ones
    return np.asarray(2 - 2 * np.clip(cosine, -1, None))


def _own(products: Floats, seeds: Floats) -> Floats:
    """Mean inner product of different seeds of one configuration: (configurations,)."""
    own = np.einsum("aiaj->aij", products)
    both = seeds[:, :, None] * seeds[:, None, :] * (1 - np.eye(seeds.shape[1]))
    return np.asarray((own * both).sum((1, 2)) / both.sum((1, 2)))


def _errors(products: Floats, value: Floats, angular: bool) -> Floats:
    """Standard errors of distances: `se(d) = se(d^2) / 2d`, and `sqrt(se(d^2))` where the distance is within noise."""
    m, s = products.shape[:2]
    if s < 3:
        return np.full((m, m), np.nan)
    everyone = np.ones((m, s))
    left_out = []
    for seed in range(s):
        without = everyone.copy()
        without[:, seed] = 0
        left_out.append(_squared(products, without, everyone, angular))
    spread = np.var(np.stack(left_out), axis=0) * (s - 1)  # the first member's seeds; the transpose is the second's
    se = np.sqrt(spread + spread.T)
    errors = np.minimum(np.sqrt(se), se / np.maximum(2 * value, 1e-12))
    np.fill_diagonal(errors, 0)
    return np.asarray(errors)


def _noise(products: Floats, angular: bool) -> float:
    m, s = products.shape[:2]
    own = np.einsum("aiaj->aij", products)
    if s < 4:
        return _noise_of_few(products, own, angular)
    half, squares = s // 2, []
    for chosen in combinations(range(s), half):
        rest = [seed for seed in range(s) if seed not in chosen][:half]
        left, right = np.zeros((m, s)), np.zeros((m, s))
        left[:, list(chosen)], right[:, rest] = 1, 1
        # seeds of one configuration, so its own block stands in for the products of two
        squares.append(np.diag(_squared(products, left, right, angular)))
    return float(np.quantile(np.sqrt(np.maximum(squares, 0) * half / s), 0.95))


def _noise_of_few(products: Floats, own: Floats, angular: bool) -> float:
    """The same for two or three seeds, from the spread of what seeds differ by, pooled over configurations.

    Under equality the squared distance has variance `tr(C^2) (4 / s(s - 1) + 4 / s^2)`, C the covariance of one seed;
    differences of two seeds, D_a, of different configurations give `E <D_a, D_b>^2 = 4 tr(C^2)`. q95 is the normal one.
    """
    m, s = own.shape[:2]
    between = products[:, 0, :, 0] - products[:, 0, :, 1] - products[:, 1, :, 0] + products[:, 1, :, 1]
    if angular:
        length = np.sqrt(np.mean([own[:, i, i] for i in range(s)], axis=0))
        between = between / np.outer(length, length)
    spread = float((between[~np.eye(m, dtype=bool)] ** 2).mean()) / 4 if m > 1 else 0.0
    variance = spread * (4 / (s * (s - 1)) + 4 / s**2)
    return math.sqrt(1.645 * math.sqrt(variance))
