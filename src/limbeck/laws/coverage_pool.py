"""A pool of configurations: the diversity of its families, and the amplitude of their worst excess over own floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from limbeck.laws.covers import EXACT_LIMIT, Floats, Integers, cover, greedy_counts
from limbeck.laws.curves import Curves, fit_curves
from limbeck.laws.diversity import gaussian_width, vendi_number
from limbeck.laws.subfamilies import Family, masks
from limbeck.laws.worst import Runs, worst_gaps

WIDTH_DRAWS = 1000


@dataclass(frozen=True)
class Pool:
    """A pool of configurations: its runs, its distances, and families of it."""

    runs: Runs
    distances: Floats  # (configurations, configurations), rows as in `runs`
    families: tuple[Family, ...]
    radius: float

    @property
    def masks(self) -> NDArray[np.bool_]:
        return masks(self.families, len(self.runs.names))

    def without(self, gone: Sequence[int]) -> Pool:
        """The pool with some configurations taken out of every family; families of fewer than two members go."""
        left = [Family(one.name, tuple(m for m in one.members if m not in gone)) for one in self.families]
        return replace(self, families=tuple(one for one in left if one.size > 1))


@dataclass(frozen=True)
class Floors:
    """The scaling law of every configuration with one exponent for all: floors, and what they are weighted by."""

    curves: Curves
    weights: Floats  # (levels,) inverse variances of the gaps

    @property
    def exponent(self) -> float:
        return float(self.curves.exponent[0])


def own_floors(runs: Runs, exponent: float | None = None) -> Floors:
    """Floors of all configurations, by least squares with one exponent for all, free where it is not given."""
    gap = runs.gap
    spread = gap.var(2, ddof=1).mean(0) / gap.shape[2] if gap.shape[2] > 1 else np.zeros(len(runs.k))
    variance = np.maximum(spread, runs.mean_variance)
    weights = 1 / np.maximum(variance, max(1e-3 * float(variance.max()), 1e-12))
    return Floors(fit_curves(gap.mean(2), runs.k, weights, exponent=exponent, common=True), weights)


def diversities(
    distances: Floats, families: Sequence[Family], radius: float, *, exact: bool = True
) -> dict[str, Floats]:
    """Four measures of every family: log M, H(radius) by smallest or greedy covers, log Vendi number, squared width."""
    blocks = [distances[np.ix_(one.members, one.members)] for one in families]
    return {
        "log M": np.log([float(one.size) for one in families]),
        "H": np.array([cover(block, radius, exact_limit=EXACT_LIMIT if exact else 0).entropy for block in blocks]),
        "log Vendi": np.log([vendi_number(block) for block in blocks]),
        "width^2": np.array([gaussian_width(block, draws=WIDTH_DRAWS) ** 2 for block in blocks]),
    }


def greedy_entropy(pool: Pool) -> Floats:
    """H of every family by greedy covers: (families,)."""
    return np.asarray(relabelled_entropy(pool, np.arange(len(pool.distances))[None])[0])


def relabelled_entropy(pool: Pool, orders: Integers) -> Floats:
    """`greedy_entropy` with the labels of distances in other orders (orders, configurations): (orders, families).

    All families of one size at once.
    """
    sizes = np.array([one.size for one in pool.families])
    entropy = np.empty((len(orders), len(sizes)))
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        members = np.array([pool.families[row].members for row in rows])  # (families, size)
        counts = _counts(pool.distances, orders[:, members].reshape(-1, size), pool.radius)
        entropy[:, rows] = np.log(counts).reshape(len(orders), len(rows))
    return entropy


def _counts(distances: Floats, members: Integers, radius: float, chunk: int = 4000) -> Integers:
    parts = [greedy_counts(distances, members[i : i + chunk], radius) for i in range(0, len(members), chunk)]
    return np.concatenate([np.asarray(part) for part in parts])


def excess_amplitudes(pool: Pool, floors: Floors) -> Floats:
    """The amplitude of every family's worst excess over own floors: (families,)."""
    excess = worst_gaps(pool.runs, pool.masks, floors=floors.curves.floor)
    return amplitudes(excess.mean, pool.runs.k, floors.weights, floors.exponent)


def amplitudes(excess: Floats, k: Floats, weights: Floats, exponent: float) -> Floats:
    """The s of `excess(k) = s k^-alpha` for each family (families, levels), by weighted least squares through 0."""
    x = k**-exponent
    return np.asarray((excess * weights) @ x / (weights @ x**2))


def line(x: Floats, y: Floats) -> tuple[float, float]:
    """Intercept and slope of least squares; a flat line where x does not vary."""
    centred = x - x.mean()
    squares = float(centred @ centred)
    slope = float(centred @ y) / squares if squares > 1e-12 else 0.0
    return float(y.mean() - slope * x.mean()), slope
