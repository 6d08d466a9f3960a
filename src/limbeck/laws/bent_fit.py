"""Gaps and required k that allow for a law which is not quite a power: what predictions are read from.

The exponent of real networks is no constant: foretold by straight laws from the smaller k, the gap at the largest one
was outside of its 95 % interval in 41 of 160 laws, and below it each time (`docs/results/bend.md`). So the exponent may
change by `beta` a decade of k (`bend.py`), with a normal prior of mean 0 and sd `BEND_SD`: within the k measured the
data decide, beyond them the doubt grows with the square of the distance in decades. Intervals are profile sets over
(alpha, beta, f, a), whose misfit is

    Q(alpha, beta, f, a) + (t_df / z)^2 (beta / sd)^2,

t and z being the quantiles of Student and of the normal distribution at the interval's level: one threshold then serves
what is estimated and what is known beforehand, as for the reference's shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from limbeck.laws.bend import BentLaws, decay
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats, t_quantile
from limbeck.laws.profile import Profile, outline
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT, Quadratic, quadratic

BEND_SD = 0.4
"""Prior standard deviation of the change of the exponent over a decade of k (decision 0055)."""
_STEEPEST = 3.0  # largest bend looked at
_COARSE, _FINE, _ZOOMS = 21, 9, 3  # nodes of the first grid over exponents, of finer ones, and how many of these
_EXPONENTS, _BENDS = 17, 25  # nodes over the set
_FLOORS = np.sin(np.pi / 2 * np.linspace(-1, 1, 17))  # nodes on [-1, 1], dense at both ends
_FOREVER = 1e300  # a k at which nothing falls any more


@dataclass(frozen=True)
class Surface:
    """The misfit over (exponent, bend), floor and amplitude being free; pairs `(pairs,)` go together."""

    profile: Profile
    level: float

    @property
    def quantile(self) -> float:
        """Student's, at the interval's level."""
        return t_quantile(self.level, self.profile.df)

    @property
    def smallest_k(self) -> float:
        """Where the amplitude is the excess."""
        return float(self.profile.levels.k[0])

    @property
    def middle_k(self) -> float:
        """Geometric middle of the k measured."""
        return math.sqrt(self.smallest_k * float(self.profile.levels.k[-1]))

    def falls(self, k: Floats, exponents: Floats, bends: Floats) -> Floats:
        """The excess at k over that at the smallest k, `(pairs, points)`."""
        return decay(k, self.smallest_k, self.middle_k, exponents, bends)

    def quadratic(self, exponents: Floats, bends: Floats) -> Quadratic:
        """The misfit of the data in (f, a) for each pair."""
        levels, profile = self.profile.levels, self.profile
        basis = self.falls(levels.k, exponents, bends)
        return quadratic(levels, exponents, shift_variance=profile.shift_variance, scale=profile.scale, basis=basis)

    def of_bend(self, bends: Floats) -> Floats:
        """What a bend adds to the misfit by its prior."""
        return np.asarray((bends * self.quantile / (BEND_SD * t_quantile(self.level, math.inf))) ** 2)

    def misfit(self, exponents: Floats, bends: Floats) -> Floats:
        """The least misfit of each pair."""
        return np.asarray(self.quadratic(exponents, bends).minimum()[0] + self.of_bend(bends))


@dataclass(frozen=True)
class BentFit:
    """The best bent law and those not rejected: ask it for a gap at any k, or for the k that a gap requires."""

    surface: Surface
    misfit: float  # of the best law, its bend's own included
    best: BentLaws  # one law
    plausible: BentLaws  # outline of the profile set

    def gap(self, k: float) -> Estimate:
        """The gap at k of the average distilled set, without the noise of one run."""
        return _range(self.best.gap(k), self.plausible.gap(k))

    def required_k(self, target: float) -> Estimate:
        """The k at which a gap is reached; without an upper end where a law that is not rejected never reaches it."""
        return _range(self.best.required_k(target), self.plausible.required_k(target))

    @property
    def lowest_gap(self) -> Estimate:
        """The gap that no k goes below: the floor, or where the excess stays."""
        return self.gap(_FOREVER)

    @property
    def bend(self) -> Estimate:
        """beta, the change of the exponent over a decade of k, as the data and the prior have it."""
        return _range(self.best.bend, self.plausible.bend)

    def nodes(self, rise: float, exponents: int, bends: int) -> tuple[Floats, Floats]:
        """Exponents and bends, `(pairs,)`, over all laws whose misfit is at most `rise` above the best one's."""
        limit, best = self.misfit + rise, float(self.best.bend[0])
        held = _bends(self.surface, _STEEPEST, best, limit, bends)
        found = _nodes(self.surface, held, limit, exponents)
        return np.append(found[0], self.best.exponent), np.append(found[1], best)

    def unreachable(self, target: float) -> float:
        """One-sided confidence that no k reaches the target: `T_df(sign sqrt(change of the misfit))`."""
        surface, far = self.surface, float(np.abs(self.plausible.bend).max())
        grid = np.geomspace(LOWEST_EXPONENT, HIGHEST_EXPONENT, 2 * _COARSE)
        exponents, bends = (one.ravel() for one in np.meshgrid(grid, np.linspace(-far, far, 2 * _COARSE)))
        exponents, bends = np.append(exponents, self.best.exponent), np.append(bends, self.best.bend)
        left = surface.falls(np.array([_FOREVER]), exponents, bends)[:, 0]
        misfit = surface.quadratic(exponents, bends).through(left, target) + surface.of_bend(bends)
        change = max(float(misfit.min()) - self.misfit, 0.0)
        side = float(student.cdf(math.sqrt(change), surface.profile.df))
        return side if np.isinf(self.best.required_k(target)[0]) else 1 - side


def fit_bent(profile: Profile, level: float) -> BentFit:
    """The bent law of a table whose straight law is `profile.best`, and its profile set at a confidence level."""
    surface = Surface(profile, level)
    sure = t_quantile(level, math.inf) * math.sqrt(1 + profile.best.misfit / surface.quantile**2)
    far = min(BEND_SD * sure, _STEEPEST)  # a bend beyond costs more than the straight law does
    exponent, bend, misfit = _best(surface, far)
    limit = misfit + surface.quantile**2
    exponents, bends = _nodes(surface, _bends(surface, far, bend, limit, _BENDS), limit, _EXPONENTS)
    exponents, bends = np.append(exponents, exponent), np.append(bends, bend)
    q = surface.quadratic(exponents, bends)
    place, floor, amplitude = outline(q, limit - surface.of_bend(bends), _FLOORS)
    _, least_floor, least_amplitude = q.minimum()
    ends = surface.smallest_k, surface.middle_k
    best = BentLaws(exponents[-1:], bends[-1:], least_floor[-1:], least_amplitude[-1:], *ends)
    return BentFit(surface, misfit, best, BentLaws(exponents[place], bends[place], floor, amplitude, *ends))


def _range(best: Floats, values: Floats) -> Estimate:
    return Estimate.of(float(best[0]), float(values.min()), float(values.max()))


def _best(surface: Surface, far: float) -> tuple[float, float, float]:
    """Exponent, bend and misfit of the best law, bends on finer and finer grids."""
    bends = np.linspace(-far, far, _COARSE)
    for _ in range(_ZOOMS + 1):
        exponents, misfit = _profiled(surface, bends)
        node = int(np.argmin(misfit))
        found = float(exponents[node]), float(bends[node]), float(misfit[node])
        bends = np.linspace(bends[max(node - 1, 0)], bends[min(node + 1, len(bends) - 1)], _FINE)
    return found


def _profiled(surface: Surface, bends: Floats) -> tuple[Floats, Floats]:
    """For each bend the exponent of least misfit, and that misfit: grids finer and finer, each about its own best."""
    low, high = (np.full(len(bends), math.log(end)) for end in (LOWEST_EXPONENT, HIGHEST_EXPONENT))
    rows = np.arange(len(bends))
    for count in [_COARSE] + _ZOOMS * [_FINE]:
        nodes = _between(low, high, np.linspace(0, 1, count))
        misfit = _each(surface, nodes, bends)
        best = np.argmin(misfit, 1)
        low, high = nodes[rows, np.maximum(best - 1, 0)], nodes[rows, np.minimum(best + 1, count - 1)]
    return np.exp(nodes[rows, best]), misfit[rows, best]


def _between(low: Floats, high: Floats, parts: Floats) -> Floats:
    """Nodes at parts of the way from low to high, `(rows, parts)`."""
    return np.asarray(low[:, None] + (high - low)[:, None] * parts)


def _each(surface: Surface, nodes: Floats, bends: Floats) -> Floats:
    """The least misfit where each bend has log exponents of its own, `(bends, nodes)`."""
    return surface.misfit(np.exp(nodes).ravel(), np.repeat(bends, nodes.shape[1])).reshape(nodes.shape)


def _bends(surface: Surface, far: float, best: float, limit: float, count: int) -> Floats:
    """Nodes from the least bend of the set to the largest, dense at both ends."""
    low, high = -far, far
    for _ in range(3):
        nodes = np.linspace(low, high, _BENDS)
        inside = (_profiled(surface, nodes)[1] <= limit) | (np.abs(nodes - best) <= nodes[1] - nodes[0])
        first, last = np.flatnonzero(inside)[[0, -1]]
        low, high = nodes[max(first - 1, 0)], nodes[min(last + 1, _BENDS - 1)]
    return np.asarray(low + (high - low) * _dense(count))


def _nodes(surface: Surface, bends: Floats, limit: float, count: int) -> tuple[Floats, Floats]:
    """Exponents over the set at each bend, from the least to the largest; bends that have none are left out."""
    exponents, misfit = _profiled(surface, bends)
    bends, middle = bends[misfit <= limit], np.log(exponents[misfit <= limit])
    rows, ends = np.arange(len(bends)), []
    for end in (LOWEST_EXPONENT, HIGHEST_EXPONENT):
        inner, outer = middle, np.full(len(bends), math.log(end))
        for _ in range(_ZOOMS):  # the outermost node within, and the one beyond it
            nodes = _between(outer, inner, np.linspace(0, 1, _FINE))
            within = _each(surface, nodes, bends) <= limit
            within[:, -1] = True
            first = np.argmax(within, 1)
            inner, outer = nodes[rows, first], nodes[rows, np.maximum(first - 1, 0)]
        ends.append(inner)
    nodes = _between(ends[0], ends[1], _dense(count))
    return np.exp(nodes).ravel(), np.repeat(bends, count)


def _dense(count: int) -> Floats:
    """Parts from 0 to 1, dense at both ends."""
    return np.asarray((np.sin(np.pi / 2 * np.linspace(-1, 1, count)) + 1) / 2)
