"""What a fitted law does not show by itself: does it fit, is its floor there, is its exponent 1/2, what is unknown?

The paper's law is an upper bound, so an exponent of at least 1/2 agrees with it; only a smaller one contradicts it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution

from limbeck.errors import BadData
from limbeck.laws.bent_fit import BentFit
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Levels, t_quantile
from limbeck.laws.notes import Code, Note
from limbeck.laws.profile import tail
from limbeck.laws.projection import optimum
from limbeck.laws.scaling import ScalingFit, fit_levels

BOUND = 0.5


@dataclass(frozen=True)
class ExponentStatements:
    """Three statements: an interval; is it 1/2 (two-sided); is it below 1/2, against the bound (one-sided)."""

    interval: Estimate
    equals_half_p: float
    at_least_half_p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "interval": self.interval.to_dict(),
            "equals_half_p": self.equals_half_p,
            "at_least_half_p": self.at_least_half_p,
        }


def exponent_statements(fit: ScalingFit) -> ExponentStatements | None:
    """F(1, df) for alpha = 1/2, halved for the one-sided H0 `alpha >= 1/2`. None without interval."""
    if fit.profile.fixed_exponent is not None or fit.region is None:
        return None
    p = tail(fit.profile.misfit_at(BOUND) - fit.best.misfit, fit.profile.df)
    return ExponentStatements(fit.exponent, p, p / 2 if fit.best.exponent < BOUND else 1 - p / 2)


def floor_p_value(fit: ScalingFit) -> float | None:
    """p-value of there being no floor: half of F(1, df), as the floor can't be negative."""
    if fit.region is None:
        return None
    if fit.best.floor == 0:
        return 1.0
    held = fit.profile.misfit_at(fit.profile.fixed_exponent, zero_floor=True)
    return tail(held - fit.best.misfit, fit.profile.df) / 2


def lack_of_fit_p_value(fit: ScalingFit) -> float | None:
    """F test of the levels about the law against the scatter of sets within levels: `(Q / (K - p)) ~ F(K - p, df)`.

    None where sets are not replicated enough to know their scatter, or no levels are left over. In simulations with
    3 sets and 6 levels it found an exponential in 79 % and a broken power in 39 % of tables: it is no proof of the law.
    """
    spare = len(fit.levels.k) - (3 if fit.profile.fixed_exponent is None else 2)
    if spare < 1 or fit.levels.df < 3:
        return None
    return float(f_distribution.sf(fit.best.misfit / spare, spare, fit.levels.df))


def signed_floor(fit: ScalingFit) -> float:
    """The floor that fits best where it may lie below the reference's error."""
    fixed, shift = fit.profile.fixed_exponent, fit.profile.shift_variance
    return optimum(fit.levels, exponent=fixed, shift_variance=shift, signed_floor=True).floor


def floor_exponent_correlation(fit: ScalingFit) -> float:
    """Correlation of the floor's and the exponent's estimates, from the law's slopes at the optimum."""
    x = fit.levels.k / fit.levels.k[0]
    powers = x**-fit.best.exponent
    slopes = np.stack([np.ones_like(x), powers, -fit.best.amplitude * np.log(x) * powers], 1)  # (levels, 3)
    information = (slopes / fit.levels.variance[:, None]).T @ slopes
    if np.linalg.cond(information) > 1e14:
        return 1.0
    covariance = np.linalg.inv(information)
    return float(covariance[0, 2] / math.sqrt(covariance[0, 0] * covariance[2, 2]))


@dataclass(frozen=True)
class LeftOut:
    """The largest level predicted from the others: `z` is its error in units of its own predicted spread.

    `straight` is the same of the law that is not allowed to bend, None for the straight law itself.
    """

    k: float
    measured: float
    predicted: Estimate
    error: float | None
    z: float | None
    inside: bool | None
    straight: LeftOut | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        straight = self.straight.to_dict() if self.straight else None
        return {**vars(self), "predicted": self.predicted.to_dict(), "straight": straight}


def leave_largest_out(fit: ScalingFit, count: int = 1) -> LeftOut | None:
    """Refit without the `count` largest levels and predict the largest: the honest check of extrapolation.

    The prediction interval adds the noise of the level's own mean to the law's interval. None with too few levels.
    """
    levels = fit.levels
    fewer = np.arange(len(levels.k)) < len(levels.k) - count
    try:
        kept = levels.keep(fewer)
        fixed = fit.profile.fixed_exponent
        refit = fit_levels(replace(kept, notes=()), exponent="free" if fixed is None else fixed, level=fit.level)
    except (BadData, IndexError):
        return None
    if refit.foretold is refit:
        return _left_out(levels, refit, refit)
    return replace(_left_out(levels, refit, refit.foretold), straight=_left_out(levels, refit, refit))


def _left_out(levels: Levels, refit: ScalingFit, law: BentFit | ScalingFit) -> LeftOut:
    """What a law fitted to fewer levels says of the largest."""
    k, measured = float(levels.k[-1]), float(levels.mean[-1])
    predicted = law.gap(k)
    if refit.region is None or predicted.estimate is None or predicted.low is None or predicted.high is None:
        missed = None if predicted.estimate is None else measured - predicted.estimate
        return LeftOut(k, measured, predicted, missed, None, None)
    reach = t_quantile(refit.level, refit.profile.df)
    own = reach * refit.levels.set_sd * math.sqrt(float(refit.levels.relative_noise(k)) / float(levels.sets[-1]))
    low = predicted.estimate - math.hypot(predicted.estimate - predicted.low, own)
    high = predicted.estimate + math.hypot(predicted.high - predicted.estimate, own)
    error = measured - predicted.estimate
    side = (high - predicted.estimate) if error > 0 else (predicted.estimate - low)
    interval = Estimate.of(predicted.estimate, low, high)
    return LeftOut(k, measured, interval, error, error / side * reach if side > 0 else None, low <= measured <= high)


def runs_p_value(fit: ScalingFit) -> float | None:
    """Exact runs test of the signs of the residuals along k: small for a curve that the law can't follow.

    One-sided (too few runs). None below five levels or where all residuals have one sign.
    """
    predicted = fit.best.floor + fit.best.amplitude * (fit.levels.k / fit.levels.k[0]) ** -fit.best.exponent
    signs = fit.levels.mean > predicted
    up, down = int(signs.sum()), int((~signs).sum())
    if len(signs) < 5 or not (up and down):
        return None
    runs = 1 + int(np.sum(signs[1:] != signs[:-1]))
    total = math.comb(up + down, up)
    ways = 0
    for count in range(2, runs + 1):
        half, odd = divmod(count, 2)
        if odd:
            ways += math.comb(up - 1, half) * math.comb(down - 1, half - 1)
            ways += math.comb(up - 1, half - 1) * math.comb(down - 1, half)
        else:
            ways += 2 * math.comb(up - 1, half - 1) * math.comb(down - 1, half - 1)
    return ways / total


def reference_share(fit: ScalingFit) -> float:
    """The part of the floor's squared half-interval that the reference's own makes, `(t s_ref / sqrt(n))^2`."""
    width = fit.floor.width
    if fit.region is None or fit.levels.shift_sd == 0 or not math.isfinite(width) or width == 0:
        return 0.0
    own = t_quantile(fit.level, fit.levels.shift_df) * fit.levels.shift_sd
    return min((2 * own / width) ** 2, 1.0)


def identifiability(fit: ScalingFit) -> list[Note]:
    """Notes on what this table can't tell, each with the number that says so."""
    notes, levels, best = [], fit.levels, fit.best
    decades = math.log10(fit.largest_k / fit.smallest_k)
    if len(levels.k) < 4:
        message = f"Only {len(levels.k)} values of k carry a law of three parameters: measure at least 5."
        notes.append(Note(Code.few_levels, message))
    if decades < 1:
        message = f"k spans {decades:.1f} decades; below one decade the floor and the exponent are hard to tell apart."
        notes.append(Note(Code.few_decades, message))
    if best.amplitude == 0:
        notes.append(Note(Code.no_decay, "The gap does not fall with k here, so there is no exponent to estimate."))
        return notes
    last = best.amplitude * (fit.largest_k / fit.smallest_k) ** -best.exponent
    total = best.floor + last
    error = math.sqrt(float(levels.variance[-1]))
    if last > 0.6 * total or best.floor < 2 * error:
        message = (
            f"At k = {fit.largest_k:.0f}, {100 * last / total:.0f} % of the gap is still falling: the floor is "
            "extrapolated, not seen. Measure a larger k."
        )
        notes.append(Note(Code.floor_not_seen, message))
    if fit.profile.fixed_exponent is None:
        correlation = floor_exponent_correlation(fit)
        if correlation > 0.97:
            message = (
                f"Floor and exponent are estimated with correlation {correlation:.2f}: only together are they known."
            )
            notes.append(Note(Code.floor_exponent_correlated, message))
        notes += _exponent_notes(fit)
    if reference_share(fit) > 0.5:
        message = (
            f"The reference's error ({levels.shift_sd:.4f}) makes most of the floor's: train more full-data seeds."
        )
        notes.append(Note(Code.reference_noise_dominates, message))
    return notes


def _exponent_notes(fit: ScalingFit) -> list[Note]:
    exponent = fit.exponent
    if exponent.low is None or exponent.high is None:
        message = "The interval of the exponent reaches the end of the range looked at (0.08 to 2.5): it is open there."
        return [Note(Code.exponent_at_bound, message)]
    if exponent.width > 0.4:
        message = (
            f"The exponent is known to {exponent.low:.2f}..{exponent.high:.2f} only: this table can't tell 1/2 from "
            "its neighbours, nor confirm a rate."
        )
        return [Note(Code.weakly_identified_exponent, message)]
    return []


def verdicts(fit: ScalingFit) -> list[Note]:
    """Notes on tests that came out against the law or its floor, at 5 %."""
    notes = []
    misfit = lack_of_fit_p_value(fit)
    if misfit is not None and misfit < 0.05:
        message = (
            f"The levels scatter about the law more than sets do (p = {misfit:.2g}): floor plus power is too simple."
        )
        notes.append(Note(Code.lack_of_fit, message))
    floor = floor_p_value(fit)
    if floor is not None and floor > 0.05:
        notes.append(Note(Code.floor_not_significant, f"No floor is agreeable with the data too (p = {floor:.2g})."))
    below = fit.profile.below_zero() if fit.region is not None else 1.0
    if below < 0.05:
        message = (
            f"The gap seems to end below zero (p = {below:.2g}): the reference is under-trained, or soft labels help. "
            "Tune the reference; the floor is held at zero here"
            f"{', but not for the required k' if fit.offset else ''}."
        )
        notes.append(Note(Code.below_reference, message))
    said = exponent_statements(fit)
    if said is not None and said.at_least_half_p < 0.05:
        message = (
            f"The exponent is below 1/2 (p = {said.at_least_half_p:.2g}): the decay is slower than the law's bound."
        )
        notes.append(Note(Code.exponent_below_bound, message))
    law = fit.foretold
    if isinstance(law, BentFit) and ((law.bend.low or 0) > 0 or (law.bend.high or 0) < 0):
        message = (
            f"The exponent changes with k, by {law.bend.text(2)} a decade: one exponent and one floor do not say it "
            "all, and are not what the required k rests on."
        )
        notes.append(Note(Code.exponent_changes, message))
    return notes
