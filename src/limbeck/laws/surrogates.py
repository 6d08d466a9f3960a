"""What a surrogate is worth: how fast it lowers the discrepancy, to what floor, and how far its sets carry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from limbeck.errors import BadData
from limbeck.laws.estimate import Estimate
from limbeck.laws.guidance import mean_over_sets
from limbeck.laws.levels import t_quantile
from limbeck.measures.passage import Floats
from limbeck.streams import numpy_stream


@dataclass(frozen=True)
class Decline:
    """A(steps)^2 = floor + (start - floor) exp(-rate steps): how fast a surrogate lowers it, and to what."""

    rate: Estimate  # a step
    floor: Estimate
    start: float
    slope: Estimate  # of log A^2 on steps, over all of them: negative where it is lowered at all


def decline(steps: ArrayLike, discrepancy: ArrayLike, sets: Sequence[object], *, seed: int = 0) -> Decline:
    """Fit the decline of the discrepancy along distillation; intervals by a bootstrap over sets (percentiles).

    With one set both ends are open. Percentiles of three sets are too narrow: take them for a lower bound of the doubt.
    Raises `BadData` where there are fewer than three different steps, or a discrepancy that is not above 0.

    For each rate on a grid the pair (floor, fall) is a straight line, with the floor held at 0 or above; relative
    errors are what is squared, as discrepancies spread with their size. The slope assumes no form: it is the mean of
    each set's own least-squares line, with Student's interval over sets.
    """
    at, values = np.asarray(steps, np.float64), np.asarray(discrepancy, np.float64)
    if len(np.unique(at)) < 3:
        raise BadData(
            f"a rate and a floor need sets at three or more numbers of distillation steps; there are sets at "
            f"{', '.join(f'{step:g}' for step in np.unique(at)) or 'none'}. Distil some with fewer steps."
        )
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise BadData("a discrepancy must be a finite number above 0: it is a mean of squares.")
    names, place = np.unique([str(one) for one in sets], return_inverse=True)
    rate, floor, start = _exponential(at, values)
    lines = [_slope(at[place == i], np.log(values[place == i])) for i in range(len(names))]
    slope = mean_over_sets([line for line in lines if math.isfinite(line)])
    random, drawn = numpy_stream(seed, "decline"), []
    for _ in range(200):
        index = np.concatenate([np.flatnonzero(place == i) for i in random.integers(0, len(names), len(names))])
        if len(np.unique(at[index])) > 2:  # sets that stopped early may have been drawn alone
            drawn.append(_exponential(at[index], values[index])[:2])
    if len(names) < 2 or not drawn:
        return Decline(Estimate.of(rate), Estimate.of(floor), start, slope)
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    return Decline(Estimate.of(rate, low[0], high[0]), Estimate.of(floor, low[1], high[1]), start, slope)


def _slope(steps: Floats, logs: Floats) -> float:
    """Least-squares slope; undefined where all steps are one."""
    away = steps - steps.mean()
    return float(away @ logs / (away @ away)) if np.any(away) else math.nan


def _exponential(steps: Floats, values: Floats) -> tuple[float, float, float]:
    span, weight = float(np.ptp(steps)), 1 / values
    best = (math.inf, 0.0, 0.0, 0.0)
    for rate in np.geomspace(0.2 / span, 60 / span, 40):
        shape = np.exp(-rate * (steps - steps.min()))
        design = np.stack([1 - shape, shape], 1)  # floor and start
        pair = np.linalg.lstsq(design * weight[:, None], values * weight, rcond=None)[0]
        if pair[0] < 0:
            pair = np.array([0.0, float((shape * weight) @ (values * weight) / np.sum((shape * weight) ** 2))])
        missed = float(np.sum(((design @ pair - values) * weight) ** 2))
        best = min(best, (missed, float(rate), float(pair[0]), float(pair[1])))
    return best[1:]


def transfer_loss(
    gap: ArrayLike, method: Sequence[str], home: Sequence[bool], cluster: Sequence[object], first: str, second: str
) -> tuple[Estimate, float]:
    """How much more of a gap `first` has away from home than `second`: (away - home) of one less that of the other.

    Positive where `first` is the less robust. Each set gives one number, its mean gap under other configurations less
    that under the one it was distilled with; the interval and the p of no difference are Welch's, over sets.
    """
    y, at_home = np.asarray(gap, np.float64), np.asarray(home, bool)
    labels = np.array([str(one) for one in cluster])
    own: dict[str, list[float]] = {first: [], second: []}
    for name in own:
        mine = np.array([one == name for one in method])
        for label in np.unique(labels[mine]):
            held = mine & (labels == label)
            if (held & at_home).any() and (held & ~at_home).any():
                own[name].append(float(y[held & ~at_home].mean() - y[held & at_home].mean()))
    a, b = (np.array(own[name]) for name in (first, second))
    if min(len(a), len(b)) < 2:
        raise BadData(f"{first} and {second} need two or more sets each, judged at home and away.")
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    value, se = float(a.mean() - b.mean()), math.sqrt(va + vb)
    df = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1)) if se > 0 else len(a) + len(b) - 2
    half = t_quantile(0.95, df) * se
    p = float(2 * student.sf(abs(value) / se, df)) if se > 0 else float(value == 0)
    return Estimate.of(value, value - half, value + half), p
