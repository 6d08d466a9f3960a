"""Sets that do not belong: flags for single outliers, and Huber weights for those who want them to count less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from limbeck.laws.levels import Floats, Levels
from limbeck.laws.notes import Code, Note
from limbeck.laws.projection import optimum

CUTOFF = 1.345  # 95 % efficiency under normal noise (Huber)
_ROUNDS = 20


def flag_outliers(levels: Levels, level: float = 0.05) -> list[Note]:
    """Sets whose deleted studentised residual within their level is too large, by Bonferroni over all sets."""
    if levels.df < 4 or len(levels.unit_k) != levels.sets.sum():
        return []
    place = np.searchsorted(levels.k, levels.unit_k)
    noise = np.sqrt(levels.relative_noise(levels.unit_k)) * levels.set_sd
    sets = levels.sets[place]
    residual = (levels.unit_gap - levels.mean[place]) / noise
    leverage = np.where(sets > 1, 1 - 1 / np.maximum(sets, 2), 1.0)
    standard = residual / np.sqrt(leverage)
    left = np.maximum(levels.df - standard**2, 1e-12) / (levels.df - 1)
    p = 2 * student.sf(np.abs(standard) / np.sqrt(left), levels.df - 1) * len(standard)
    found = np.flatnonzero((p < level) & (sets > 1))
    if not found.size:
        return []
    where = ", ".join(f"k={levels.unit_k[i]:.0f} (gap {levels.unit_gap[i]:.3f})" for i in found[:5])
    who = "One distilled set stands" if found.size == 1 else f"{found.size} distilled sets stand"
    message = f"{who} far from the others of their k: {where}. Check that, or fit robustly."
    return [Note(Code.outlier_sets, message)]


def huber_levels(levels: Levels, fixed: float | None) -> Levels:
    """Level means and variances with every set weighted by `min(1, c s v^(1/2) / |residual from the law|)`.

    The law and the weights are found in turn; s is 1.4826 times the median absolute residual from the law.
    """
    place = np.searchsorted(levels.k, levels.unit_k)
    root_noise = np.sqrt(levels.relative_noise(levels.unit_k))
    fitted, weight = levels, np.ones(len(place))
    for _ in range(_ROUNDS):
        law = optimum(fitted, exponent=fixed)
        predicted = law.floor + law.amplitude * (levels.unit_k / levels.k[0]) ** -law.exponent
        residual = (levels.unit_gap - predicted) / root_noise
        scale = max(1.4826 * float(np.median(np.abs(residual))), 1e-12)
        new = np.minimum(1, CUTOFF * scale / np.maximum(np.abs(residual), 1e-300))
        fitted = _weighted(levels, place, root_noise, new)
        if np.abs(new - weight).max() < 1e-6:
            break
        weight = new
    return fitted


def _weighted(levels: Levels, place: NDArray[np.intp], root_noise: Floats, weight: Floats) -> Levels:
    total = np.bincount(place, weights=weight)
    mean = np.bincount(place, weights=weight * levels.unit_gap) / total
    squares = float(np.sum(weight**2 * ((levels.unit_gap - mean[place]) / root_noise) ** 2))
    kept = float(weight.mean())
    spare = float(levels.sets.sum()) - len(levels.k)
    pooled = max(squares / spare / kept**2, 1e-18) if spare else 1.0
    variance = pooled * levels.relative_noise(levels.k) / levels.sets
    return replace(levels, mean=mean, variance=variance)
