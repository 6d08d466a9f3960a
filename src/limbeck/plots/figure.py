"""The figure of a paper: gap against k with the laws, a panel a configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from limbeck.errors import BadData, BadSetting
from limbeck.plots.marks import COLOURS, SHAPES, Mark, dodge, marks
from limbeck.plots.results import Law, Point, laws, points, replication
from limbeck.store import write_bytes

# The formats that can be drawn, and what keeps the time of drawing out of them.
_UNDATED: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def law_figure(
    fits: Iterable[Mapping[str, Any]],
    rows: Iterable[Mapping[str, Any]],
    path: Path | str,
    *,
    columns: int = 2,
    gap: float | None = None,
) -> Path:
    """Draw gap against k, a panel a configuration: every training, the law with its interval, floor, required k.

    One panel is 3.4 inches wide, a column of a two-column paper. The suffix of `path` says the format (png, svg, pdf).
    `gap` is the target (a fraction) whose required k is marked. Raises `BadData` where no row carries a gap,
    `BadSetting` for another format, `StoreFailure` where the disk refuses.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    held, fitted = points(rows), laws(fits)
    if not held:
        raise BadData("no row has a method, a k and a gap to draw. Run the study first, or check the table's columns.")
    target = Path(path)
    if target.suffix not in _UNDATED:
        raise BadSetting(f"{target.name} names no format that can be drawn. End it in .png, .svg or .pdf.")
    configurations = list(dict.fromkeys(point.configuration for point in held))
    drawn = marks(point.method for point in held)
    wide = min(columns, len(configurations))
    tall = -(-len(configurations) // wide)
    figure = Figure(figsize=(3.4 * wide, 2.55 * tall + 0.75), layout="constrained")
    panels = list(figure.subplots(tall, wide, squeeze=False, sharey=True).flat)
    for axes, configuration in zip(panels, configurations, strict=False):
        here = [point for point in held if point.configuration == configuration]
        _draw_panel(axes, here, [law for law in fitted if law.configuration in ("", configuration)], drawn, gap)
        axes.set_title(_wrapped(configuration), fontsize=7, loc="left")
    for axes in panels[len(configurations) :]:
        axes.set_axis_off()
    legend = "lines: laws, dashed beyond the largest k; shade and bars: 95 % intervals; dots at the right: floors"
    figure.supxlabel(f"samples in the set, k (log scale)\n{replication(held)}\n{legend}", fontsize=7)
    figure.supylabel("gap to full-data training (percentage points)", fontsize=8)
    handles = {line.get_label(): line for axes in figure.axes for line in axes.get_legend_handles_labels()[0]}
    figure.legend(
        handles=list(handles.values()),
        loc="outside upper center",
        ncols=min(5, len(handles)),
        fontsize=7,
        frameon=False,
    )
    content = BytesIO()
    with rc_context({"svg.hashsalt": "limbeck"}):  # or the SVG's ids would be new each time
        figure.savefig(content, format=target.suffix[1:], dpi=200, metadata=_UNDATED[target.suffix])
    write_bytes(target, content.getvalue())
    return target


def _draw_panel(
    axes: Any, here: Sequence[Point], fitted: Sequence[Law], drawn: Mapping[str, Mark], gap: float | None
) -> None:
    methods = [name for name in drawn if any(point.method == name for point in here)]
    levels = sorted({point.k for point in here})
    axes.set_xscale("log")
    axes.set_xlim(levels[0] * 0.8, levels[-1] * 2)
    for place, name in enumerate(methods):
        colour, shape = COLOURS[drawn[name].colour][0], SHAPES[drawn[name].shape]
        own = [point for point in here if point.method == name]
        beside = [point.k * dodge(place, len(methods)) for point in own]
        axes.plot(
            beside, [100 * p.gap for p in own], shape, color=colour, markersize=2.6, alpha=0.65, mew=0, label=name
        )
        for law in fitted:
            if law.method == name:
                _draw_law(axes, law, colour, levels[-1])
                _draw_required(axes, law, gap, colour, shape, 0.97 - 0.035 * place)
    if gap is not None:
        axes.axhline(100 * gap, color="#66707a", linewidth=0.6, linestyle=(0, (6, 3)), zorder=0)
        axes.text(0.985, 1.0, f"k for a gap of {100 * gap:g}", transform=axes.transAxes, fontsize=6, ha="right")
    axes.set_xticks(levels, [f"{level:g}" for level in levels], fontsize=7)
    axes.minorticks_off()
    axes.tick_params(labelsize=7, length=2.5)
    axes.axhline(0, color="#9aa3ab", linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_law(axes: Any, law: Law, colour: str, largest: float) -> None:
    """The law, dashed beyond the largest k measured, its interval, and its floor at the right edge."""
    bounded = [(k, g.low, g.high) for k, g in law.curve if g.low is not None and g.high is not None]
    if bounded:
        k_band, low, high = zip(*bounded, strict=True)
        axes.fill_between(k_band, [100 * g for g in low], [100 * g for g in high], color=colour, alpha=0.12, lw=0)
    curve = [(k, 100 * g.value) for k, g in law.curve if g.value is not None]
    inside = [pair for pair in curve if pair[0] <= largest * 1.001]
    for pairs, style in ((inside, "-"), ([*inside[-1:], *curve[len(inside) :]], (0, (2, 2)))):
        if len(pairs) > 1:
            axes.plot(*zip(*pairs, strict=True), color=colour, linewidth=1.1, linestyle=style)
    if law.floor.value is not None:
        floor = 100 * law.floor.value
        axes.plot([largest * 1.35, largest * 2], [floor] * 2, color=colour, linewidth=1.6, linestyle=(0, (1, 1)))


def _draw_required(axes: Any, law: Law, gap: float | None, colour: str, shape: str, height: float) -> None:
    """The required k and its interval at a height of its own in the panel's upper part, where curves have fallen."""
    right = axes.get_xlim()[1]
    for target in law.targets:
        if target.gap == gap and target.k.value is not None:
            reach = [target.k.low or target.k.value, min(target.k.high or math.inf, right)]
            place = {"transform": axes.get_xaxis_transform(), "color": colour}
            if reach[0] < right:
                axes.plot(reach, [height] * 2, linewidth=1.6, alpha=0.5, solid_capstyle="butt", **place)
            if target.k.value < right:
                axes.plot([target.k.value], [height], shape, markersize=3.4, **place)


def _wrapped(name: str, width: int = 50) -> str:
    """A name in at most three lines, broken after a slash where it can be; as text, not as mathematics."""
    lines = [""]
    for part in re.findall(rf"[^/]{{1,{width - 1}}}/?|/", name[: 3 * width]):
        if len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines[:3]).replace("$", r"\$")
