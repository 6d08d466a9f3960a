"""Whether a distance between configurations says anything about their gaps: permutation tests and Lipschitz quantiles.

Pairs of configurations share members, so pairs are not independent and no p-value of a regression holds. Mantel's test
permutes the configurations' labels of one matrix instead (Mantel 1967); the partial one holds a third matrix fixed
(Smouse, Long & Sokal 1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from limbeck.errors import BadData
from limbeck.laws.covers import Floats, checked_distances
from limbeck.streams import numpy_stream

PERMUTATIONS = 999


@dataclass(frozen=True)
class MatrixCorrelation:
    """A correlation of two matrices over all pairs, and how often permuted labels give one as large."""

    r: float
    p_value: float
    permutations: int

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return dict(vars(self))


def mantel(
    distances: ArrayLike,
    differences: ArrayLike,
    control: ArrayLike | None = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> MatrixCorrelation:
    """Correlation of `distances` with `differences` over pairs, partial on `control` where given; one-sided p.

    `p = (1 + number of permutations with r at least as large) / (1 + permutations)`, labels of `differences` permuted.
    Raises `BadData` for fewer than four configurations or a matrix without spread.
    """
    d, e = checked_distances(distances), checked_distances(differences)
    upper = np.triu_indices(len(d), 1)
    held = None if control is None else checked_distances(control)[upper]
    if len(d) < 4 or d.shape != e.shape or (held is not None and len(held) != len(upper[0])):
        raise BadData("matrices of one size, of four configurations or more, are needed to correlate them.")
    if np.ptp(d[upper]) == 0 or np.ptp(e[upper]) == 0:
        raise BadData("a matrix whose pairs all are equal has no correlation. Measure more configurations.")
    x = _residual(d[upper], held)
    random = numpy_stream(seed, "mantel")
    orders = [np.arange(len(d)), *(random.permutation(len(d)) for _ in range(permutations))]
    found = np.array([_correlation(x, _residual(e[np.ix_(order, order)][upper], held)) for order in orders])
    extreme = int(np.sum(found[1:] >= found[0] - 1e-12))
    return MatrixCorrelation(float(found[0]), (1 + extreme) / (1 + permutations), permutations)


def _residual(values: Floats, held: Floats | None) -> Floats:
    """What a straight line in `held` leaves of the values, centred."""
    centred = values - values.mean()
    if held is None or np.ptp(held) == 0:
        return np.asarray(centred)
    other = held - held.mean()
    left = centred - other * (other @ centred) / (other @ other)
    return np.asarray(left if left @ left > 1e-18 * (centred @ centred) else np.zeros_like(left))


def _correlation(x: Floats, y: Floats) -> float:
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 1e-300 else 0.0


@dataclass(frozen=True)
class Lipschitz:
    """L95 = q95 of `|gap_a - gap_b| / d(a, b)`, measured on some sets, and how it holds on others."""

    value: float
    held_out: float  # share of pairs and sets held out that L95 d(a, b) bounds; 0.95 is what it promises
    radius: float  # the radius at which a quarter as many centres as configurations cover the family
    slack: float  # L95 times that radius, in units of the gap: smaller is better, whatever the units of d
    pairs: int

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return dict(vars(self))


def lipschitz_quantile(
    distances: ArrayLike, measured: Floats, held_out: Floats, radius: float, *, least: float = 0.0
) -> Lipschitz:
    """L95 over pairs farther apart than `least`, from gaps `measured` and checked on `held_out` (configurations, sets).

    Noise of the gaps widens the ratio most where d is small, so pairs within the distance's own noise are left out.
    Raises `BadData` where no pair is left.
    """
    d = checked_distances(distances)
    rows, columns = (place[d[np.triu_indices(len(d), 1)] > least] for place in np.triu_indices(len(d), 1))
    if not rows.size:
        raise BadData("no two configurations are farther apart than the noise of the distance.")
    apart = d[rows, columns][:, None]
    value = float(np.quantile(np.abs(measured[rows] - measured[columns]) / apart, 0.95))
    inside = np.abs(held_out[rows] - held_out[columns]) <= value * apart
    return Lipschitz(value, float(inside.mean()), float(radius), value * float(radius), len(rows))


def triangle_violations(distances: ArrayLike, tolerance: float = 1e-9) -> dict[str, Any]:
    """Share of ordered triples with `d(a, c) > d(a, b) + d(b, c)`, and the largest excess: 0 for a pseudo-metric."""
    d = checked_distances(distances)
    excess = d[:, None, :] - d[:, :, None] - d[None, :, :]  # (a, b, c)
    different = ~np.eye(len(d), dtype=bool)
    triples = different[:, :, None] & different[None] & different[:, None, :]
    count = int(triples.sum())
    broken = (excess > tolerance) & triples
    worst = float(excess[triples].max()) if count else 0.0
    return {"share": float(broken.sum() / count) if count else 0.0, "largest": max(worst, 0.0), "triples": count}
