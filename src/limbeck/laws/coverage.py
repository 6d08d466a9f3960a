"""The coverage law: the worst gap of a family grows with its diversity H, not with the number of its members.

    worst(A, k) = F_A + (c0 + c1 sqrt(H(A, r))) k^-alpha,    alpha = 1/2 in the theory,

where c0 is there for a family of one (H = 0) and floors belong to configurations: one that never trains well has a
floor of its own, which no k removes and which says nothing about coverage. So the law is fitted to the worst excess
over own floors, with the worst gap itself and the configuration that sets it beside.

Families share configurations, so residuals depend on each other and no p-value of least squares holds. Inference is by
permuting the configurations' labels in the matrix of distances, which keeps the size of every family and hence tests
diversity beyond log M, and by a jackknife that leaves out one group of near-duplicates at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import BadData
from limbeck.laws.covers import EXACT_LIMIT, Floats, Integers, cover, greedy_counts, greedy_cover
from limbeck.laws.curves import Curves, fit_curves
from limbeck.laws.diversity import gaussian_width, vendi_number
from limbeck.laws.estimate import Estimate
from limbeck.laws.subfamilies import Family, masks, stratified
from limbeck.laws.worst import Runs, Worst, worst_gaps
from limbeck.streams import numpy_stream

MEASURES = ("log M", "H", "log Vendi", "width^2")
WIDTH_DRAWS = 1000
HALVINGS = 6


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


@dataclass(frozen=True)
class MeasureFit:
    """How well one measure of a family explains its amplitude: `amplitude = c0 + c1 sqrt(measure)`."""

    measure: str
    constant: float
    slope: Estimate
    explained: float  # R2 over families
    aicc: float
    held_out: float | None  # R2 in the other half of the pool, mean over halvings; None: too few configurations

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "slope": self.slope.to_dict()}


@dataclass(frozen=True)
class CoverageFit:
    """The law fitted to the families of a pool."""

    exponent: float
    floors: Floats  # (configurations,)
    worst: Worst  # gaps
    excess: Worst  # excesses over own floors
    amplitude: Floats  # (families,) of k^-alpha in the worst excess
    measured: dict[str, Floats]  # measure -> (families,)
    fits: tuple[MeasureFit, ...]
    c0: float
    c1: Estimate
    explained: float  # R2 of the whole law over families and k
    permutation_p: float  # of H beyond log M
    permutations: int
    naive_slope: float  # of the naive worst gap on sqrt(log M), at the middle k, for comparison
    split_slope: float


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


def fit_coverage(
    pool: Pool,
    *,
    exponent: float | None = 0.5,
    permutations: int = 499,
    halves: bool = True,
    seed: int = 0,
) -> CoverageFit:
    """Fit the law to the worst excess of the pool's families; `exponent` None leaves it free, common to all.

    `halves` checks every measure on families of the other half of the pool, which costs more than all the rest.
    Raises `BadData` for fewer than 8 families.
    """
    if len(pool.families) < 8:
        raise BadData(
            f"{len(pool.families)} families are too few to fit a law to. Use a pool of 8 configurations or more."
        )
    floors = own_floors(pool.runs, exponent)
    own, alpha = floors.curves.floor, floors.exponent
    worst = worst_gaps(pool.runs, pool.masks)
    excess = worst_gaps(pool.runs, pool.masks, floors=own)
    amplitude = amplitudes(excess.mean, pool.runs.k, floors.weights, alpha)
    measured = diversities(pool.distances, pool.families, pool.radius)
    held_out = _held_out(pool, floors, seed) if halves else {}
    fits = tuple(_measure_fit(name, pool, floors, amplitude, measured[name], held_out.get(name)) for name in MEASURES)
    c0, c1 = line(np.sqrt(measured["H"]), amplitude)
    predicted = (c0 + c1 * np.sqrt(measured["H"]))[:, None] * pool.runs.k**-alpha
    p = permutation_p(pool, amplitude, permutations=permutations, seed=seed)
    slope = next(one.slope for one in fits if one.measure == "H")
    middle = len(pool.runs.k) // 2
    root = np.sqrt(measured["log M"])
    return CoverageFit(
        exponent=alpha,
        floors=own,
        worst=worst,
        excess=excess,
        amplitude=amplitude,
        measured=measured,
        fits=fits,
        c0=c0,
        c1=slope,
        explained=_explained(excess.mean, predicted),
        permutation_p=p,
        permutations=permutations,
        naive_slope=line(root, worst.naive[:, middle])[1],
        split_slope=line(root, worst.mean[:, middle])[1],
    )


def amplitudes(excess: Floats, k: Floats, weights: Floats, exponent: float) -> Floats:
    """The s of `excess(k) = s k^-alpha` for each family (families, levels), by weighted least squares through 0."""
    x = k**-exponent
    return np.asarray((excess * weights) @ x / (weights @ x**2))


def permutation_p(pool: Pool, amplitude: Floats, *, permutations: int = 499, seed: int = 0) -> float:
    """How often distances with permuted labels explain amplitudes beyond log M as well as the true ones.

    The statistic is the partial correlation of the amplitude with sqrt(H) given sqrt(log M), H by greedy covers, one
    value a family; families keep their members, only the distances between them are another's.
    """
    sizes = np.array([one.size for one in pool.families])
    random = numpy_stream(seed, "coverage permutations")
    m = len(pool.distances)
    orders = np.stack([np.arange(m), *(random.permutation(m) for _ in range(permutations))])  # (1 + permutations, m)
    entropy = np.empty((len(orders), len(sizes)))
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        members = np.array([pool.families[row].members for row in rows])  # (families, size)
        moved = orders[:, members].reshape(-1, size)
        counts = _counts(pool.distances, moved, pool.radius)
        entropy[:, rows] = np.log(counts).reshape(len(orders), len(rows))
    control = np.stack([np.ones(len(sizes)), np.sqrt(np.log(sizes))], 1)
    projector = np.eye(len(sizes)) - control @ np.linalg.pinv(control)
    y = projector @ amplitude
    x = np.sqrt(entropy) @ projector
    length = np.sqrt((x**2).sum(1))
    found = np.where(length > 1e-9, x @ y / np.maximum(length, 1e-9), 0.0)
    return float((1 + np.sum(found[1:] >= found[0] - 1e-12)) / (1 + permutations))


def _counts(distances: Floats, members: Integers, radius: float, chunk: int = 4000) -> Integers:
    parts = [greedy_counts(distances, members[i : i + chunk], radius) for i in range(0, len(members), chunk)]
    return np.concatenate([np.asarray(part) for part in parts])


def jackknife(pool: Pool, statistic: Callable[[Pool], float]) -> tuple[float, int]:
    """Standard error of a statistic of the pool, leaving out one group of near-duplicates at a time, and the groups.

    Groups are the members nearest to each centre of a cover at the pool's radius: leaving out single configurations
    would leave their duplicates in, and understate the error.
    """
    centres = greedy_cover(pool.distances, pool.radius)
    group = np.argmin(pool.distances[centres], axis=0)
    values = []
    for label in range(len(centres)):
        left = pool.without(np.flatnonzero(group == label).tolist())
        if len(left.families) >= 4:
            values.append(statistic(left))
    kept = np.array([value for value in values if math.isfinite(value)])
    n = len(kept)
    return (float(np.sqrt((n - 1) / n * np.sum((kept - kept.mean()) ** 2))), n) if n > 2 else (math.nan, n)


def _measure_fit(
    name: str, pool: Pool, floors: Floors, amplitude: Floats, values: Floats, held_out: float | None
) -> MeasureFit:
    x = np.sqrt(values)
    c0, c1 = line(x, amplitude)
    residual = float(np.sum((amplitude - c0 - c1 * x) ** 2))
    n = len(amplitude)
    aicc = n * math.log(max(residual, 1e-300) / n) + 6 + 24 / (n - 4)

    def slope(left: Pool) -> float:
        values = np.log([float(one.size) for one in left.families]) if name == "log M" else greedy_entropy(left)
        return line(np.sqrt(values), excess_amplitudes(left, floors))[1]

    error, _ = jackknife(pool, slope) if name in ("log M", "H") else (math.nan, 0)
    interval = Estimate.of(c1, c1 - 1.96 * error, c1 + 1.96 * error)
    return MeasureFit(name, c0, interval, _explained(amplitude, c0 + c1 * x), aicc, held_out)


def greedy_entropy(pool: Pool) -> Floats:
    """H of every family by greedy covers, all families of one size at once: (families,)."""
    sizes = np.array([one.size for one in pool.families])
    entropy = np.empty(len(sizes))
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        members = np.array([pool.families[row].members for row in rows])
        entropy[rows] = np.log(_counts(pool.distances, members, pool.radius))
    return entropy


def excess_amplitudes(pool: Pool, floors: Floors) -> Floats:
    """The amplitude of every family's worst excess over own floors: (families,)."""
    excess = worst_gaps(pool.runs, pool.masks, floors=floors.curves.floor)
    return amplitudes(excess.mean, pool.runs.k, floors.weights, floors.exponent)


def _held_out(pool: Pool, floors: Floors, seed: int) -> dict[str, float]:
    """Predictive R2 of each measure: the line of families of one random half of the pool, on those of the other half.

    The baseline is the mean amplitude of the half that the line was fitted to; the median over halvings. Empty for
    fewer than 16 configurations.
    """
    m = len(pool.distances)
    if m < 16:
        return {}
    random = numpy_stream(seed, "coverage halves")
    scores: dict[str, list[float]] = {name: [] for name in MEASURES}
    for turn in range(HALVINGS):
        order = random.permutation(m)
        halves = []
        for half in (order[: m // 2], order[m // 2 :]):
            block = pool.distances[np.ix_(half, half)]
            sizes = sorted({2, 4, m // 4, m // 2 - 1})
            drawn = stratified(block, sizes, each=8, radius=pool.radius, seed=seed + turn)
            there = tuple(Family(one.name, tuple(int(half[i]) for i in one.members)) for one in drawn)
            own = replace(pool, families=there)
            measured = diversities(pool.distances, there, pool.radius, exact=False)
            halves.append((measured, excess_amplitudes(own, floors)))
        for (x, y), (x_out, y_out) in (halves, halves[::-1]):
            for name, found in scores.items():
                c0, c1 = line(np.sqrt(x[name]), y)
                misfit = np.sum((y_out - c0 - c1 * np.sqrt(x_out[name])) ** 2)
                found.append(float(1 - misfit / np.sum((y_out - y.mean()) ** 2)))
    return {name: float(np.median(found)) for name, found in scores.items()}


def line(x: Floats, y: Floats) -> tuple[float, float]:
    """Intercept and slope of least squares; a flat line where x does not vary."""
    centred = x - x.mean()
    squares = float(centred @ centred)
    slope = float(centred @ y) / squares if squares > 1e-12 else 0.0
    return float(y.mean() - slope * x.mean()), slope


def _explained(y: Floats, predicted: Floats) -> float:
    total = float(np.sum((y - y.mean()) ** 2))
    return float(1 - np.sum((y - predicted) ** 2) / total) if total > 0 else 0.0
