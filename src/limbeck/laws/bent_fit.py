"""Gaps and required k that allow for a law which is not quite a power: what predictions are read from.

The exponent of real networks is no constant: foretold by straight laws from the smaller k, the gap at the largest one
was outside of its 95 % interval in 44 of 176 laws, and below it each time (`docs/results/bend.md`). So the exponent may
change by `beta` a decade of k (`bend.py`), with a normal prior of mean 0 and sd `BEND_SD`: within the k measured the
data decide, beyond them the doubt grows with the square of the distance in decades. Intervals are profile sets over
(alpha, beta, f, a) of the misfit in `surface.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from limbeck.laws.bend import BentLaws
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats, t_quantile
from limbeck.laws.profile import Profile, confidence, outline
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT
from limbeck.laws.surface import BEND_SD, STEEPEST, Surface

_EXPONENTS, _BENDS = 17, 25  # nodes over the set
_FLOORS = np.sin(np.pi / 2 * np.linspace(-1, 1, 17))  # nodes on [-1, 1], dense at both ends
_WHOLE = 42  # nodes a side over all exponents and bends
_FOREVER = 1e300  # a k at which nothing falls any more


@dataclass(frozen=True)
class BentFit:
    """The best bent law and those not rejected: ask it for a gap at any k, or for the k that a gap requires."""

    surface: Surface
    misfit: float  # of the best law, its bend's own included
    best: BentLaws  # one law
    plausible: BentLaws  # outline of the profile set
    offset: float = 0.0  # what the surface's gaps are larger by

    def estimate_of(self, functional: Callable[[BentLaws], Floats]) -> Estimate:
        """Anything of a law with its interval: the range over all laws that are not rejected."""
        values = functional(self.plausible)
        return Estimate.of(float(functional(self.best)[0]), float(values.min()), float(values.max()))

    def gap(self, k: float) -> Estimate:
        """The gap at k of the average distilled set, without the noise of one run."""
        return self.estimate_of(lambda laws: laws.gap(k))

    def required_k(self, target: float) -> Estimate:
        """The k at which a gap is reached; without an upper end where a law that is not rejected never reaches it."""
        return self.estimate_of(lambda laws: laws.required_k(target))

    @property
    def lowest_gap(self) -> Estimate:
        """The gap that no k goes below: the floor, or where the excess stays."""
        return self.gap(_FOREVER)

    @property
    def bend(self) -> Estimate:
        """beta, the change of the exponent over a decade of k, as the data and the prior have it."""
        return self.estimate_of(lambda laws: laws.bend)

    def unreachable(self, target: float) -> float:
        """One-sided confidence that no k reaches the target: `T_df(sign sqrt(change of the misfit))`."""
        surface, far = self.surface, float(np.abs(self.plausible.bend).max())
        grid = np.geomspace(LOWEST_EXPONENT, HIGHEST_EXPONENT, _WHOLE)
        exponents, bends = (one.ravel() for one in np.meshgrid(grid, np.linspace(-far, far, _WHOLE)))
        exponents, bends = np.append(exponents, self.best.exponent), np.append(bends, self.best.bend)
        left = surface.falls(np.array([_FOREVER]), exponents, bends)[:, 0]
        misfit = surface.quadratic(exponents, bends).through(left, target + self.offset) + surface.of_bend(bends)
        never = bool(np.isinf(self.best.required_k(target)[0]))
        return confidence(float(misfit.min()) - self.misfit, surface.profile.df, never)


def fit_bent(profile: Profile, level: float, *, offset: float = 0.0) -> BentFit:
    """The bent law of a table whose straight law is `profile.best`, and its profile set at a confidence level.

    `offset` is what the profile's gaps are larger by than those that are asked for: floors may be so far below zero.
    """
    surface, far = Surface(profile, level), _far(profile, level)
    exponent, bend, misfit = surface.best(far)
    limit = misfit + surface.quantile**2
    exponents, bends = surface.nodes(surface.bends(far, bend, limit, _BENDS), limit, _EXPONENTS)
    exponents, bends = np.append(exponents, exponent), np.append(bends, bend)
    q = surface.quadratic(exponents, bends)
    place, floor, amplitude = outline(q, limit - surface.of_bend(bends), _FLOORS)
    _, least_floor, least_amplitude = q.minimum()
    ends = surface.smallest_k, surface.middle_k
    best = BentLaws(exponents[-1:], bends[-1:], least_floor[-1:] - offset, least_amplitude[-1:], *ends)
    outlined = BentLaws(
        np.append(exponents[place], best.exponent),  # the best law too: where sets agree exactly, rounding leaves none
        np.append(bends[place], best.bend),
        np.append(floor - offset, best.floor),
        np.append(amplitude, best.amplitude),
        *ends,
    )
    return BentFit(surface, misfit, best, outlined, offset)


def least_misfit(profile: Profile, level: float) -> float:
    """The misfit of the best bent law."""
    return Surface(profile, level).best(_far(profile, level))[2]


def _far(profile: Profile, level: float) -> float:
    """A bend beyond costs more than the straight law does."""
    quantile = t_quantile(level, profile.df)
    return min(BEND_SD * t_quantile(level, math.inf) * math.sqrt(1 + profile.best.misfit / quantile**2), STEEPEST)
