"""Many curves `f + a (k / k_min)^-alpha` at once, each with its own floor, and with its own exponent or one for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.laws.projection import GRID, Floats, Quadratic


@dataclass(frozen=True)
class Curves:
    """Floors and amplitudes of curves, (curves,), and the exponents that they were fitted with, (curves,) too."""

    k: Floats  # (levels,)
    floor: Floats
    amplitude: Floats  # excess over the floor at the smallest k
    exponent: Floats

    @property
    def constant(self) -> Floats:
        """C in `f + C k^-alpha`."""
        return np.asarray(self.amplitude * self.k[0] ** self.exponent)


def fit_curves(
    gaps: Floats, k: Floats, weights: Floats, *, exponent: float | None = None, common: bool = False
) -> Curves:
    """Weighted least squares with f >= 0 and a >= 0 for curves (curves, levels), exact over a grid of exponents.

    `exponent` fixes it, `common` chooses the one of least total misfit, else every curve has its own.
    """
    exponents = GRID if exponent is None else np.array([exponent])
    x = (k / k[0]) ** -exponents[:, None]  # (exponents, levels)
    misfit, floor, amplitude = Quadratic(
        exponents,
        np.full(len(exponents), weights.sum()),
        x @ weights,
        x**2 @ weights,
        (gaps @ weights)[:, None],
        (gaps * weights) @ x.T,
        (gaps**2 @ weights)[:, None],
    ).minimum()
    best = np.argmin(misfit, 1)
    if common:
        best[:] = int(np.argmin(misfit.sum(0)))
    rows = np.arange(len(gaps))
    return Curves(k, floor[rows, best], amplitude[rows, best], exponents[best])
