"""Gap against k as an inline SVG: one panel that compares methods, and one that shows a method's law in full."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from markupsafe import Markup, escape

from limbeck.plots import Law, Mark, Point, dodge
from limbeck.report.frame import Frame, axes, clipped
from limbeck.report.ink import clean, count, label, outline, percent


def compare(
    held: Sequence[Point], fitted: Sequence[Law], drawn: Mapping[str, Mark], frame: Frame, target: float | None
) -> Markup:
    """Every method of one configuration together: each training small, level means large, laws as lines."""
    methods = [name for name in drawn if any(point.method == name for point in held)]
    layers = [axes(frame), _target_line(frame, target)]
    ends: list[tuple[float, str]] = []
    for place, name in enumerate(methods):
        own = [point for point in held if point.method == name]
        mark, means = drawn[name], _means(own)
        law = next((law for law in fitted if law.method == name and len(law.curve) > 1), None)
        shift = dodge(place, len(methods))
        layers.append(_cloud(frame, own, mark, shift, 1.5))
        if law is not None:
            layers.append(_curve(frame, law, mark, max(means)))
            ends.append((_last_height(frame, law), name))
        else:
            ends.append((frame.y(means[max(means)]), name))
        shapes = "".join(outline(mark, frame.x(k * shift), frame.y(gap), 4.2) for k, gap in means.items())
        layers.append(f'<path class="m{mark.colour} mean" d="{shapes}"/>')
    layers.append(_end_labels(frame, ends, drawn))
    title = f"Gap against k for {len(methods)} methods"
    body = "; ".join(f"{clean(n, 40)}: {_spoken(_means([p for p in held if p.method == n]))}" for n in methods)
    return _drawing(frame, "".join(layers), title, body)


def detail(
    own: Sequence[Point], law: Law | None, others: Sequence[Law], mark: Mark, frame: Frame, target: float | None
) -> Markup:
    """One method's law in full: each training, the law, its interval, the floor and the required k."""
    largest = max(point.k for point in own)
    layers = [axes(frame), *(_curve(frame, other, None, largest) for other in others), _target_line(frame, target)]
    if law is not None:
        layers += [_band(frame, law, mark), _floor(frame, law, mark), _curve(frame, law, mark, largest)]
    layers.append(_cloud(frame, own, mark, 1.0, 2.1))
    if law is not None:
        layers.append(_required(frame, law, mark, target))
    return _drawing(frame, "".join(layers), f"Gap against k for {clean(own[0].method, 40)}", _spoken(_means(own)))


def _drawing(frame: Frame, content: str, title: str, body: str) -> Markup:
    words = escape(f"{title}. Mean gap in percentage points: {body}.")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" aria-label="{words}">'
        f"{content}</svg>"
    )


def _spoken(means: Mapping[float, float]) -> str:
    return ", ".join(f"{percent(gap)} at k = {count(k)}" for k, gap in means.items())


def _means(own: Sequence[Point]) -> dict[float, float]:
    return {k: fmean(p.gap for p in own if p.k == k) for k in sorted({p.k for p in own})}


def _cloud(frame: Frame, own: Sequence[Point], mark: Mark, shift: float, radius: float) -> str:
    shapes = "".join(outline(mark, frame.x(p.k * shift), frame.y(p.gap), radius) for p in own)
    return f'<path class="m{mark.colour} cloud" d="{shapes}"/>'


def _line(frame: Frame, pairs: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{frame.x(k):.1f} {frame.y(gap):.1f}" for k, gap in pairs)


def _curve(frame: Frame, law: Law, mark: Mark | None, largest: float) -> str:
    """The law: solid where it was measured, dashed beyond; in grey where it only stands behind another."""
    pairs = [(k, gap.value) for k, gap in law.curve if gap.value is not None]
    css = f"m{mark.colour} law" if mark else "behind"
    inside = [pair for pair in pairs if pair[0] <= largest * 1.001]
    beyond = [*inside[-1:], *(pair for pair in pairs if pair[0] > largest * 1.001)]
    parts = [f'<path class="{css}" d="{_line(frame, inside)}"/>'] if len(inside) > 1 else []
    if len(beyond) > 1 and mark:
        parts.append(f'<path class="{css} beyond" d="{_line(frame, beyond)}"/>')
    return clipped(frame, "".join(parts))


def _band(frame: Frame, law: Law, mark: Mark) -> str:
    """The interval of the gap; an end without a bound leaves through the edge of the axes."""
    far = 10 * (frame.high - frame.low)
    upper = [(k, frame.high + far if g.high is None else g.high) for k, g in law.curve]
    lower = [(k, frame.low - far if g.low is None else g.low) for k, g in law.curve]
    if len(law.curve) < 2 or all(g.low is None and g.high is None for _, g in law.curve):
        return ""
    return clipped(frame, f'<path class="m{mark.colour} band" d="{_line(frame, [*upper, *reversed(lower)])}Z"/>')


def _floor(frame: Frame, law: Law, mark: Mark) -> str:
    floor, right = law.floor.value, frame.width - frame.right
    if floor is None or not frame.low <= floor <= frame.high:
        return ""
    y = frame.y(floor)
    return f'<line class="m{mark.colour} floor" x1="{frame.left}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _target_line(frame: Frame, target: float | None) -> str:
    if target is None or not frame.low <= target <= frame.high:
        return ""
    y, right = frame.y(target), frame.width - frame.right
    return f'<line class="target" x1="{frame.left}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _required(frame: Frame, law: Law, mark: Mark, target: float | None) -> str:
    """The required k: its interval as a bar on the target's line, the estimate as a drop to the axis."""
    wanted = next((t for t in law.targets if t.gap == target), None)
    if wanted is None or (wanted.k.low is None and wanted.k.value is None):
        return ""
    k, start, foot = wanted.k, frame.levels[0], frame.top + frame.inner_height
    y = frame.y(wanted.gap)
    ends = (k.low or k.value or start, math.inf if k.high is None else k.high)
    low, high = (frame.x(min(max(end, start * 0.9), frame.k_end * 1.12)) for end in ends)
    parts = [f'<line class="m{mark.colour} reach" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>']
    if k.high is None or k.high > frame.k_end * 1.12:
        parts.append(f'<path class="m{mark.colour} arrow" d="M{high:.1f} {y - 4:.1f}l6 4l-6 4Z"/>')
    if k.value is not None and start * 0.9 <= k.value <= frame.k_end * 1.12:
        x = frame.x(k.value)
        parts.append(f'<line class="m{mark.colour} drop" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{foot:.1f}"/>')
        parts.append(f'<circle class="m{mark.colour} hit" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        side = "end" if x > frame.left + 0.6 * frame.inner_width else "start"
        parts.append(
            label(x + (-5 if side == "end" else 5), frame.y(0) - 5, f"k = {count(k.value)}", "on strong", side)
        )
    return "".join(parts)


def _last_height(frame: Frame, law: Law) -> float:
    values = [gap.value for k, gap in law.curve if gap.value is not None and k <= frame.k_end * 1.001]
    return frame.y(values[-1]) if values else frame.top


def _end_labels(frame: Frame, ends: Sequence[tuple[float, str]], drawn: Mapping[str, Mark]) -> str:
    """Names at the lines' right ends, pushed apart so that none covers another."""
    apart = min(14.0, frame.inner_height / max(len(ends), 1))
    heights: list[float] = []
    for y, _ in sorted(ends):
        heights.append(max(y, heights[-1] + apart) if heights else max(y, frame.top + 4))
    floor = frame.top + frame.inner_height + 2
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], floor)
        floor = heights[place] - apart
    edge = frame.width - frame.right
    heads = Counter(name.partition("(")[0] for _, name in ends)
    parts = []
    for (y, name), height in zip(sorted(ends), heights, strict=True):
        colour = drawn[name].colour
        parts.append(f'<path class="m{colour} leader" d="M{edge:.1f} {y:.1f}L{edge + 8:.1f} {height:.1f}"/>')
        head = name.partition("(")[0]
        shown = head if heads[head] == 1 else name  # settings are worth their room where they tell two apart
        parts.append(label(edge + 11, height + 4, clean(shown, 12), f"m{colour} name"))
    return "".join(parts)
