"""The axes of a chart: k on a log scale with ticks at the values that were measured, the gap in percentage points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.plots import Law, Point
from limbeck.report.ink import count, label


@dataclass(frozen=True)
class Frame:
    """The drawing's size in pixels, its margins, and the ranges of k (log scale) and gap (linear) that it shows."""

    levels: tuple[float, ...]
    low: float
    high: float
    k_end: float
    width: float = 460
    height: float = 400
    left: float = 34
    right: float = 86
    top: float = 24
    bottom: float = 40

    @property
    def inner_width(self) -> float:
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> float:
        return self.height - self.top - self.bottom

    def x(self, k: float) -> float:
        start, end = math.log(self.levels[0]) - 0.12, math.log(self.k_end) + 0.12
        return self.left + self.inner_width * (math.log(k) - start) / (end - start)

    def y(self, gap: float) -> float:
        return self.top + self.inner_height * (self.high - gap) / (self.high - self.low)


def gap_range(held: Sequence[Point]) -> tuple[float, float]:
    """From zero, or the lowest gap where it is negative, to the highest, with a little air."""
    gaps = [0.0, *(point.gap for point in held)]
    low, high = min(gaps), max(gaps)
    span = max(high - low, 0.01)
    return (low - 0.04 * span if low < 0 else 0.0), high + 0.05 * span


def last_k(held: Sequence[Point], fitted: Sequence[Law], target: float | None) -> float:
    """The right end of the k axis: the largest k measured, or the required k where that is at most 3 times as far."""
    largest = max(point.k for point in held)
    wanted = [t.k.value for law in fitted for t in law.targets if t.gap == target and t.k.value is not None]
    return max([largest, *(k for k in wanted if k <= 3 * largest)])


def axes(frame: Frame) -> str:
    """Both axes with their ticks, the rules behind the chart, and their titles."""
    rules = [
        (frame.y(gap), f"{100 * gap:g}".replace("-", "−"), abs(gap) < 1e-9)
        for gap in round_steps(frame.low, frame.high)
    ]
    ticks = [(frame.x(k), count(k)) for k in frame.levels]
    ends = frame.left, frame.width - frame.right, frame.top + frame.inner_height
    return ruled(*ends, rules, ticks, "gap, percentage points", "samples in the set, k")


def ruled(
    left: float,
    end: float,
    foot: float,
    rules: Sequence[tuple[float, str, bool]],
    ticks: Sequence[tuple[float, str]],
    up: str,
    across: str,
) -> str:
    """Two axes: at each height a rule with its words, strong where it is the zero line; ticks below, titles at both.

    Words that would run into those before them are left out.
    """
    parts = []
    for y, words, zero in rules:
        css = "zero" if zero else "rule"
        parts.append(f'<line class="{css}" x1="{left}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(label(left - 6, y + 3.5, words, "tick", "end"))
    parts.append(label(0, 10, up, "unit"))
    taken = -math.inf
    for x, words in ticks:
        parts.append(f'<line class="tickline" x1="{x:.1f}" x2="{x:.1f}" y1="{foot:.1f}" y2="{foot + 4:.1f}"/>')
        wide = 6.5 * len(words) / 2
        if x - wide > taken:
            parts.append(label(x, foot + 17, words, "tick", "middle"))
            taken = x + wide + 3
    parts.append(label((left + end) / 2, foot + 33, across, "axis", "middle"))
    return "".join(parts)


def round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """Round values of the gap between two ends: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def clipped(frame: Frame, content: str) -> str:
    """Content in the drawing's coordinates of which nothing leaves the axes (an inner svg clips by itself)."""
    box = f"{frame.left} {frame.top} {frame.inner_width:.1f} {frame.inner_height:.1f}"
    place = f'x="{frame.left}" y="{frame.top}" width="{frame.inner_width:.1f}" height="{frame.inner_height:.1f}"'
    return f'<svg {place} viewBox="{box}">{content}</svg>'
