"""How many samples a whole family needs, and how that number grows with the family's diversity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.laws.bent_curves import fit_bent_curves
from limbeck.laws.censored import Growth, growth
from limbeck.laws.coverage_inference import jackknife
from limbeck.laws.coverage_pool import Floors, Pool, greedy_entropy
from limbeck.laws.covers import Floats
from limbeck.laws.decisions import REACH
from limbeck.laws.levels import level_means
from limbeck.laws.scaling import fit_levels
from limbeck.laws.worst import Runs, worst_gaps

LEAST_SCALE, LARGEST_SCALE = 0.1, 1.0  # relative errors of a required k that weights are clipped to


@dataclass(frozen=True)
class Needs:
    """Required k of every family, with its interval; infinite where the floor is in the way."""

    target: float
    k: Floats  # (families,)
    low: Floats
    high: Floats
    largest_k: float

    @property
    def censored(self) -> NDArray[np.bool_]:
        """Not reached within ten times the largest k measured: known to be larger than that, and no more."""
        return np.asarray(~(self.k <= REACH * self.largest_k))

    @property
    def bounded(self) -> Floats:
        """Required k, or what it is known to exceed."""
        return np.where(self.censored, REACH * self.largest_k, self.k)

    @property
    def relative_error(self) -> Floats:
        """Half the width of the interval over 1.96, on a log scale, clipped to [0.1, 1]; 1 where an end is open."""
        with np.errstate(divide="ignore", invalid="ignore"):
            width = (np.log(self.high) - np.log(np.maximum(self.low, 1.0))) / 3.92
        return np.clip(np.where(np.isfinite(width), width, LARGEST_SCALE), LEAST_SCALE, LARGEST_SCALE)


def family_needs(runs: Runs, families: NDArray[np.bool_], target: float) -> Needs:
    """The k at which each family's worst gap reaches a target: the scaling law of the worst gap, set by set, inverted.

    The law may bend, as in every answer about required k (decision 0055). The interval holds the spread between sets
    and the error of the references, pooled over configurations: it is that of whichever configuration is the worst.
    """
    worst = worst_gaps(runs, families).split  # (families, levels, sets)
    sets = worst.shape[2]
    k, ids = np.repeat(runs.k, sets), np.tile(np.arange(sets), len(runs.k))
    m, count = runs.reference.shape
    shift = runs.reference_sd / math.sqrt(count)
    df = float(m * (count - 1)) if count > 1 else math.inf
    levels = [level_means(k, one.ravel(), ids) for one in worst]
    fits = [fit_levels(replace(one, shift_sd=shift, shift_df=df)) for one in levels]
    rows = [fit.foretold.required_k(target) for fit in fits]
    ends = [(math.inf if one.high is None else one.high, one.low if one.low is not None else 1.0) for one in rows]
    return Needs(
        target,
        np.array([math.inf if one.estimate is None else one.estimate for one in rows]),
        np.array([low for _, low in ends]),
        np.array([high for high, _ in ends]),
        float(runs.k[-1]),
    )


def needs_against(pool: Pool, floors: Floors, needs: Needs, values: Floats, entropy: bool) -> Growth:
    """Required k of the pool's families against a measure of them, censored where it was not reached.

    Weights come from the intervals: the error of a family is its relative error times the k that a first, unweighted
    fit expects. The design effect is measured by the jackknife over groups of near-duplicates where the measure is H
    (`entropy`) or log M. Raises `BadData` where too few families reach the target.
    """
    flat = np.ones(len(values))
    first = growth(values, needs.bounded, needs.censored, flat)
    expected = first.intercept + (first.slope.estimate or 0.0) * values
    middle = float(np.median(needs.bounded))
    scale = needs.relative_error * np.maximum(expected, 0.1 * middle)
    weights = scale / np.median(scale)

    def slope(left: Pool) -> float:
        worst = worst_gaps(left.runs, left.masks).mean
        k = fit_bent_curves(worst, left.runs.k, 1 / floors.weights).required_k(needs.target)
        return _robust_slope(_values(left, entropy), np.minimum(k, REACH * needs.largest_k))

    error, groups = jackknife(pool, slope)
    own = _model_error(values, needs.bounded)
    effect = max(1.0, (error / own) ** 2) if groups > 2 and own > 0 and math.isfinite(error) else 1.0
    return growth(values, needs.bounded, needs.censored, weights, design_effect=effect)


def slopes_apart(needs: Needs, log_m: Floats, entropy: Floats) -> dict[str, Any]:
    """Required k per unit of log M, in families of near-duplicates and in families of distinct members.

    Among the families of each size, the quarter of least H and that of largest H. Were log M the right measure, both
    slopes would be equal.
    """
    parts = {"near_duplicates": np.zeros(len(log_m), bool), "distinct": np.zeros(len(log_m), bool)}
    for size in np.unique(log_m):
        rows = np.flatnonzero(log_m == size)
        order = rows[np.argsort(entropy[rows], kind="stable")]
        quarter = max(1, len(order) // 4)
        parts["near_duplicates"][order[:quarter]] = True
        parts["distinct"][order[-quarter:]] = True
    found: dict[str, Any] = {}
    for name, rows in parts.items():
        k = needs.bounded[rows]
        found[name] = {
            "families": int(rows.sum()),
            "slope": _robust_slope(log_m[rows], k) if rows.sum() > 2 else None,
            "median_k": float(np.median(k)) if rows.any() else None,
        }
    return found


def _values(pool: Pool, entropy: bool) -> Floats:
    return greedy_entropy(pool) if entropy else np.log([float(one.size) for one in pool.families])


def _robust_slope(x: Floats, y: Floats) -> float:
    """Least-squares slope of y on x; not a number where x does not vary."""
    centred = x - x.mean()
    squares = float(centred @ centred)
    return float(centred @ y) / squares if squares > 1e-12 else math.nan


def _model_error(x: Floats, y: Floats) -> float:
    """Standard error of that slope, were the values independent."""
    centred = x - x.mean()
    squares = float(centred @ centred)
    if squares <= 1e-12 or len(x) < 3:
        return math.nan
    residual = y - y.mean() - _robust_slope(x, y) * centred
    return math.sqrt(float(residual @ residual) / (len(x) - 2) / squares)
