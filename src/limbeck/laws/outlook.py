"""How well one law's required k is known, and how well it is to be expected after runs that are not made yet.

The doubt is the area under the profile likelihood of log10 K, K being the k that a target gap requires,

    W = integral of (1 + (Q(K) - Q_min) / df)^(-(df + 1) / 2) over log10 K,

with Q(K) the least misfit of all laws, bent ones too, that pass through (K, target). For a normal profile it is
sqrt(2 pi) standard errors; where the upper end of the interval is open, the tail up to a hundred times the largest k
counts. A run not yet made is given the value that a law drawn from the posterior predicts, and W is worked out anew: so
a run is judged by what it does to the whole interval, its upper end included, and not by a slope at the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from limbeck.laws.bend import BentLaws, decay
from limbeck.laws.bent_fit import BentFit
from limbeck.laws.levels import Floats, Levels, t_quantile
from limbeck.laws.posterior import bent_posterior, posterior
from limbeck.laws.profile import Region
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT, Quadratic, quadratic
from limbeck.laws.scaling import ScalingFit

DRAWS = 48
REACH = 100.0  # times the largest k measured: beyond, a doubt is no longer counted
RESOLUTION = 0.02  # decades: a required k that is known better than this is known
_STRAIGHT_EXPONENTS, _BENT_EXPONENTS, _BENDS, _KS = 30, 9, 7, 40  # nodes
_SURE = 0.999  # confidence of the laws that are looked at
_PLAUSIBLE = 16.0  # rise of Q (four standard errors) up to which a K is looked at


@dataclass(frozen=True)
class Reading:
    """What one kind of run tells of a law: the gap at k, or for a k of None the reference's own error.

    n such runs together have the variance `shared + own / n`.
    """

    law: int  # index among the outlooks
    k: float | None
    own: float
    shared: float = 0.0

    def variance(self, runs: float) -> float:
        """Of the mean of so many runs, fractions allowed."""
        return self.shared + self.own / runs


@dataclass(frozen=True)
class Outlook:
    """The data of one law under each of many laws that may be true: measured levels alike, levels to come as predicted.

    Shapes: `means` (draws, levels); `laws` (draws,).
    """

    levels: Levels
    means: Floats
    laws: BentLaws
    target: float
    confidence: float
    exponents: Floats  # (nodes,)
    bends: Floats  # (nodes,)
    prior: Floats  # (nodes,) what the bend adds to the misfit
    ks: Floats  # (ks,) nodes, evenly spaced in log k

    @cached_property
    def rise(self) -> Floats:
        """By how much the least misfit rises where the target is held to be reached at each k, `(draws, ks)`."""
        q = self._misfit
        through = (q.through(self._falls(self.ks).T, self.target) + self.prior).min(-1)
        return np.asarray(through - (q.minimum()[0] + self.prior).min(-1)[:, None])

    @cached_property
    def log_width(self) -> float:
        """Expected log of W, in nats: what choosing runs is to lower."""
        df = self.levels.df
        density = (1 + np.maximum(self.rise, 0) / df) ** (-(df + 1) / 2)
        width = density.sum(1) * np.log10(self.ks[1] / self.ks[0])
        return float(np.log(width + RESOLUTION).mean())

    def gain(self, reading: Reading, runs: float = 1.0) -> float:
        """By how much so many runs are expected to lower the log of W."""
        return self.log_width - self.after(reading, runs).log_width

    def after(self, reading: Reading, runs: float = 1.0) -> Outlook:
        """The outlook with runs added, each law predicting their mean."""
        levels, variance = self.levels, reading.variance(runs)
        if reading.k is None:
            if levels.shift_sd == 0:
                return self
            sd = (levels.shift_sd**-2 + 1 / variance) ** -0.5
            learned = self._shift * (1 - (sd / levels.shift_sd) ** 2)
            means = self.means - learned[:, None]
            return replace(self, levels=replace(levels, shift_sd=sd, shift_df=levels.shift_df + runs), means=means)
        gap = self.laws.gap(reading.k) + self._shift
        means = np.column_stack([self.means, gap])
        levels = replace(
            levels,
            k=np.append(levels.k, reading.k),
            mean=np.append(levels.mean, gap.mean()),
            sets=np.append(levels.sets, runs),
            runs=np.append(levels.runs, runs),
            variance=np.append(levels.variance, variance),
        )
        return replace(self, levels=levels, means=means)

    def _falls(self, k: Floats) -> Floats:
        """The excess at k over that at the smallest k, `(nodes, points)`."""
        return decay(k, self.laws.smallest_k, self.laws.middle_k, self.exponents, self.bends)

    @cached_property
    def _misfit(self) -> Quadratic:
        basis = self._falls(self.levels.k)
        return quadratic(self.levels, self.exponents, shift_variance=self._shift_variance, mean=self.means, basis=basis)

    @cached_property
    def _shift_variance(self) -> float:
        return self.levels.shift_variance(self.confidence)

    @cached_property
    def _shift(self) -> Floats:
        """The reference's error that the data suggest if a law is true, `(draws,)`: runs to come share it."""
        w = 1 / self.levels.variance
        law = np.stack([self.laws.gap(k) for k in self.levels.k], 1)  # (draws, levels)
        shared = self._shift_variance / (1 + self._shift_variance * w.sum())
        return np.asarray(shared * (self.means - law) @ w)


def outlook(fit: ScalingFit, target: float, *, seed: int = 0, draws: int = DRAWS) -> Outlook:
    """What a fit knows of the k that a target requires; the laws are draws of its posterior."""
    levels = replace(fit.levels, df=max(fit.profile.df, 1.0))
    law = fit.foretold
    if isinstance(law, BentFit):
        laws, rise = bent_posterior(law, seed, draws), t_quantile(_SURE, levels.df) ** 2
        exponents, bends = law.nodes(rise, _BENT_EXPONENTS, _BENDS)
        prior = law.surface.of_bend(bends)
    else:
        laws = _straight(fit, posterior(fit.profile, fit.level, seed, draws))
        exponents, prior = _exponents(fit), np.zeros(1)
        bends = np.zeros(len(exponents))
    start = Outlook(
        levels, levels.mean[None], laws, target, fit.level, exponents, bends, prior,
        np.geomspace(1.0, REACH * fit.largest_k, 5 * _KS),
    )  # fmt: skip
    seen = np.flatnonzero(start.rise[0] <= max(_PLAUSIBLE, float(start.rise.min()) + 1))
    ends = start.ks[max(seen[0] - 1, 0)], start.ks[min(seen[-1] + 1, len(start.ks) - 1)]
    return replace(start, means=np.tile(levels.mean, (draws, 1)), ks=np.geomspace(*ends, _KS))


def _straight(fit: ScalingFit, laws: Region) -> BentLaws:
    ends = fit.smallest_k, math.sqrt(fit.smallest_k * fit.largest_k)
    return BentLaws(laws.exponent, np.zeros(len(laws.exponent)), laws.floor, laws.amplitude, *ends)


def _exponents(fit: ScalingFit) -> Floats:
    """Nodes for a law that is held straight."""
    fixed = fit.profile.fixed_exponent
    if fixed is not None:
        return np.array([fixed])
    outline = fit.profile.region(_SURE)
    return np.geomspace(
        outline.exponent_low or LOWEST_EXPONENT, outline.exponent_high or HIGHEST_EXPONENT, _STRAIGHT_EXPONENTS
    )
