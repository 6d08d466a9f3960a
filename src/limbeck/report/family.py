"""The coverage law as inline SVG: how diverse a family is, its worst gap, and the samples it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from limbeck.plots import Estimate, Mark
from limbeck.report.frame import Frame, axes
from limbeck.report.ink import clean, count, label, outline, percent
from limbeck.report.plane import Plane, ground


@dataclass(frozen=True)
class Radius:
    """A cover at one radius: H as found, and the least that a certificate allows."""

    radius: float
    entropy: float
    least: float


@dataclass(frozen=True)
class Level:
    """The worst gap of the whole family at one k, debiased and naive, and whose it is."""

    k: float
    split: Estimate
    naive: float | None
    quantile: float | None
    setter: str


@dataclass(frozen=True)
class Member:
    """One family of the pool: its measures, and the k it needs; `None` where it was not reached."""

    entropy: float
    log_m: float
    k: float | None


@dataclass(frozen=True)
class Straight:
    """Required k as a line in a measure, or the reason why there is none."""

    intercept: float | None
    slope: Estimate
    refusal: str


def entropy_chart(radii: Sequence[Radius], chosen: float | None, log_m: float, scale: float, across: str) -> Markup:
    """H(r) against r as an upper step, the part that is not certified shaded, with the radius that was used."""
    steps = sorted(radii, key=lambda one: one.radius)
    low, high = (scale * steps[place].radius for place in (0, -1))
    plane = Plane(low / 1.1, max(high, low * 1.01) * 1.1, 0, 1.12 * max(log_m, 0.1), log_x=True)
    top = plane.y(log_m)
    parts = [
        ground(plane, across, "H(r), nats"),
        f'<line class="target" x1="{plane.left}" x2="{plane.end:.1f}" y1="{top:.1f}" y2="{top:.1f}"/>',
    ]
    found = [(plane.x(scale * one.radius), plane.y(one.entropy)) for one in steps]
    least = [(plane.x(scale * one.radius), plane.y(one.least)) for one in steps]
    if found != least:
        outer = [*_stairs(found, plane.end), *reversed(_stairs(least, plane.end))]
        parts.append(f'<path class="m3 band" d="{_joined(outer)}Z"/>')
    parts.append(f'<path class="m3 law" d="{_joined(_stairs(found, plane.end))}"/>')
    if chosen is not None and chosen > 0:
        x = plane.x(scale * chosen)
        side, shift = ("end", -5) if x > (plane.left + plane.end) / 2 else ("start", 5)
        parts.append(f'<line class="m2 drop" x1="{x:.1f}" x2="{x:.1f}" y1="{plane.top}" y2="{plane.foot}"/>')
        parts.append(label(x + shift, plane.foot - 6, f"r = {scale * chosen:.3g}", "on strong", side))
    parts.append(label(plane.end - 3, top - 5, f"log M = {log_m:.2f}", "on", "end"))
    spoken = "; ".join(
        f"H = {one.entropy:.2f} at r = {scale * one.radius:.3g}" for one in steps[:: len(steps) // 6 + 1]
    )
    return _drawing(plane.width, plane.height, parts, f"H(r) against the radius. {spoken}")


def worst_chart(levels: Sequence[Level], mark: Mark, target: float | None) -> Markup:
    """The family's worst gap against k: debiased with its interval, the naive maximum as a hollow ring."""
    values = [0.0] + [v for one in levels for v in (one.split.low, one.split.high, one.split.value, one.naive) if v]
    low, high = min(values), max(values)
    span = max(high - low, 0.01)
    ks = tuple(one.k for one in levels)
    frame = Frame(ks, low - 0.04 * span * (low < 0), high + 0.05 * span, ks[-1], 256, 208, 26, 6)
    parts = [axes(frame)]
    if target is not None and frame.low <= target <= frame.high:
        y = frame.y(target)
        parts.append(
            f'<line class="target" x1="{frame.left}" x2="{frame.width - frame.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    css = f"m{mark.colour}"
    for one in levels:
        x = frame.x(one.k)
        if one.split.low is not None and one.split.high is not None:
            ends = f'y1="{frame.y(one.split.high):.1f}" y2="{frame.y(one.split.low):.1f}"'
            parts.append(f'<line class="{css} reach" x1="{x:.1f}" x2="{x:.1f}" {ends}/>')
        if one.naive is not None:
            parts.append(f'<circle class="{css} ring" cx="{x:.1f}" cy="{frame.y(one.naive):.1f}" r="4.6"/>')
        if one.split.value is not None:
            parts.append(f'<path class="{css} mean" d="{outline(mark, x, frame.y(one.split.value), 3.6)}"/>')
    spoken = ", ".join(f"{percent(one.split.value)} at k = {count(one.k)}" for one in levels)
    return _drawing(frame.width, frame.height, parts, f"Worst gap in percentage points: {spoken}")


def needs_chart(members: Sequence[Member], entropy: bool, line: Straight, mark: Mark) -> Markup:
    """Required k of every family against H, or log M: a mark a family, an arrow where it needs more than was told."""
    xs = [one.entropy if entropy else one.log_m for one in members]
    known = [one.k for one in members if one.k is not None]
    plane = Plane(0, 1.06 * max(max(xs), 0.1), 0, 1.1 * max([*known, 1.0]))
    parts = [ground(plane, "diversity H, nats" if entropy else "log M, nats", "samples needed, k", count)]
    css = f"m{mark.colour}"
    shapes, arrows = [], []
    for x, one in zip(xs, members, strict=True):
        place = plane.x(x)
        if one.k is None:
            arrows.append(f"M{place - 3.5:.1f} {plane.top + 3:.1f}l3.5 -6l3.5 6Z")
        else:
            shapes.append(outline(mark, place, plane.y(one.k), 2.4))
    parts.append(f'<path class="{css} cloud" d="{"".join(shapes)}"/><path class="{css} arrow" d="{"".join(arrows)}"/>')
    if line.intercept is not None and line.slope.value is not None:
        ends = [(x, line.intercept + line.slope.value * x) for x in (min(xs), max(xs))]
        parts.append(f'<path class="{css} law" d="{_joined([(plane.x(x), plane.y(k)) for x, k in ends])}"/>')
    what = "H" if entropy else "log M"
    words = f"Required k of {len(members)} families against {what}, {len(members) - len(known)} of them not reached"
    return _drawing(plane.width, plane.height, parts, words)


def _stairs(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Each height held until the next place: what a cover found at one radius is worth at larger ones."""
    nexts = [*(x for x, _ in points[1:]), end]
    return [corner for (x, y), after in zip(points, nexts, strict=True) for corner in ((x, y), (after, y))]


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _drawing(width: float, height: float, parts: Sequence[str], words: str) -> Markup:
    spoken = escape(clean(words, 600))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{spoken}">{"".join(parts)}</svg>'
    )


def log_of(value: float | None) -> float:
    """log N of a count; 0 for what is no count."""
    return math.log(value) if value is not None and value >= 1 else 0.0
