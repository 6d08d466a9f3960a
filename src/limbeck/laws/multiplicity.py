"""Families of tests: p-values adjusted so that many questions do not give answers by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from limbeck.errors import BadData
from limbeck.laws.levels import Floats


def holm(p: ArrayLike) -> Floats:
    """Holm's adjusted p-values: the chance of a single false claim in the family stays below the level.

    `p_(i)` times the number of hypotheses not yet rejected, made monotone. Holm (1979), Scand. J. Statist. 6, 65-70.
    """
    values = _checked(p)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    return _back(np.minimum(stepped, 1), order)


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Benjamini and Hochberg's adjusted p-values: the expected share of false claims stays below the level.

    `p_(i) m / i`, made monotone from the largest. Benjamini and Hochberg (1995), J. R. Statist. Soc. B 57, 289-300.
    """
    values = _checked(p)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * len(values) / np.arange(1, len(values) + 1)
    return _back(np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1), order)


def _checked(p: ArrayLike) -> Floats:
    values = np.asarray(p, float)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise BadData("p-values are one-dimensional and lie between 0 and 1: leave tests that gave none out.")
    return values


def _back(adjusted: Floats, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
    placed = np.empty_like(adjusted)
    placed[order] = adjusted
    return placed
