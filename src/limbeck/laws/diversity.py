"""How diverse a family of configurations is: the whole curve H(r), its dimension, and two measures that need no radius.

The covering number at one radius is an arbitrary cut; the curve shows how much of H is a matter of r.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.stats import norm

from limbeck.laws.covers import Cover, Floats, checked_distances, cover, farthest_order, packing
from limbeck.streams import numpy_stream

DRAWS = 4000
RADII = 24


@dataclass(frozen=True)
class EntropyCurve:
    """Covers of one family at falling radii, each with its certificate."""

    covers: tuple[Cover, ...]

    @property
    def radii(self) -> Floats:
        return np.array([one.radius for one in self.covers])

    @property
    def entropy(self) -> Floats:
        """H(r) = log N(r), or its upper bound where no exact cover is known, in nats."""
        return np.array([one.entropy for one in self.covers])

    def at(self, radius: float) -> Cover:
        """The cover measured at the radius nearest to one asked for, on a log scale."""
        return min(self.covers, key=lambda one: abs(math.log(max(one.radius, 1e-300) / max(radius, 1e-300))))

    @property
    def dimension(self) -> float | None:
        """Metric dimension: the slope of H on log(1 / r) where N is neither 1 nor the largest. None for too few N."""
        most = max(len(one.centres) for one in self.covers)
        inside = [one for one in self.covers if 1 < len(one.centres) < most and one.radius > 0]
        if len({len(one.centres) for one in inside}) < 3:
            return None
        x = -np.log([one.radius for one in inside])
        return float(np.polyfit(x, [one.entropy for one in inside], 1)[0])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"covers": [one.to_dict() for one in self.covers], "dimension": self.dimension}


def entropy_curve(distances: ArrayLike, radii: Sequence[float] = (), *, least: float = 0.0) -> EntropyCurve:
    """Covers at given radii, or at `RADII` between the largest distance and the larger of `least` and the smallest."""
    d = checked_distances(distances)
    if not len(radii):
        positive = d[d > 0]
        if not positive.size:
            return EntropyCurve((cover(d, 0.0),))
        low = max(least, float(positive.min()))
        radii = [float(r) for r in np.geomspace(float(d.max()), min(low, float(d.max())), RADII)]
    return EntropyCurve(tuple(cover(d, radius) for radius in radii))


def vendi_number(distances: ArrayLike) -> float:
    """The effective number of distinct members, `exp(entropy of the eigenvalues of K / M)`, with `K = 1 - d^2 / 2`.

    Distances are scaled so that the farthest pair is unrelated (K = 0); eigenvalues below 0, which only distances that
    are no Euclidean ones have, count as 0. Friedman & Dieng 2023.
    """
    d = checked_distances(distances)
    if d.max() == 0:
        return 1.0
    kernel = 1 - (d / d.max()) ** 2
    values = np.clip(np.linalg.eigvalsh(kernel / len(d)), 0, None)
    values = values[values > 1e-12] / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def gaussian_width(distances: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> float:
    """`w = E max_a g_a` of the centred Gaussian process with `E (g_a - g_b)^2 = d(a, b)^2`, by `draws` of it.

    The covariance is the doubly centred `-d^2 / 2`, without its negative eigenvalues. A part common to all members
    would change no expected maximum, since it has mean 0. The error is about `w / sqrt(2 draws)`.
    """
    d = checked_distances(distances)
    factor = gaussian_factor(d)
    g = numpy_stream(seed, "gaussian width").standard_normal((draws // 2, factor.shape[1])) @ factor.T
    return float((g.max(1) - g.min(1)).mean() / 2)  # g and -g: antithetic draws


def gaussian_factor(distances: Floats) -> Floats:
    """F with `F F^T` the covariance of that process: (members, members)."""
    m = len(distances)
    centring = np.eye(m) - 1 / m
    values, vectors = np.linalg.eigh(-centring @ (distances**2) @ centring / 2)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


@cache
def largest_of(count: int) -> float:
    """The expected largest of `count` independent standard normal numbers."""
    if count < 2:
        return 0.0
    density: Callable[[float], float] = lambda x: x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1)  # noqa: E731
    return float(quad(density, -10, 10, points=[0.0, math.sqrt(2 * math.log(count))], limit=200)[0])


@dataclass(frozen=True)
class Sandwich:
    """The width of a family between what its packings force and what its covers allow."""

    sudakov: float
    width: float
    dudley: float

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return dict(vars(self))


def sandwich(distances: ArrayLike, *, seed: int = 0) -> Sandwich:
    """`max_r (r / sqrt 2) e(P(r)) <= w <= chain of covers`, with e(n) the expected largest of n normal numbers.

    Below: members of an r-packing are at least r apart, so their maximum is at least that of independent numbers of
    variance r^2 / 2 (Sudakov 1971, Fernique 1975). Above: chaining along covers of radii `D q^-j`, where an increment
    between levels has at most the sum of their radii for a standard deviation and is one of at most
    `min(N_j N_(j-1), M)` (Dudley 1967), at the best q of a few.
    """
    factor = gaussian_factor(checked_distances(distances))
    d = np.linalg.norm(factor[:, None] - factor[None], axis=2)  # the process's own, where d is no Euclidean distance
    d[d < 1e-9 * max(float(d.max()), 1e-300)] = 0.0
    radii = np.unique(d[d > 0])
    if not radii.size:
        return Sandwich(0.0, 0.0, 0.0)
    tried = [float(radii[0]) * (1 - 1e-9), *(float(r) * (1 - 1e-9) for r in np.quantile(radii, np.linspace(0, 1, 40)))]
    below = max(r / math.sqrt(2) * largest_of(len(packing(d, r))) for r in tried)
    return Sandwich(below, gaussian_width(d, seed=seed), min(_chain(d, ratio) for ratio in (2.0, 3.0, 4.0, 8.0, 1e9)))


def _chain(d: Floats, ratio: float) -> float:
    """`sum_j (r_j + r_(j-1)) sqrt(2 log n_j)`, n_j increments at most, from one centre down to all members."""
    order, smallest = farthest_order(d), float(d[d > 0].min())
    radius = float(order.radii[0])
    count, total = 1, 0.0
    while radius > 0:
        finer = radius / ratio
        if finer < smallest:
            finer = 0.0
        members = len(order.centres(finer))
        if finer == 0.0:
            members = len(d)
        total += (radius + finer) * math.sqrt(2 * math.log(min(members * count, len(d))))
        radius, count = finer, members
    return total


@dataclass(frozen=True)
class Radius:
    """The radius at which the bound `c sqrt(H(r) / k) + L r` is smallest, and the bound's two parts there."""

    radius: float
    entropy: float
    fluctuation: float
    slack: float

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return dict(vars(self))


def best_radius(curve: EntropyCurve, k: float, constant: float, lipschitz: float, *, noise: float = 0.0) -> Radius:
    """r* among the curve's radii that are at least `noise` (all, where none is): below it, a cover counts noise."""
    able = [one for one in curve.covers if one.radius >= noise] or [max(curve.covers, key=lambda one: one.radius)]
    options = [
        Radius(one.radius, one.entropy, constant * math.sqrt(one.entropy / k), lipschitz * one.radius) for one in able
    ]
    return min(options, key=lambda one: one.fluctuation + one.slack)
