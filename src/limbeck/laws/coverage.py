"""The coverage law: the worst gap of a family grows with its diversity H, not with the number of its members.

    worst(A, k) = F_A + (c0 + c1 sqrt(H(A, r))) k^-alpha,    alpha = 1/2 in the theory,

where c0 is there for a family of one (H = 0) and floors belong to configurations: one that never trains well has a
floor of its own, which no k removes and which says nothing about coverage. So the law is fitted to the worst excess
over own floors, with the worst gap itself and the configuration that sets it beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.errors import BadData
from limbeck.laws.coverage_inference import held_out, jackknife, permutation_p
from limbeck.laws.coverage_pool import (
    Floors,
    Pool,
    amplitudes,
    diversities,
    excess_amplitudes,
    greedy_entropy,
    line,
    own_floors,
)
from limbeck.laws.covers import Floats
from limbeck.laws.estimate import Estimate
from limbeck.laws.worst import Worst, worst_gaps

MEASURES = ("log M", "H", "log Vendi", "width^2")


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
    elsewhere = held_out(pool, floors, seed) if halves else {}
    fits = tuple(_measure_fit(name, pool, floors, amplitude, measured[name], elsewhere.get(name)) for name in MEASURES)
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


def _explained(y: Floats, predicted: Floats) -> float:
    total = float(np.sum((y - y.mean()) ** 2))
    return float(1 - np.sum((y - predicted) ** 2) / total) if total > 0 else 0.0
