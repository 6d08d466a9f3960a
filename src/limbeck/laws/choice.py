"""Which method needs fewer samples: ratios of required k, with intervals, from what each method's law leaves open.

For one law the profile of log K is the least misfit of all laws, bent ones too, that pass through (K, target). Required
under each of several configurations is the largest of their K: raised by any one of them, lowered only by all, whose
sets are the same, so that their misfits are not added but the largest counts,

    Q(K) = min_a max(Q_a(K), max_(b != a) min_(K' <= K) Q_b(K')).

Of two methods, whose sets are drawn apart, the ratio r has the profile `min_K Q_1(r K) + Q_2(K)`. The error of the
reference is left out: under one configuration it shifts the gaps of all methods alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from limbeck.laws.bent_fit import BentFit
from limbeck.laws.decisions import REACH
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats, t_quantile
from limbeck.laws.multiplicity import holm
from limbeck.laws.profile import tail
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT
from limbeck.laws.scaling import ScalingFit
from limbeck.laws.surface import BEND_SD, Surface

STEP = 0.0125  # decades between values of K
DISTINCT = 0.05  # adjusted p below which two methods are told apart


@dataclass(frozen=True)
class Need:
    """The rise of the misfit over log10 K on an even grid from K = 1; the last node stands for all beyond."""

    rise: Floats  # (points,)
    df: float

    @property
    def best(self) -> int:
        """Where the misfit is least."""
        return int(np.argmin(self.rise))


@dataclass(frozen=True)
class Comparison:
    """How many times as many samples one method needs as another; p is of a ratio of 1, adjusted for all pairs."""

    method: str
    other: str
    ratio: Estimate
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "ratio": self.ratio.to_dict()}


def compared(fits: Mapping[str, Sequence[ScalingFit]], target: float, *, level: float = 0.95) -> list[Comparison]:
    """The first method's required k for a target gap against that of each other one.

    `fits` has each method's laws under the same configurations; where there are several, a method needs what it does
    under the worst. p is adjusted by Holm over all pairs of methods, as the first may have been chosen by its k. Empty
    for fewer than two methods.
    """
    reach = max((fit.largest_k for own in fits.values() for fit in own), default=1.0)
    grid = np.arange(0, math.log10(REACH * reach) + STEP, STEP)
    held = {name: required_under_each([need_of(fit, target, grid) for fit in own]) for name, own in fits.items()}
    pairs = list(combinations(held, 2))
    adjusted = dict(zip(pairs, holm([p_of_equal(held[a], held[b]) for a, b in pairs]), strict=True)) if pairs else {}
    return [
        Comparison(a, b, ratio_of(held[a], held[b], level), float(adjusted[a, b]))
        for a, b in pairs
        if a == next(iter(held))
    ]


def need_of(fit: ScalingFit, target: float, grid: Floats) -> Need:
    """The profile of one law's log10 K over a grid."""
    surface = Surface(replace(fit.raised, shift_variance=0.0), fit.level)
    exponents, bends = _laws(fit)
    target += fit.offset
    q, prior = surface.quadratic(exponents, bends), surface.of_bend(bends)
    free, floor, amplitude = q.minimum()
    falls = surface.falls(10**grid, exponents, bends).T  # (points, pairs)
    misfit = q.through(falls, target) + prior
    within = (
        floor + amplitude * falls[0] <= target,
        floor + amplitude * falls[-1] >= target,
    )  # reached by k = 1, or never
    misfit[0] = np.where(within[0], free + prior, misfit[0])
    misfit[-1] = np.where(within[1], free + prior, misfit[-1])
    least = misfit.min(1)
    return Need(least - least.min(), fit.profile.df)


def _laws(fit: ScalingFit) -> tuple[Floats, Floats]:
    """Exponents and bends of laws, `(pairs,)`: everywhere, and densely where the law is likely to lie."""
    everywhere = np.geomspace(LOWEST_EXPONENT, HIGHEST_EXPONENT, 17), np.linspace(-3 * BEND_SD, 3 * BEND_SD, 13)
    law = fit.foretold
    if not isinstance(law, BentFit):
        grids = [everywhere]
    else:
        ends = [(one.min(), one.max()) for one in (np.log(law.plausible.exponent), law.plausible.bend)]
        near = [np.linspace(low - 0.3 * (high - low), high + 0.3 * (high - low), 21) for low, high in ends]
        grids = [everywhere, (np.clip(np.exp(near[0]), LOWEST_EXPONENT, HIGHEST_EXPONENT), near[1])]
    pairs = [[one.ravel() for one in np.meshgrid(*grid)] for grid in grids]
    return np.concatenate([one[0] for one in pairs]), np.concatenate([one[1] for one in pairs])


def required_under_each(needs: Sequence[Need]) -> Need:
    """The profile of the largest K of several laws of one method."""
    own = np.stack([one.rise for one in needs])
    below = np.minimum.accumulate(own, axis=1)  # at most K
    others = [np.delete(below, row, axis=0).max(0, initial=0.0) for row in range(len(own))]
    rise = np.min([np.maximum(one, rest) for one, rest in zip(own, others, strict=True)], axis=0)
    return Need(rise - rise.min(), min(one.df for one in needs))


def ratio_of(first: Need, second: Need, level: float) -> Estimate:
    """K_first / K_second with its profile interval; both ends open where both may lie beyond the grid."""
    shifts, rise = _of_shift(first, second)
    inside = shifts[rise <= t_quantile(level, min(first.df, second.df)) ** 2]
    last = len(first.rise) - 1
    if last in (first.best, second.best):
        return Estimate.of(None)
    low = None if inside[0] == -last else 10 ** (STEP * (inside[0] - 0.5))  # half a step of the grid
    high = None if inside[-1] == last else 10 ** (STEP * (inside[-1] + 0.5))
    return Estimate.of(10 ** (STEP * (first.best - second.best)), low, high)


def p_of_equal(first: Need, second: Need) -> float:
    """p of a ratio of 1."""
    shifts, rise = _of_shift(first, second)
    return tail(float(rise[shifts == 0][0]), min(first.df, second.df))


def _of_shift(first: Need, second: Need) -> tuple[np.ndarray, Floats]:
    """Ratios in steps of the grid, `(2 points - 1,)`, and the least joint rise of each.

    A K beyond the grid goes with all ratios that are as extreme as that of the grid's end, two of them with any.
    """
    one, other, last = first.rise, second.rise, len(first.rise) - 1
    shifts = np.arange(-last, last + 1)
    rise = np.array(
        [float((one[max(s, 0) : last + 1 + s] + other[max(-s, 0) : last + 1 - s]).min()) for s in shifts.tolist()]
    )
    later, others_later = (np.minimum.accumulate(part[::-1])[::-1] for part in (one, other))  # least of all K from here
    rise[last:] = np.minimum(rise[last:], one[last] + others_later[::-1])
    rise[: last + 1] = np.minimum(rise[: last + 1], other[last] + later)
    return shifts, np.minimum(rise, one[last] + other[last])
