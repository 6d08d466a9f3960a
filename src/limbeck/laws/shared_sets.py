"""How far the laws of one method err together: they are measured on the same distilled sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.laws.levels import Floats

if TYPE_CHECKING:
    from limbeck.laws.scaling import ScalingFit

HIGHEST = 0.9  # of a correlation that is itself an estimate


def shared_noise(fits: Sequence[ScalingFit]) -> float:
    """The mean correlation, between two laws, of what a distilled set adds to its level's mean; 0 where none is seen.

    A set that is poor under one configuration is often poor under another (digits: .1 to .7 by method). Sets are told
    by their k and id. With one set a level, what they add to the fitted laws stands in.
    """
    several = any(float(fit.levels.sets.max()) > 1 for fit in fits)
    added = [_added(fit, several) for fit in fits]
    units = sorted(set().union(*added))
    r = np.array([[one.get(unit, np.nan) for unit in units] for one in added])  # (laws, sets)
    both = ~np.isnan(r[:, None]) & ~np.isnan(r[None])
    product = np.where(both, r[:, None] * r[None], 0.0).sum(2)
    squares = np.where(both, r[:, None] ** 2, 0.0).sum(2)
    scale = np.sqrt(squares * squares.T)
    pairs = np.triu(scale > 0, 1)
    if not pairs.any():
        return 0.0
    weight = both.sum(2)[pairs]
    return float(np.clip(np.average(product[pairs] / scale[pairs], weights=weight), 0.0, HIGHEST))


def _added(fit: ScalingFit, several: bool) -> dict[tuple[float, str], float]:
    """What each set adds to its level's mean, or to the law, in standard deviations of a set."""
    levels = fit.levels
    place = np.searchsorted(levels.k, levels.unit_k)
    best = fit.best
    law = best.floor + best.amplitude * (levels.unit_k / fit.smallest_k) ** -best.exponent
    middle: Floats = levels.mean[place] if several else law
    noise = np.sqrt(levels.relative_noise(levels.unit_k)) * (levels.set_sd or 1.0)
    added = (levels.unit_gap - middle) / noise
    return {(float(k), str(own)): float(r) for k, own, r in zip(levels.unit_k, levels.unit_set, added, strict=True)}
