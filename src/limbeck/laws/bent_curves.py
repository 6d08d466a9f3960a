"""The best bent law of many curves at once: point estimates for what repeats a fit, such as a jackknife or families."""

from __future__ import annotations

import math

import numpy as np

from limbeck.laws.bend import BentLaws, decay
from limbeck.laws.levels import Floats, t_quantile
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT, own_quadratic
from limbeck.laws.surface import BEND_SD, STEEPEST

LEVEL = 0.95  # of the intervals beside which the prior of the bend is weighed
_FIRST, _FINER = (21, 31), (9, 9)  # nodes (exponents, bends) of the first grid and of finer ones
_ZOOMS, _REACH = 8, 2  # finer grids, and how many nodes about the best they span: exponent and bend go together


def fit_bent_curves(gaps: Floats, k: Floats, variance: Floats, *, df: float = math.inf) -> BentLaws:
    """The law `f + a 10^-(D(u) - D(u_min))` (`bend.py`) of least misfit for each curve of `gaps` (curves, levels).

    The misfit is that of `surface.py`, `sum (gap - law)^2 / variance + (t_df / z)^2 (beta / sd)^2` with f >= 0, a >= 0
    and `variance` (levels,) known to `df` degrees of freedom: least over a grid of exponents and bends, then over finer
    ones about each curve's own best.
    """
    smallest, middle, rows = float(k[0]), math.sqrt(float(k[0]) * float(k[-1])), np.arange(len(gaps))
    price = (t_quantile(LEVEL, df) / (t_quantile(LEVEL, math.inf) * BEND_SD)) ** 2
    ends = np.array([[math.log(LOWEST_EXPONENT), math.log(HIGHEST_EXPONENT)], [-STEEPEST, STEEPEST]])[None]
    for count in [_FIRST] + _ZOOMS * [_FINER]:
        logs, tried = (_between(ends[:, axis], count[axis]) for axis in (0, 1))  # (curves or 1, nodes)
        exponents, bends = np.exp(np.repeat(logs, count[1], 1)), np.tile(tried, (1, count[0]))
        basis = decay(k, smallest, middle, exponents.ravel(), bends.ravel()).reshape(*exponents.shape, len(k))
        misfit, floor, amplitude = own_quadratic(exponents, basis, gaps, variance).minimum()
        best = np.argmin(misfit + price * bends**2, 1)
        own = rows if len(ends) == len(gaps) else np.zeros_like(rows)
        places = np.divmod(best, count[1])
        ends = np.stack([_about(nodes[own], place) for nodes, place in zip((logs, tried), places, strict=True)], 1)
    return BentLaws(exponents[own, best], bends[own, best], floor[rows, best], amplitude[rows, best], smallest, middle)


def _between(ends: Floats, count: int) -> Floats:
    """Nodes from the low to the high end of each curve, `(curves, count)`."""
    return np.asarray(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * np.linspace(0, 1, count))


def _about(nodes: Floats, place: np.ndarray) -> Floats:
    """The nodes on both sides of each curve's best one, `(curves, 2)`."""
    rows, last = np.arange(len(nodes)), nodes.shape[1] - 1
    ends = np.maximum(place - _REACH, 0), np.minimum(place + _REACH, last)
    return np.stack([nodes[rows, end] for end in ends], 1)
