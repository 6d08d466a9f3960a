"""The scaling law of one method under one configuration: `gap(k) = f + a (k / k_min)^-alpha`, with honest intervals.

The law and its exponent 1/2 as an upper bound: Luo and Xu, "Utility Boundary of Dataset Distillation: Scaling and
(Configuration-)Coverage Laws", arXiv 2512.05817. Estimator and intervals are ours; `docs/results/law_coverage.md` shows
how often the intervals hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from limbeck.errors import BadData
from limbeck.laws.bent_fit import BentFit, fit_bent, least_misfit
from limbeck.laws.bootstrap import cluster_bootstrap
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats, Levels, level_means
from limbeck.laws.notes import Code, Note
from limbeck.laws.posterior import posterior
from limbeck.laws.profile import Functional, Profile, Region, tail
from limbeck.laws.projection import Optimum, optimum
from limbeck.laws.robust import flag_outliers, huber_levels

Exponent = float | Literal["free"]
Interval = Literal["profile", "cluster_bootstrap", "bayes"]
BEATEN = 0.01
"""p of a floor at or above zero below which sets beat their reference."""
INTERVALS: tuple[Interval, ...] = get_args(Interval)


@dataclass(frozen=True)
class ScalingFit:
    """A fitted law: ask it for a gap at any k, for the k that a gap requires, or for its parts with their intervals."""

    levels: Levels
    best: Optimum
    profile: Profile
    region: Region | None  # None: the noise can't be estimated, so no interval is given
    level: float
    interval: Interval
    notes: tuple[Note, ...]

    @property
    def smallest_k(self) -> float:
        """k at which the amplitude is the excess gap."""
        return float(self.levels.k[0])

    @property
    def largest_k(self) -> float:
        """Largest k measured."""
        return float(self.levels.k[-1])

    @property
    def constant(self) -> float:
        """C in `f + C k^-alpha`, that is `a k_min^alpha`."""
        return float(self.best.amplitude * self.smallest_k**self.best.exponent)

    def interval_of(self, functional: Functional) -> tuple[float, float]:
        """The confidence interval of any function of (exponent, floor, amplitude)."""
        return (-math.inf, math.inf) if self.region is None else self.region.range_of(functional)

    def estimate_of(self, functional: Functional) -> Estimate:
        """Any function of (exponent, floor, amplitude) with its interval."""
        one = np.array([self.best.exponent]), np.array([self.best.floor]), np.array([self.best.amplitude])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return Estimate.of(float(functional(*one)[0]), *self.interval_of(functional))

    @cached_property
    def foretold(self) -> BentFit | ScalingFit:
        """What to ask for gaps, required k and whether a gap is out of reach: the law, allowed to be bent.

        It is this fit itself, whose law is straight, where the exponent is held, where no interval can be given, and
        where the interval is a bootstrap's or Bayesian.
        """
        if self.region is None or self.interval != "profile" or self.profile.fixed_exponent is not None:
            return self
        return fit_bent(self.raised, self.level, offset=self.offset)

    @cached_property
    def offset(self) -> float:
        """What is added to gaps before bent laws are fitted, 0 or 1: where sets beat the reference, their law may end
        below zero.

        Both laws must say so, at 1 %: a straight one that is held to gaps which bend may end anywhere.
        """
        if self.region is None or self.profile.below_zero() >= BEATEN:
            return 0.0
        change = least_misfit(self.profile, self.level) - least_misfit(self._raised, self.level)
        return 1.0 if tail(max(change, 0.0), self.profile.df) / 2 < BEATEN else 0.0

    @cached_property
    def unheld(self) -> BentFit | None:
        """The bent law whose floor may be below zero, where that of `foretold` may not; None where there is none."""
        if self.foretold is self or self.offset:
            return None
        return fit_bent(self._raised, self.level, offset=1.0)

    @property
    def raised(self) -> Profile:
        """The profile of gaps with the offset on them."""
        return self._raised if self.offset else self.profile

    @property
    def _raised(self) -> Profile:
        levels = replace(self.levels, mean=self.levels.mean + 1.0)
        held, shift = self.profile.fixed_exponent, self.profile.shift_variance
        return replace(self.profile, levels=levels, best=optimum(levels, exponent=held, shift_variance=shift))

    @property
    def floor(self) -> Estimate:
        """The gap that no k removes."""
        return self.estimate_of(lambda exponent, floor, amplitude: floor)

    @property
    def lowest_gap(self) -> Estimate:
        """The gap that no k goes below: the floor, as the law is straight."""
        return self.floor

    @property
    def amplitude(self) -> Estimate:
        """The excess over the floor at the smallest k measured."""
        return self.estimate_of(lambda exponent, floor, amplitude: amplitude)

    @property
    def exponent(self) -> Estimate:
        """The exponent; an end outside of [0.08, 2.5] is open."""
        if self.profile.fixed_exponent is not None:
            return Estimate.of(self.best.exponent, self.best.exponent, self.best.exponent)
        if self.region is None or self.best.amplitude == 0:
            return Estimate.of(None if self.best.amplitude == 0 else self.best.exponent)
        return Estimate.of(self.best.exponent, self.region.exponent_low, self.region.exponent_high)

    def gap(self, k: float) -> Estimate:
        """The gap at k, `f + a (k / k_min)^-alpha`: of the average distilled set, without the noise of one run."""
        ratio = k / self.smallest_k
        return self.estimate_of(lambda exponent, floor, amplitude: floor + amplitude * ratio**-exponent)

    def required_k(self, target: float) -> Estimate:
        """The k at which the law reaches a gap: `k_min (a / (target - f))^(1 / alpha)`, infinite where f >= target."""
        return self.estimate_of(lambda *law: required(self.smallest_k, target, *law))

    @property
    def saturation_k(self) -> Estimate:
        """The k at which the excess equals the floor, `k_min (a / f)^(1 / alpha)`: beyond it, k buys less than half."""
        return self.estimate_of(
            lambda exponent, floor, amplitude: self.smallest_k * np.power(amplitude / floor, 1 / exponent)
        )

    def unreachable(self, target: float) -> float:
        """Confidence that no k reaches the target, because the floor is at or above it."""
        return self.profile.confidence_floor_at_least(target) if self.region is not None else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The law's parts as plain numbers."""
        return {
            "floor": self.floor.to_dict(),
            "exponent": self.exponent.to_dict(),
            "amplitude": self.amplitude.to_dict(),
            "saturation_k": self.saturation_k.to_dict(),
        }


def required(smallest_k: float, target: float, exponent: Floats, floor: Floats, amplitude: Floats) -> Floats:
    """k at which laws reach a gap; at least 1, as a set has a sample; infinite where the floor is in the way."""
    room = target - floor
    k = smallest_k * np.power(amplitude / np.where(room > 0, room, np.nan), 1 / exponent)
    return np.where(room > 0, np.maximum(k, 1.0), np.inf)


def fit_scaling(
    k: ArrayLike,
    gap: ArrayLike,
    set_id: Sequence[object] | ArrayLike,
    *,
    reference_errors: ArrayLike | tuple[float, float] | None = None,
    exponent: Exponent = "free",
    interval: Interval = "profile",
    level: float = 0.95,
    robust: bool = False,
    heteroscedastic: bool = True,
    seed: int = 0,
) -> ScalingFit:
    """Fit `gap(k) = f + a (k / k_min)^-alpha` to runs: one entry of `k`, `gap` and `set_id` (which set) a run, (runs,).

    A gap is an error less the mean reference error, a fraction.

    `reference_errors`: errors of the full-data runs, `(runs,)`, or the pair (sd of one run, number of runs): their mean
    was subtracted from every gap, so its error is common to all k and widens the intervals. `exponent` is free in
    [0.08, 2.5] or a number. `robust` weighs sets by Huber's function (c = 1.345). `interval` is "profile" (the
    profile set), "cluster_bootstrap" (over sets, refused below three a level) or "bayes" (quantiles of a posterior).
    `seed` is of the draws.

    Raises `BadData` for fewer levels than parameters (3; 2 with a fixed exponent) and for numbers that are not finite.
    """
    reference = reference_spread(reference_errors)
    levels = level_means(k, gap, set_id, reference=reference, heteroscedastic=heteroscedastic)
    return fit_levels(levels, exponent=exponent, interval=interval, level=level, robust=robust, seed=seed)


def fit_levels(
    levels: Levels,
    *,
    exponent: Exponent = "free",
    interval: Interval = "profile",
    level: float = 0.95,
    robust: bool = False,
    seed: int = 0,
) -> ScalingFit:
    """`fit_scaling` for levels that are already averaged."""
    fixed = None if exponent == "free" else float(exponent)
    if fixed is not None and not 0 < fixed <= 10:
        raise BadData(f"the exponent {fixed} must lie between 0 and 10.")
    if not 0.5 <= level < 1:
        raise BadData(f"the confidence level {level} must lie between 0.5 and 1, such as 0.95.")
    needed = 3 if fixed is None else 2
    if len(levels.k) < needed:
        raise BadData(
            f"a law with a {'free' if fixed is None else 'fixed'} exponent needs at least {needed} values of k; "
            f"the table has {len(levels.k)}. Measure more values, a factor of 2 or more apart."
        )
    notes = list(levels.notes) + flag_outliers(levels)
    if robust:
        levels = huber_levels(levels, fixed)
    levels, df, more = _noise(levels, fixed)
    notes += more
    profile = _profile(levels, df, fixed, level)
    if interval == "cluster_bootstrap":
        region: Region | None = cluster_bootstrap(levels, fixed, level, seed)
    elif interval == "bayes":
        region = posterior(profile, level, seed) if df > 0 else None
    else:
        region = profile.region(level) if df > 0 else None
    return ScalingFit(levels, profile.best, profile, region, level, interval, tuple(notes))


def _profile(levels: Levels, df: float, fixed: float | None, level: float) -> Profile:
    shift = replace(levels, df=df).shift_variance(level) if df > 0 else 0.0
    best = optimum(levels, exponent=fixed, shift_variance=shift)
    return Profile(levels, df, 1.0, shift, best, fixed)


def reference_spread(errors: ArrayLike | tuple[float, float] | None) -> tuple[float, float] | None:
    """(sd of one reference run, number of runs) of errors, or as it was given; None where it is not known."""
    if errors is None:
        return None
    if isinstance(errors, tuple) and len(errors) == 2:
        return float(errors[0]), float(errors[1])
    values = np.asarray(errors, float).ravel()
    if not values.size or not np.isfinite(values).all():
        raise BadData("reference_errors needs at least one finite error of a full-data run.")
    return (float(values.std(ddof=1)) if len(values) > 1 else math.nan), float(len(values))


def _noise(levels: Levels, fixed: float | None) -> tuple[Levels, float, list[Note]]:
    """Where sets are hardly replicated or agree exactly, the scatter about the law stands in for their spread."""
    exact = any(note.code is Code.zero_variance for note in levels.notes)
    if levels.df >= 3 and not exact:
        return levels, levels.df, []
    spare, df = len(levels.k) - (3 if fixed is None else 2), 0.0 if exact else levels.df
    best = optimum(levels, exponent=fixed)
    if spare + df <= 0:
        message = "No k has two distilled sets" if not exact else "The sets of one k do not differ"
        message += " and there are no more levels than parameters: no interval can be given."
        return levels, 0.0, [Note(Code.set_variance_not_estimable, message)]
    ratio = (df + best.misfit) / (df + spare) if df > 0 else best.misfit / spare
    floor = levels.within_sd**2 / float(np.mean(levels.unit_runs)) if levels.within_sd is not None else 0.0
    least = 1.0 if exact else 1e-18 if df == 0 else 0.0
    least = max(floor / float(np.mean(levels.variance * levels.sets)), least)
    repeated = f"Only {df:.0f} set{'s repeat' if df > 1 else ' repeats'} a k" if df else "No k has two distilled sets"
    said = "The sets of one k agree exactly" if exact else repeated
    message = (
        f"{said}: the scatter about the law ({spare} degree{'s' * (spare > 1)} of freedom) stands in for the spread "
        "between sets, so a misfit of the law can't be told from noise."
    )
    notes = [Note(Code.residual_variance, message)] if spare else []
    variance = levels.variance * max(ratio, least)
    return replace(levels, variance=variance, df=df), float(df + spare), notes
