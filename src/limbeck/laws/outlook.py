"""How well one law's required k is known, and how well it is to be expected after runs that are not made yet.

The doubt is the area under the profile likelihood of log10 K, K being the k that a target gap requires,

    W = integral of (1 + (Q(K) - Q_min) / df)^(-(df + 1) / 2) over log10 K,

with Q(K) the least misfit of all laws that pass through (K, target). For a normal profile it is sqrt(2 pi) standard
errors; where the upper end of the interval is open, the tail up to a hundred times the largest k counts. A run not yet
made is given the value that a law drawn from the posterior predicts, and W is worked out anew: so a run is judged by
what it does to the whole interval, its upper end included, and not by a slope at the estimate.

Laws are taken for straight here, although answers allow them to bend (decision 0055): looking ahead with bent laws took
three times the time and chose no better runs (`docs/results/planning.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from limbeck.laws.levels import Floats, Levels
from limbeck.laws.posterior import posterior
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT, Quadratic, quadratic
from limbeck.laws.scaling import ScalingFit

DRAWS = 48
REACH = 100.0  # times the largest k measured: beyond, a doubt is no longer counted
RESOLUTION = 0.02  # decades: a required k that is known better than this is known
_EXPONENTS, _KS = 30, 40  # nodes; twice as many change no choice
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

    Shapes: `means` (draws, levels); laws (draws,) each, with the amplitude at the smallest k measured.
    """

    levels: Levels
    means: Floats
    exponent: Floats
    floor: Floats
    amplitude: Floats
    target: float
    confidence: float
    exponents: Floats  # (exponents,) nodes
    ks: Floats  # (ks,) nodes, evenly spaced in log k

    @cached_property
    def log_width(self) -> float:
        """Expected log of W, in nats: what choosing runs is to lower."""
        q = self._misfit
        falls = (self.ks / self.levels.k[0])[:, None] ** -q.exponents  # (ks, exponents)
        rise = q.through(falls, self.target).min(-1) - q.minimum()[0].min(-1)[:, None]  # (draws, ks)
        df = self.levels.df
        density = (1 + np.maximum(rise, 0) / df) ** (-(df + 1) / 2)
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
        gap = self.floor + self.amplitude * (reading.k / levels.k[0]) ** -self.exponent + self._shift
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

    @cached_property
    def _misfit(self) -> Quadratic:
        return quadratic(self.levels, self.exponents, shift_variance=self._shift_variance, mean=self.means)

    @cached_property
    def _shift_variance(self) -> float:
        return self.levels.shift_variance(self.confidence)

    @cached_property
    def _shift(self) -> Floats:
        """The reference's error that the data suggest if a law is true, `(draws,)`: runs to come share it."""
        w = 1 / self.levels.variance
        law = (
            self.floor[:, None]
            + self.amplitude[:, None] * (self.levels.k / self.levels.k[0]) ** -self.exponent[:, None]
        )
        shared = self._shift_variance / (1 + self._shift_variance * w.sum())
        return np.asarray(shared * (self.means - law) @ w)


def outlook(fit: ScalingFit, target: float, *, seed: int = 0, draws: int = DRAWS) -> Outlook:
    """What a fit knows of the k that a target requires; the laws are draws of its posterior."""
    levels = replace(fit.levels, df=max(fit.profile.df, 1.0))
    laws = posterior(fit.profile, fit.level, seed, draws)
    fixed = fit.profile.fixed_exponent
    outline = fit.profile.region(0.999)
    low, high = outline.exponent_low or LOWEST_EXPONENT, outline.exponent_high or HIGHEST_EXPONENT
    exponents = np.array([fixed]) if fixed is not None else np.geomspace(low, high, _EXPONENTS)
    q = quadratic(levels, exponents, shift_variance=levels.shift_variance(fit.level), mean=levels.mean[None])
    every = np.geomspace(1.0, REACH * fit.largest_k, 5 * _KS)
    rise = q.through((every / fit.smallest_k)[:, None] ** -exponents, target).min(-1)[0] - q.minimum()[0].min()
    seen = np.flatnonzero(rise <= max(_PLAUSIBLE, float(rise.min()) + 1))
    ends = every[max(seen[0] - 1, 0)], every[min(seen[-1] + 1, len(every) - 1)]
    return Outlook(
        levels, np.tile(levels.mean, (draws, 1)), laws.exponent, laws.floor, laws.amplitude, target, fit.level,
        exponents, np.geomspace(*ends, _KS),
    )  # fmt: skip
