"""How many times as many samples one method needs as another, where both were measured on the same sets' seeds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from limbeck.errors import BadData
from limbeck.laws.bent_curves import fit_bent_curves
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats, level_means, t_quantile
from limbeck.laws.scaling import reference_spread


def required_ratio(
    k: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    target: float,
    *,
    reference_errors: ArrayLike | tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """k_first(target) / k_second(target), paired by set: below 1 the first needs fewer samples.

    `first` and `second` are gaps (levels, sets) whose columns belong together (one seed, or one draw of samples to
    start from). Each side's required k is that of its scaling law, which may bend as in every answer about required k
    (decision 0055), fitted by least squares weighted by the spread between sets. The interval is Student's on the
    logarithm, sets - 1 degrees of freedom, from the jackknife that leaves out one set of *both* sides at a time (Tukey
    1958): what a pair of sets shares drops out. The reference's error drops out only as far as both gaps fall equally
    fast at the target; `reference_errors` (as `fit_scaling` takes them: of the full-data runs whose mean was subtracted
    on both sides, or the pair of one run's sd and their number) adds what is left of it. Nothing where a side never
    reaches the target; both ends open where one of the left-out fits does not.

    Raises `BadData` for fewer than three sets or levels, or shapes that differ.
    """
    ks, sides = np.asarray(k, float), [np.asarray(first, float), np.asarray(second, float)]
    if sides[0].shape != sides[1].shape or sides[0].ndim != 2 or len(ks) != len(sides[0]):
        raise BadData(
            f"gaps must be (levels, sets) on both sides, levels as in k ({len(ks)}); theirs are {sides[0].shape} and "
            f"{sides[1].shape}."
        )
    levels, sets = sides[0].shape
    if levels < 3 or sets < 3:
        raise BadData(f"a ratio of required k needs three sets and three values of k; there are {sets} and {levels}.")
    shift, df = _reference(reference_errors)
    parts = [_log_required(ks, side, target, shift) for side in sides]
    logs = parts[0] - parts[1] if all(math.isfinite(part[0]) for part in parts) else np.array([math.nan])
    if not math.isfinite(logs[0]):
        return Estimate(None, None, None)
    value = float(logs[0])
    if not np.isfinite(logs).all():
        return Estimate.of(math.exp(value))
    left_out, (less, more) = logs[1:-2], logs[-2:]
    error = math.sqrt((sets - 1) / sets * float(np.sum((left_out - left_out.mean()) ** 2)))
    half = math.hypot(t_quantile(level, sets - 1) * error, t_quantile(level, df) * (more - less) / 2)
    return Estimate.of(math.exp(value), math.exp(value - half), math.exp(value + half))


def _reference(errors: ArrayLike | tuple[float, float] | None) -> tuple[float, float]:
    """Standard error of the reference's mean and its degrees of freedom; 0 where it is not known."""
    spread = reference_spread(errors)
    if spread is None or not (spread[1] > 1 and math.isfinite(spread[0])):
        return 0.0, math.inf
    return spread[0] / math.sqrt(spread[1]), spread[1] - 1


def _log_required(k: Floats, gap: Floats, target: float, shift: float) -> Floats:
    """log required k by all sets, by all but each in turn, and by gaps a `shift` smaller and larger: (3 + sets,)."""
    levels, sets = gap.shape
    spread = level_means(np.repeat(k, sets), gap.ravel(), np.tile(np.arange(sets), levels))
    left_out = (gap.sum(1)[:, None] - gap) / (sets - 1)
    mean = gap.mean(1)
    means = np.column_stack([mean, left_out, mean - shift, mean + shift]).T  # (3 + sets, levels)
    return np.log(fit_bent_curves(means, k, spread.variance, df=spread.df).required_k(target))
