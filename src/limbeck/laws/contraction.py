"""Does the Polyak-Lojasiewicz inequality hold where training went? mu_t along the visited path, and its exponent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import t_quantile
from limbeck.laws.notes import Note, PathCode
from limbeck.measures.passage import Floats, Optimum, Passage
from limbeck.streams import numpy_stream

BLOCKS = 400  # draws of the moving-block bootstrap


@dataclass(frozen=True)
class Contraction:
    """mu_t = |g_D|^2 / (2 (L_D - L*)) along one or several paths of one configuration.

    `low_share` is the share of states with mu_t below a thousandth of the median. `slope` is that of log |g|^2 on
    log (L - L*): 1 for PL; between 1 and 2 the weaker Lojasiewicz inequality, under which training slows down to a
    power of its length. `intercept` is log(2 mu) at slope 1. `sensitivity` is the median mu with L* at its lower bound.
    """

    smallest: float
    q05: float
    median: float
    low_share: float
    slope: Estimate
    intercept: float
    sensitivity: float
    verdict: str
    states: int
    paths: int
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        held = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in vars(self).items()}
        return held | {"slope": self.slope.to_dict(), "notes": [note.to_dict() for note in self.notes]}


def contraction(passages: Passage | Sequence[Passage], optimum: Optimum, level: float = 0.95) -> Contraction:
    """The PL constants of the visited states, and whether they can carry a rate.

    The slope's interval comes from the spread over paths where there are three or more (t), else from a moving-block
    bootstrap along the path: neighbouring states are no independent points.
    """
    paths = [passages] if isinstance(passages, Passage) else list(passages)
    mu = np.concatenate([path.mu(optimum.value) for path in paths])
    median = float(np.median(mu))
    slope, intercept = _slope(paths, optimum.value, level)
    notes = []
    if optimum.remainder > 0.5 * (optimum.lowest - optimum.bound) and optimum.remainder > 0:
        notes.append(
            Note(
                PathCode.optimum_extrapolated,
                f"The lowest loss seen, {optimum.lowest:.3g}, is {optimum.remainder:.3g} above the extrapolated end: "
                "mu depends on that extrapolation.",
            )
        )
    low_share = float((mu < 1e-3 * median).mean())
    return Contraction(
        smallest=float(mu.min()),
        q05=float(np.quantile(mu, 0.05)),
        median=median,
        low_share=low_share,
        slope=slope,
        intercept=intercept,
        sensitivity=float(np.median(np.concatenate([path.mu(optimum.bound) for path in paths]))),
        verdict=_verdict(float(mu.min()), median, low_share, slope),
        states=len(mu),
        paths=len(paths),
        notes=tuple(notes),
    )


def _verdict(smallest: float, median: float, low_share: float, slope: Estimate) -> str:
    if smallest <= 0 or low_share > 0:
        return f"PL fails on the visited path: mu falls from a median of {median:.3g} to {smallest:.3g}"
    said = f"PL holds on the visited path with mu = {smallest:.3g} (median {median:.3g})"
    if slope.low is not None and slope.low > 1:
        return f"{said}, but mu shrinks with the loss (slope {slope.text()}): no constant holds further down"
    return said


def _slope(paths: list[Passage], optimum: float, level: float) -> tuple[Estimate, float]:
    points = [_logs(path, optimum) for path in paths]
    points = [(x, y) for x, y in points if len(x) >= 3 and np.ptp(x) > 0]
    if not points:
        return Estimate(None, None, None), math.nan
    lines = np.array([np.polyfit(x, y, 1) for x, y in points])
    slope, intercept = lines.mean(0)
    if len(points) >= 3:
        half = t_quantile(level, len(points) - 1) * lines[:, 0].std(ddof=1) / math.sqrt(len(points))
        return Estimate.of(slope, slope - half, slope + half), float(intercept)
    drawn = np.mean([_block_slopes(x, y) for x, y in points], axis=0)
    low, high = np.quantile(drawn[np.isfinite(drawn)], [(1 - level) / 2, (1 + level) / 2])
    return Estimate.of(slope, low, high), float(intercept)


def _logs(path: Passage, optimum: float) -> tuple[Floats, Floats]:
    excess = path.loss - optimum
    kept = (excess > 0) & (path.gradient > 0)
    return np.log(excess[kept]), np.log(path.gradient[kept])


def _block_slopes(x: Floats, y: Floats) -> Floats:
    n = len(x)
    length = max(2, round(math.sqrt(n)))
    random = numpy_stream(0, "blocks", n)
    starts = random.integers(0, n - length + 1, (BLOCKS, -(-n // length)))
    index = (starts[..., None] + np.arange(length)).reshape(BLOCKS, -1)[:, :n]
    xs, ys = x[index], y[index]
    xs, ys = xs - xs.mean(1, keepdims=True), ys - ys.mean(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((xs * ys).sum(1) / (xs * xs).sum(1), np.float64)
