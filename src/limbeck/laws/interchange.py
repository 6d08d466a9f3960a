"""Are surrogates interchangeable? The gap against the alignment discrepancy, method by method, as an equivalence claim.

`gap = block + f_m + b_m x`, with x = log A_a(S)^2, m the method and a block for each (configuration, k). Sets are
judged under several configurations, so covariances are clustered by set (see `clustered`).
A difference that is not significant is no evidence of equality: equality is claimed by two one-sided tests alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from limbeck.errors import BadData
from limbeck.laws.clustered import Line, least_squares
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import t_quantile
from limbeck.streams import numpy_stream

Floats = NDArray[np.float64]
SLOPE_MARGIN = 0.25  # of a slope ratio
GAP_MARGIN = 0.01  # of an adjusted gap: one point of error
DRAWS = 500


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of a pair: the 90 % interval, the margin asked for, and the smallest that passes at 5 %."""

    first: str
    second: str
    value: Estimate
    margin: float
    smallest_margin: float | None  # None: no margin passes

    @property
    def equivalent(self) -> bool:
        return self.smallest_margin is not None and self.smallest_margin < self.margin

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self)) | {"value": self.value.to_dict(), "equivalent": self.equivalent}


@dataclass(frozen=True)
class Ancova:
    """Each method's slope and adjusted gap (at the mean x, less the mean method), and the tests that they are equal."""

    slopes: dict[str, Estimate]
    adjusted: dict[str, Estimate]
    equal_slopes: tuple[float, float]  # F, p
    equal_intercepts: tuple[float, float]  # with one common slope
    slope_ratios: tuple[Equivalence, ...]
    gap_differences: tuple[Equivalence, ...]
    runs: int
    sets: int

    @property
    def interchangeable(self) -> bool:
        """Whether every pair passes both equivalence tests: an intersection of tests needs no further correction."""
        return all(one.equivalent for one in (*self.slope_ratios, *self.gap_differences))


def ancova(
    x: ArrayLike,
    gap: ArrayLike,
    method: Sequence[str],
    block: Sequence[object],
    cluster: Sequence[object],
    *,
    seed_sd: float = 0.0,
    level: float = 0.95,
) -> Ancova:
    """The analysis of covariance of a gap on x = log A^2 across methods, within blocks.

    The margin of an adjusted gap is one point of error or the seeds' standard deviation, whichever is more. Raises
    `BadData` for fewer than two methods or too few sets.
    """
    z, y = np.asarray(x, np.float64), np.asarray(gap, np.float64)
    methods = sorted(set(method))
    if len(methods) < 2:
        raise BadData("an interchange needs two or more methods.")
    z = z - z.mean()
    own = np.array([[float(name == one) for one in methods] for name in method])  # (n, methods)
    blocks = _dummies(block)[:, 1:]
    count, extra = len(methods), blocks.shape[1]
    full = least_squares(np.hstack([own, own * z[:, None], blocks]), y, cluster)
    common = least_squares(np.hstack([own, z[:, None], blocks]), y, cluster)
    slopes = np.hstack([np.zeros((count, count)), np.eye(count), np.zeros((count, extra))])
    centred = np.hstack([np.eye(count) - 1 / count, np.zeros((count, 1 + extra))])
    plain = np.hstack([np.eye(count), np.zeros((count, 1 + extra))])
    steps = np.diff(np.eye(count), axis=0)
    pairs = list(itertools.combinations(range(count), 2))
    margin = max(GAP_MARGIN, seed_sd)
    return Ancova(
        slopes={name: full.estimate(row, level) for name, row in zip(methods, slopes, strict=True)},
        adjusted={name: common.estimate(row, level) for name, row in zip(methods, centred, strict=True)},
        equal_slopes=full.wald(steps @ slopes),
        equal_intercepts=common.wald(steps @ plain),
        slope_ratios=tuple(_ratio(full, slopes[i], slopes[j], methods[i], methods[j]) for i, j in pairs),
        gap_differences=tuple(
            _difference(common, plain[i] - plain[j], methods[i], methods[j], margin) for i, j in pairs
        ),
        runs=len(y),
        sets=len({str(one) for one in cluster}),
    )


def _dummies(labels: Sequence[object]) -> Floats:
    names, place = np.unique([str(one) for one in labels], return_inverse=True)
    return np.eye(len(names))[place]


def _difference(line: Line, row: Floats, first: str, second: str, margin: float) -> Equivalence:
    value = line.estimate(row, 0.90)
    passing = None if value.low is None or value.high is None else max(abs(value.low), abs(value.high))
    return Equivalence(first, second, value, margin, passing)


def _ratio(line: Line, top: Floats, bottom: Floats, first: str, second: str) -> Equivalence:
    """Slope ratio with Fieller's interval: all r at which top - r bottom is not significantly different from zero."""
    a, b = float(top @ line.coefficients), float(bottom @ line.coefficients)
    va, vb, c = (float(u @ line.covariance @ v) for u, v in ((top, top), (bottom, bottom), (top, bottom)))
    df = line.df(top - a / b * bottom) if b else 0.0
    t2 = t_quantile(0.90, df) ** 2 if df > 1e-6 else math.inf
    square, linear, constant = b * b - t2 * vb, a * b - t2 * c, a * a - t2 * va
    discriminant = linear**2 - square * constant
    estimate = a / b if b else math.nan
    if not square > 0 or not discriminant >= 0:  # the lower slope may be zero: the ratio is unbounded
        return Equivalence(first, second, Estimate.of(estimate, None, None), SLOPE_MARGIN, None)
    low, high = sorted((linear + sign * math.sqrt(discriminant)) / square for sign in (-1, 1))
    return Equivalence(first, second, Estimate.of(estimate, low, high), SLOPE_MARGIN, max(abs(low - 1), abs(high - 1)))


def partial_rank_correlation(
    x: ArrayLike, gap: ArrayLike, block: Sequence[object], cluster: Sequence[object], *, seed: int = 0
) -> Estimate:
    """Spearman's correlation of x and gap within blocks: ranks are taken in each (configuration, k) and centred there.

    The 95 % interval is a percentile bootstrap over sets, which keeps each set's runs together.
    """
    z, y = np.asarray(x, np.float64), np.asarray(gap, np.float64)
    _, blocks = np.unique([str(one) for one in block], return_inverse=True)
    names, place = np.unique([str(one) for one in cluster], return_inverse=True)
    members = [np.flatnonzero(place == i) for i in range(len(names))]
    random, drawn = numpy_stream(seed, "rank correlation"), []
    for _ in range(DRAWS):
        index = np.concatenate([members[i] for i in random.integers(0, len(names), len(names))])
        drawn.append(_within(z[index], y[index], blocks[index]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate.of(_within(z, y, blocks), float(low), float(high))


def _within(x: Floats, y: Floats, blocks: NDArray[np.int64]) -> float:
    ranks = np.zeros((2, len(x)))
    for label in np.unique(blocks):
        own = blocks == label
        for line, values in zip(ranks, (x, y), strict=True):
            rank = rankdata(values[own])
            line[own] = (rank - rank.mean()) / len(rank)
    scale = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1]) / scale if scale > 0 else math.nan


def leave_one_method_out(
    x: ArrayLike, gap: ArrayLike, method: Sequence[str], log_k: ArrayLike, configuration: Sequence[object]
) -> dict[str, dict[str, float]]:
    """R^2 of each method's gaps, predicted from the other methods' by x, by log k, and by both, configurations apart.

    1 - sum (y - prediction)^2 / sum (y - own mean of the configuration)^2: below 0 is worse than the method's own mean.
    Log k alone is the control: it knows nothing of the method. Raises `BadData` where a method's gaps do not vary.
    """
    z, y, size = (np.asarray(one, np.float64) for one in (x, gap, log_k))
    groups = _dummies(configuration)
    designs = {
        "discrepancy": np.hstack([groups, groups * z[:, None]]),
        "k": np.hstack([groups, groups * size[:, None]]),
        "both": np.hstack([groups, groups * z[:, None], groups * size[:, None]]),
    }
    found = {}
    for name in sorted(set(method)):
        held = np.array([one == name for one in method])
        own = groups[held]
        centred = y[held] - own @ np.linalg.lstsq(own, y[held], rcond=None)[0]
        total = float(centred @ centred)
        if total <= 1e-24 * len(centred):
            raise BadData(f"the gaps of {name} do not vary under any configuration: add sets or sizes to predict them.")
        scores = {}
        for label, design in designs.items():
            fitted = np.linalg.lstsq(design[~held], y[~held], rcond=None)[0]
            missed = y[held] - design[held] @ fitted
            scores[label] = 1 - float(missed @ missed) / total
        found[name] = scores
    return found
