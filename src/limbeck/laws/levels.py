"""Levels of k: means over distilled sets, and how far each of them can be off.

A run is one training on one distilled set. Runs of one set share what that set happens to be, so the set, not the
run, is the unit: `mean_k = average over sets of (average over seeds)`, with variance `s^2 v(k) / D_k` for D_k sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, polygamma
from scipy.stats import t as student

from limbeck.errors import BadData
from limbeck.laws.components import Components, components
from limbeck.laws.notes import Code, Note

Floats = NDArray[np.float64]

GAMMA_SD = 0.1  # prior sd of gamma: over two decades of k the spread changes by a factor of 1.6


@dataclass(frozen=True)
class Levels:
    """What a law is fitted to: one row per k.

    `variance` is that of each level's mean, without the reference's; `df` its degrees of freedom (0: unknown, and
    `variance` is then only relative); `shift_sd` the standard error of the reference mean, common to all levels.
    """

    k: Floats  # (levels,)
    mean: Floats  # (levels,) mean gap
    sets: Floats  # (levels,) distilled sets behind each mean
    runs: Floats  # (levels,)
    variance: Floats  # (levels,)
    df: float
    gamma: float  # the noise of a set falls as k^-gamma
    shift_sd: float
    shift_df: float  # infinite: known
    unit_k: Floats  # (sets,) k of every distilled set
    unit_gap: Floats  # (sets,) mean gap of every distilled set
    unit_runs: Floats  # (sets,)
    unit_set: NDArray[np.str_]  # (sets,) its id; a set of one k and id is one under every configuration of a method
    within_sd: float | None  # standard deviation between seeds of one set
    within_df: float
    components: Components
    notes: tuple[Note, ...]

    @property
    def set_sd(self) -> float:
        """Standard deviation of one set's mean at the smallest k."""
        return float(math.sqrt(self.variance[0] * self.sets[0]))

    def relative_noise(self, k: ArrayLike) -> Floats:
        """v(k) = (k / k_min)^(-2 gamma): the variance of one set relative to that at the smallest k."""
        return np.asarray(np.asarray(k, float) / self.k[0], float) ** (-2 * self.gamma)

    def shift_variance(self, level: float) -> float:
        """Variance of the reference shift, widened so that its t quantile counts as this table's own.

        With few reference seeds the shift deserves the quantile of `shift_df`; scaling it by the ratio of quantiles
        lets one threshold serve both, which keeps the profile a quadratic.
        """
        if self.shift_sd == 0:
            return 0.0
        own = t_quantile(level, self.df)
        return float((self.shift_sd * t_quantile(level, self.shift_df) / own) ** 2)

    def keep(self, mask: NDArray[np.bool_]) -> Levels:
        """The same table with some levels left out; the pooled variance is kept."""
        units = np.isin(self.unit_k, self.k[mask])
        return replace(
            self,
            k=self.k[mask],
            mean=self.mean[mask],
            sets=self.sets[mask],
            runs=self.runs[mask],
            variance=self.variance[mask],
            unit_k=self.unit_k[units],
            unit_gap=self.unit_gap[units],
            unit_runs=self.unit_runs[units],
            unit_set=self.unit_set[units],
        )


@lru_cache(4096)
def t_quantile(level: float, df: float) -> float:
    """Two-sided quantile of Student's t; of the normal distribution for infinite df."""
    return float(student.ppf(0.5 + level / 2, df if math.isfinite(df) else 1e9))


def level_means(
    k: ArrayLike,
    gap: ArrayLike,
    set_id: Sequence[object] | ArrayLike,
    *,
    reference: tuple[float, float] | None = None,
    heteroscedastic: bool = True,
) -> Levels:
    """Average runs over seeds, sets and levels, with a variance pooled over levels.

    `k`, `gap`, `set_id` have one entry a run; `reference` is (sd of one reference run, number of reference runs), None
    when unknown. The pooled variance of a set's mean is `s^2 = sum_k sum_d (y_kd - y_k)^2 / v_k / sum_k (D_k - 1)`. A
    level's own variance (two or so degrees of freedom) is never used for its weight; `v_k = k^(-2 gamma)` lets the
    spread change with k, with gamma shrunk by its own uncertainty.

    Raises `BadData` for values that are not finite, or k below 1.
    """
    ks, gaps = np.asarray(k, float), np.asarray(gap, float)
    ids = np.asarray([str(one) for one in np.asarray(set_id, dtype=object).ravel()])
    if not (ks.ndim == 1 and ks.shape == gaps.shape == ids.shape and ks.size):
        raise BadData(
            f"k, gap and set_id need one entry a run; their shapes are {ks.shape}, {gaps.shape}, {ids.shape}."
        )
    if not (np.isfinite(ks).all() and np.isfinite(gaps).all() and (ks >= 1).all()):
        raise BadData("k must be at least 1 and every gap finite: leave failed runs out and say so beside the result.")
    unit_k, unit_gap, unit_runs, unit_set, within_ss, within_df = _units(ks, gaps, ids)
    within_sd = math.sqrt(within_ss / within_df) if within_df > 0 else None
    return _assemble(unit_k, unit_gap, unit_runs, unit_set, within_sd, within_df, reference, heteroscedastic)


def levels_of_means(
    k: ArrayLike,
    mean: ArrayLike,
    sd: ArrayLike,
    n: ArrayLike,
    set_id: Sequence[object] | None = None,
    *,
    reference: tuple[float, float] | None = None,
) -> Levels:
    """Levels from published means: standard deviation `sd` over `n` replicates at each k, pooled over levels.

    With `set_id` each mean is of the n trainings on one set, and sets of one k are told apart by it. Without, each
    replicate counts as a set of its own, which a table of means can't prove: the note `means_only` says so.
    """
    order = np.argsort(np.asarray(k, float), kind="stable")
    ks, means, sds, counts = (np.asarray(part, float)[order] for part in (k, mean, sd, n))
    if not (np.isfinite(np.stack([ks, means, sds, counts])).all() and (counts >= 1).all() and (sds >= 0).all()):
        raise BadData("means need a finite gap, a standard deviation of at least 0 and n of at least 1 at every k.")
    ids = np.array(["" if set_id is None else str(set_id[place]) for place in order])
    if len(set(zip(ks.tolist(), ids.tolist(), strict=True))) != len(ks):
        raise BadData(
            "a table of means holds one k twice: merge these rows, name their methods apart, or number their sets in a "
            "column 'set'."
        )
    df = float(np.sum(counts - 1))
    pooled = float(np.sum((counts - 1) * sds**2) / df) if df > 0 else 1.0
    if set_id is not None:
        seed_sd = math.sqrt(pooled) if df > 0 else None
        return _assemble(ks, means, counts, ids, seed_sd, df, reference, heteroscedastic=True)
    note = Note(
        Code.means_only,
        "Only means were given: each of the n replicates counts as an independently distilled set. If they are seeds "
        "of one set, the intervals are too narrow.",
    )
    pooled, exact = _positive(pooled) if df > 0 else (pooled, [])
    empty = Components(math.sqrt(pooled) if df > 0 else None, None, reference[0] if reference else None, None, None)
    shift_sd, shift_df, notes = _shift(reference, None, 0.0)
    return Levels(
        k=ks, mean=means, sets=counts, runs=counts, variance=pooled / counts, df=df, gamma=0.0, shift_sd=shift_sd,
        shift_df=shift_df, unit_k=ks, unit_gap=means, unit_runs=counts, unit_set=ids, within_sd=None, within_df=0.0,
        components=empty, notes=(note, *exact, *notes),
    )  # fmt: skip


def _positive(pooled: float) -> tuple[float, list[Note]]:
    """A pooled variance that can be divided by; the note says where the sets gave none."""
    if pooled > 1e-24:
        return pooled, []
    message = (
        "The distilled sets of one k agree exactly, as rounded numbers or one set given twice do: their spread "
        "tells nothing of the noise."
    )
    return 1e-18, [Note(Code.zero_variance, message)]


def _units(
    ks: Floats, gaps: Floats, ids: NDArray[np.str_]
) -> tuple[Floats, Floats, Floats, NDArray[np.str_], float, float]:
    """Means over seeds: one entry per (k, set), sorted by k."""
    levels, level_of = np.unique(ks, return_inverse=True)
    names, id_of = np.unique(ids, return_inverse=True)
    pairs, unit_of = np.unique(level_of * (id_of.max() + 1) + id_of, return_inverse=True)
    runs = np.bincount(unit_of).astype(float)
    means = np.bincount(unit_of, weights=gaps) / runs
    within = float(np.sum((gaps - means[unit_of]) ** 2))
    level, own = np.divmod(pairs, id_of.max() + 1)
    return levels[level], means, runs, names[own], within, float(len(gaps) - len(pairs))


def _assemble(
    unit_k: Floats,
    unit_gap: Floats,
    unit_runs: Floats,
    unit_set: NDArray[np.str_],
    within_sd: float | None,
    within_df: float,
    reference: tuple[float, float] | None,
    heteroscedastic: bool,
) -> Levels:
    k, level_of = np.unique(unit_k, return_inverse=True)
    sets = np.bincount(level_of).astype(float)
    mean = np.bincount(level_of, weights=unit_gap) / sets
    squares = np.bincount(level_of, weights=(unit_gap - mean[level_of]) ** 2).astype(float)
    runs: Floats = np.bincount(level_of, weights=unit_runs).astype(float)
    df = float(np.sum(sets - 1))
    gamma, doubt, notes = _gamma(k, squares, sets - 1.0) if heteroscedastic else (0.0, 0.0, [])
    v = (k / k[0]) ** (-2 * gamma)
    pooled = float(np.sum(squares / v) / df) if df > 0 else 1.0
    if df > 0:
        pooled, exact = _positive(pooled)
        notes += exact
    shift_sd, shift_df, more = _shift(reference, within_sd, within_df)
    return Levels(
        k=k, mean=mean, sets=sets, runs=runs, variance=pooled * v / sets,
        df=df / (1 + doubt * df / 2),  # Satterthwaite: 2 / df of a log variance, plus the doubt about gamma
        gamma=gamma, shift_sd=shift_sd, shift_df=shift_df, unit_k=unit_k, unit_gap=unit_gap, unit_runs=unit_runs,
        unit_set=unit_set, within_sd=within_sd, within_df=within_df,
        components=components(pooled if df > 0 else None, within_sd, unit_runs, reference), notes=(*notes, *more),
    )  # fmt: skip


def _gamma(k: Floats, squares: Floats, df: Floats) -> tuple[float, float, list[Note]]:
    """How the spread changes with k: log variance regressed on log k, by the exact moments of a log chi-square.

    gamma has a normal prior of mean 0 and sd `GAMMA_SD`: few sets say little of it, and a yes-or-no test on them gives
    intervals that are too short. Returns gamma and the variance that its uncertainty adds to a level's log variance.
    """
    seen = (df > 0) & (squares > 0)
    if seen.sum() < 4:
        return 0.0, 0.0, []
    half = df[seen] / 2
    log_variance = np.log(squares[seen] / df[seen]) - digamma(half) + np.log(half)
    weight = 1 / polygamma(1, half)
    x = np.log(k[seen])
    x = x - np.average(x, weights=weight)
    spread = float(np.sum(weight * x**2))
    slope = float(np.sum(weight * x * log_variance)) / spread
    error = 1 / (4 * spread)  # variance of gamma = -slope / 2
    shrink = GAMMA_SD**2 / (GAMMA_SD**2 + error)
    gamma, z = -slope / 2 * shrink, slope * math.sqrt(spread)
    doubt = 4 * shrink * error * float(np.mean(x**2)) / 2  # halved: errors of the two ends partly cancel
    if abs(z) < 1.96:
        return gamma, doubt, []
    message = f"The spread between sets changes with k (as k^{-gamma:.2f}, z = {z:.1f}): levels are weighted for it."
    return gamma, doubt, [Note(Code.heteroscedastic, message)]


def _shift(
    reference: tuple[float, float] | None, seed_sd: float | None, seed_df: float
) -> tuple[float, float, list[Note]]:
    """Standard error of the reference mean and its degrees of freedom."""
    if reference is None:
        message = "The noise of the full-data reference is not in this table, so intervals leave it out."
        return 0.0, math.inf, [Note(Code.reference_noise_unknown, message)]
    sd, n = reference
    if n < 1:
        raise BadData("a reference needs at least one run: train on the full data under this configuration.")
    if n > 1 and math.isfinite(sd):
        return sd / math.sqrt(n), n - 1.0, []
    if seed_sd is None:
        message = "One reference run says nothing of its noise, and no set has two seeds: intervals leave it out."
        return 0.0, math.inf, [Note(Code.reference_noise_unknown, message)]
    message = "One reference run says nothing of its noise: the seed noise of the distilled sets stands in for it."
    return seed_sd / math.sqrt(n), seed_df, [Note(Code.reference_noise_borrowed, message)]
