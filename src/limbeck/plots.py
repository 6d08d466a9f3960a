"""Figures of measured gaps and their laws, from plain rows and the law's JSON answer.

The reading half (`points`, `laws`, `marks`) is what the report draws from as well, so that the page and the paper
figure show the same numbers with the same colours and shapes. Nothing here imports torch or touches a global state.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from limbeck.errors import BadData, BadSetting
from limbeck.store import write_bytes

REFERENCE = "reference"

# One colour and one marker a method: neither is needed to read the other. The first is kept for random selection,
# the control that every method is seen against. (light, dark), each at least 3:1 on its background.
COLOURS = [
    ("#66707a", "#9aa6b2"),
    ("#0b66a6", "#6db6ee"),
    ("#b8481d", "#f0935f"),
    ("#0a7a63", "#4cc9a6"),
    ("#83489f", "#cb9fe6"),
    ("#8f6500", "#dcb44f"),
    ("#b32f74", "#f08cbf"),
    ("#2f4aa0", "#9db0f7"),
]
SHAPES = ["o", "s", "^", "D", "v", "P", "X", "p"]  # matplotlib's names

# The formats that can be drawn, and what keeps the time of drawing out of them.
_UNDATED: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; `None` is an end without a bound, or a number that was refused."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def read(cls, value: Any) -> Estimate:
        """From `{"estimate", "low", "high"}` or a bare number; what is not a finite number is `None`."""
        if isinstance(value, Mapping):
            return cls(*(number(value.get(key)) for key in ("estimate", "low", "high")))
        return cls(number(value))


@dataclass(frozen=True)
class Point:
    """One training on one synthetic set: `gap` is test error minus that of full-data training, a fraction."""

    method: str
    configuration: str
    k: float
    set: str
    seed: str
    gap: float


@dataclass(frozen=True)
class Target:
    """How many samples a target gap needs, or why that was not answered."""

    gap: float
    k: Estimate
    refusal: str = ""


@dataclass(frozen=True)
class Law:
    """One fitted law as its JSON answer tells it; `curve` is (k, gap) with the gap's interval."""

    method: str
    configuration: str
    floor: Estimate
    exponent: Estimate
    amplitude: Estimate
    saturation_k: Estimate
    targets: tuple[Target, ...]
    curve: tuple[tuple[float, Estimate], ...]
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mark:
    """How a method is drawn everywhere: places in `COLOURS` and `SHAPES`."""

    colour: int
    shape: int


def number(value: Any) -> float | None:
    """A finite float, or `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def points(rows: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Every row that carries a gap, as it is or as `error - mean(reference errors of its configuration)`.

    Rows without a finite number (failed cells) are left out.
    """
    held = list(rows)
    errors: dict[str, list[float]] = defaultdict(list)
    for row in held:
        error = number(row.get("error"))
        if str(row.get("method")) == REFERENCE and error is not None:
            errors[str(row.get("configuration", ""))].append(error)
    found = []
    for row in held:
        method, configuration = str(row.get("method", "")), str(row.get("configuration", ""))
        k, gap, error = number(row.get("k")), number(row.get("gap")), number(row.get("error"))
        reference = errors.get(configuration)
        if gap is None and error is not None and reference:
            gap = error - sum(reference) / len(reference)
        if method != REFERENCE and k is not None and k > 0 and gap is not None:
            found.append(Point(method, configuration, k, str(row.get("set", "")), str(row.get("seed", "")), gap))
    return found


def laws(fits: Iterable[Mapping[str, Any]]) -> list[Law]:
    """The fits of a law's JSON answer. A fit without a `curve` is drawn through its `predictions`."""
    return [_law(fit) for fit in fits]


def _law(fit: Mapping[str, Any]) -> Law:
    targets = [
        Target(gap, Estimate.read(entry), str(entry.get("refusal") or ""))
        for entry in fit.get("required_k") or []
        if (gap := number(entry.get("gap"))) is not None
    ]
    read = [
        (number(entry.get("k")), Estimate.read(entry)) for entry in fit.get("curve") or fit.get("predictions") or []
    ]
    curve = sorted(((k, gap) for k, gap in read if k and k > 0 and gap.value is not None), key=lambda pair: pair[0])
    notes = [
        (str(note.get("code") or "note"), str(note.get("message") or ""))
        if isinstance(note, Mapping)
        else (str(note), "")
        for note in fit.get("notes") or []
    ]
    return Law(
        method=str(fit.get("method", "")),
        configuration=str(fit.get("configuration") or ""),
        floor=Estimate.read(fit.get("floor")),
        exponent=Estimate.read(fit.get("exponent")),
        amplitude=Estimate.read(fit.get("amplitude")),
        saturation_k=Estimate.read(fit.get("saturation_k")),
        targets=tuple(targets),
        curve=tuple(curve),
        notes=tuple(notes),
    )


def marks(methods: Iterable[str]) -> dict[str, Mark]:
    """A colour and a shape for each method, in order; `random` always has the neutral ones.

    Seven colours and eight shapes: 56 methods before a pair comes back.
    """
    others = [name for name in dict.fromkeys(methods) if name != "random"]
    given = {name: Mark(1 + place % (len(COLOURS) - 1), (1 + place) % len(SHAPES)) for place, name in enumerate(others)}
    return {"random": Mark(0, 0)} | given


def replication(held: Sequence[Point]) -> str:
    """What a caption says of n: trainings, values of k, sets and seeds a set."""
    sets: dict[float, set[str]] = defaultdict(set)
    seeds: dict[tuple[str, str, float, str], set[str]] = defaultdict(set)
    for point in held:
        sets[point.k].add(point.set)
        seeds[point.method, point.configuration, point.k, point.set].add(point.seed)
    if not held:
        return "n = 0 trainings"
    levels = _count(len(sets), "value", "values") + " of k"
    per_level = _span([len(names) for names in sets.values()], "set", "sets")
    per_set = _span([len(names) for names in seeds.values()], "seed", "seeds")
    return f"n = {_count(len(held), 'training', 'trainings')}: {levels}, {per_level} each, {per_set} a set"


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _span(counts: Sequence[int], one: str, many: str) -> str:
    low, high = min(counts), max(counts)
    return _count(low, one, many) if low == high else f"{low} to {high} {many}"


def dodge(place: int, of: int, width: float = 0.16) -> float:
    """The factor on k that sets method number `place` of `of` beside the others on a log axis, within +-8 %."""
    return math.exp(width * ((place + 0.5) / of - 0.5)) if of > 1 else 1.0


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
