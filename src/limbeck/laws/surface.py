"""The misfit of bent laws over (exponent, bend), and where it is least and low enough.

It is `Q(alpha, beta, f, a) + (t_df / z)^2 (beta / sd)^2`, least over f and a: the data's misfit in variances and what
the bend's normal prior adds, t and z being the quantiles of Student and of the normal distribution at the interval's
level: one threshold, t^2, then serves what is estimated and what is known beforehand, as for the reference's shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from limbeck.laws.bend import decay
from limbeck.laws.levels import Floats, t_quantile
from limbeck.laws.profile import Profile
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT, Quadratic, quadratic

BEND_SD = 0.4
"""Prior standard deviation of the change of the exponent over a decade of k (decision 0055)."""
STEEPEST = 3.0
"""Largest bend looked at."""
_COARSE, _FINE, _ZOOMS = 21, 9, 3  # nodes of a first grid, of finer ones, and how many of these


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

    def best(self, far: float) -> tuple[float, float, float]:
        """Exponent, bend and misfit of the best law, bends on finer and finer grids."""
        bends = np.linspace(-far, far, _COARSE)
        for _ in range(_ZOOMS + 1):
            exponents, misfit = self.profiled(bends)
            node = int(np.argmin(misfit))
            found = float(exponents[node]), float(bends[node]), float(misfit[node])
            bends = np.linspace(bends[max(node - 1, 0)], bends[min(node + 1, len(bends) - 1)], _FINE)
        return found

    def profiled(self, bends: Floats) -> tuple[Floats, Floats]:
        """For each bend the exponent of least misfit, and that misfit: finer and finer grids about the best so far."""
        low, high = (np.full(len(bends), math.log(end)) for end in (LOWEST_EXPONENT, HIGHEST_EXPONENT))
        rows = np.arange(len(bends))
        for count in [_COARSE] + _ZOOMS * [_FINE]:
            nodes = _between(low, high, np.linspace(0, 1, count))
            misfit = self._each(nodes, bends)
            best = np.argmin(misfit, 1)
            low, high = nodes[rows, np.maximum(best - 1, 0)], nodes[rows, np.minimum(best + 1, count - 1)]
        return np.exp(nodes[rows, best]), misfit[rows, best]

    def bends(self, far: float, best: float, limit: float, count: int) -> Floats:
        """Nodes from the least bend whose misfit is within the limit to the largest, dense at both ends."""
        low, high = -far, far
        for tried in (3 * _COARSE, _COARSE, _COARSE):  # the set may be in parts, the smaller one easily missed
            nodes = np.linspace(low, high, tried)
            rise = self.profiled(nodes)[1] - limit
            rise = np.where(np.abs(nodes - best) <= nodes[1] - nodes[0], np.minimum(rise, 0.0), rise)
            first, last = np.flatnonzero(rise <= 0)[[0, -1]]
            low, high = nodes[max(first - 1, 0)], nodes[min(last + 1, len(nodes) - 1)]
        low, high = _crossing(nodes, rise, first, -1), _crossing(nodes, rise, last, 1)
        return np.asarray(low + (high - low) * _dense(count))

    def nodes(self, bends: Floats, limit: float, count: int) -> tuple[Floats, Floats]:
        """Exponents over the set at each bend, from the least to the largest; bends that have none are left out."""
        exponents, misfit = self.profiled(bends)
        bends, middle = bends[misfit <= limit], np.log(exponents[misfit <= limit])
        rows, ends = np.arange(len(bends)), []
        for end in (LOWEST_EXPONENT, HIGHEST_EXPONENT):
            inner, outer = middle, np.full(len(bends), math.log(end))
            for _ in range(_ZOOMS):  # the outermost node within, and the one beyond it
                nodes = _between(outer, inner, np.linspace(0, 1, _FINE))
                within = self._each(nodes, bends) <= limit
                within[:, -1] = True
                first = np.argmax(within, 1)
                inner, outer = nodes[rows, first], nodes[rows, np.maximum(first - 1, 0)]
            ends.append(inner)
        nodes = _between(ends[0], ends[1], _dense(count))
        return np.exp(nodes).ravel(), np.repeat(bends, count)

    def _each(self, nodes: Floats, bends: Floats) -> Floats:
        """The least misfit where each bend has log exponents of its own, `(bends, nodes)`."""
        return self.misfit(np.exp(nodes).ravel(), np.repeat(bends, nodes.shape[1])).reshape(nodes.shape)


def _between(low: Floats, high: Floats, parts: Floats) -> Floats:
    """Nodes at parts of the way from low to high, `(rows, parts)`."""
    return np.asarray(low[:, None] + (high - low)[:, None] * parts)


def _crossing(nodes: Floats, rise: Floats, inside: int, side: int) -> float:
    """Where the rise passes 0 between a node and its neighbour on a side; the node itself where it has none."""
    outside = inside + side
    if not 0 <= outside < len(nodes):
        return float(nodes[inside])
    share = rise[inside] / (rise[inside] - rise[outside])
    return float(nodes[inside] + share * (nodes[outside] - nodes[inside]))


def _dense(count: int) -> Floats:
    """Parts from 0 to 1, dense at both ends."""
    return np.asarray((np.sin(np.pi / 2 * np.linspace(-1, 1, count)) + 1) / 2)
