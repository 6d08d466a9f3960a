"""Bayesian intervals: a posterior on a grid of exponents and floors, with the amplitude integrated in closed form.

Prior: log-uniform exponents; floors uniform up to the largest that any law allows, with a point mass at 0, without
which an absent floor is missed (coverage .71 in simulations); amplitudes flat and positive. The likelihood is Student's
t, as the noise is estimated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from limbeck.laws.bend import BentLaws
from limbeck.laws.bent_fit import BentFit, fit_bent
from limbeck.laws.profile import Profile, Region
from limbeck.laws.projection import GRID, Floats, Quadratic
from limbeck.laws.surface import BEND_SD
from limbeck.streams import numpy_stream

DRAWS = 2000
NO_FLOOR = 0.2  # prior mass of a floor of exactly 0
_FLOORS = 96
_SURE = 0.999  # confidence of the set that floors are drawn from


def posterior(profile: Profile, level: float, seed: int, draws: int = DRAWS) -> Region:
    """Draws of the posterior of the straight law, whose quantiles are the intervals."""
    random = numpy_stream(seed, "posterior")
    grid = GRID if profile.fixed_exponent is None else np.array([profile.fixed_exponent])
    floors = profile.region(_SURE).range_of(lambda exponent, floor, amplitude: floor)
    column, floor, amplitude = _draw(profile, profile.quadratic(grid), np.ones(len(grid)), floors, random, draws)
    exponent = grid[column]
    if len(grid) > 1:  # spread over the grid's own steps
        exponent = exponent * (GRID[1] / GRID[0]) ** (random.random(draws) - 0.5)
    ends = ((1 - level) / 2, (1 + level) / 2)
    bounds = [float(np.quantile(exponent, one)) for one in ends]
    return Region(exponent, floor, amplitude, ends, bounds[0], bounds[1])


def bent_posterior(fit: BentFit, seed: int, draws: int = DRAWS) -> BentLaws:
    """Draws of the posterior of laws that may bend, beta ~ N(0, `BEND_SD`^2)."""
    random, profile = numpy_stream(seed, "posterior"), fit.surface.profile
    grid, bends = GRID[::3], np.linspace(-3, 3, 13) * BEND_SD
    exponents, turned = (one.ravel() for one in np.meshgrid(grid, bends, indexing="ij"))
    prior = np.exp(-((turned / BEND_SD) ** 2) / 2)
    held = fit_bent(profile, _SURE).plausible.floor
    floors = float(held.min()), float(held.max())
    q = fit.surface.quadratic(exponents, turned)
    column, floor, amplitude = _draw(profile, q, prior, floors, random, draws)
    spread = random.random((2, draws)) - 0.5
    exponent = exponents[column] * (grid[1] / grid[0]) ** spread[0]
    return BentLaws(
        exponent, turned[column] + (bends[1] - bends[0]) * spread[1], floor, amplitude, fit.best.smallest_k,
        fit.best.middle_k,
    )  # fmt: skip


def _draw(
    profile: Profile,
    q: Quadratic,
    prior: Floats,
    ends: tuple[float, float],
    random: np.random.Generator,
    draws: int,
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Draws of the shape (its place in q, whose shapes have prior weights), of the floor between `ends`, and amplitude.

    `p(shape, f) ~ prior (1 + (Q - Q_min) / df)^(-(df + 1) / 2) Phi(a sqrt(m11)) / sqrt(m11)`, Q being least over a at
    its optimum a; then a itself from a normal with the precision m11, above 0.
    """
    low, high = ends
    floors = np.append(0.0, low + (high - low) * (np.arange(_FLOORS) + 0.5) / _FLOORS)[:, None]  # (floors, 1)
    amplitude = (q.r1 - q.m01 * floors) / q.m11  # (floors, shapes)
    misfit = q.at(floors, amplitude)
    root = np.sqrt(q.m11)
    own = np.full((len(floors), 1), (1 - NO_FLOOR) / _FLOORS)
    own[0] = NO_FLOOR
    rise = np.maximum(misfit - misfit.min(), 0)
    stretch = np.sqrt((profile.df + rise) / (profile.df + 1))  # of the noise, as far as this law misfits
    weight = own * prior * (1 + rise / profile.df) ** (-profile.df / 2) * ndtr(amplitude * root / stretch) / root
    cell = random.choice(weight.size, draws, p=(weight / weight.sum()).ravel())
    row, column = np.divmod(cell, len(prior))
    scale = (stretch / root)[row, column]
    middle = amplitude[row, column]
    least = ndtr(-middle / scale)
    drawn = middle + scale * ndtri(np.minimum(least + (1 - least) * random.random(draws), 1 - 1e-15))
    step = (high - low) / _FLOORS
    floor = np.where(row > 0, np.maximum(floors[row, 0] + step * (random.random(draws) - 0.5), 0), 0.0)
    return column, floor, np.maximum(drawn, 0.0)
