"""Bayesian intervals: a posterior on a grid of exponents and floors, with the amplitude integrated in closed form.

Prior: log-uniform exponents; floors uniform up to the largest that any law allows, with a point mass at 0, without
which an absent floor is missed (coverage .71 in simulations); amplitudes flat and positive. The likelihood is Student's
t, as the noise is estimated.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from limbeck.laws.profile import Profile, Region
from limbeck.laws.projection import GRID
from limbeck.streams import numpy_stream

DRAWS = 2000
NO_FLOOR = 0.2  # prior mass of a floor of exactly 0
_FLOORS = 96


def posterior(profile: Profile, level: float, seed: int, draws: int = DRAWS) -> Region:
    """Draws of the posterior, whose quantiles are the intervals.

    `p(alpha, f) ~ prior (1 + rise / df)^(-df / 2) Phi(a sqrt(m11) / s) / sqrt(m11)`, rise = Q - Q_min with Q least over
    a, at its optimum, and s^2 = (df + rise) / (df + 1) the noise that so much misfit speaks for: Student's likelihood
    with a integrated out. Then a itself from a normal of precision m11 / s^2, above 0.
    """
    random = numpy_stream(seed, "posterior")
    grid = GRID if profile.fixed_exponent is None else np.array([profile.fixed_exponent])
    q = profile.quadratic(grid)
    outline = profile.region(0.999)
    low, high = outline.range_of(lambda exponent, floor, amplitude: floor)
    floors = np.append(0.0, low + (high - low) * (np.arange(_FLOORS) + 0.5) / _FLOORS)[:, None]  # (floors, 1)
    amplitude = (q.r1 - q.m01 * floors) / q.m11
    misfit = q.at(floors, amplitude)
    root = np.sqrt(q.m11)
    prior = np.full((len(floors), 1), (1 - NO_FLOOR) / _FLOORS)
    prior[0] = NO_FLOOR
    rise = np.maximum(misfit - misfit.min(), 0)
    stretch = np.sqrt((profile.df + rise) / (profile.df + 1))  # of the noise, as far as this law misfits
    weight = prior * (1 + rise / profile.df) ** (-profile.df / 2) * ndtr(amplitude * root / stretch) / root
    cell = random.choice(weight.size, draws, p=(weight / weight.sum()).ravel())
    row, column = np.divmod(cell, len(grid))
    scale = (stretch / root)[row, column]
    middle = amplitude[row, column]
    least = ndtr(-middle / scale)
    drawn = middle + scale * ndtri(np.minimum(least + (1 - least) * random.random(draws), 1 - 1e-15))
    floor, exponent = floors[row, 0], grid[column]
    if len(grid) > 1:  # spread over the grid's own steps
        exponent = exponent * (GRID[1] / GRID[0]) ** (random.random(draws) - 0.5)
    step = (high - low) / _FLOORS
    floor = np.where(row > 0, np.maximum(floor + step * (random.random(draws) - 0.5), 0), 0.0)
    ends = ((1 - level) / 2, (1 + level) / 2)
    bounds = [float(np.quantile(exponent, one)) for one in ends]
    return Region(exponent, floor, np.maximum(drawn, 0.0), ends, bounds[0], bounds[1])
