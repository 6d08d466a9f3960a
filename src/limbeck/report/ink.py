"""Marks, words and numbers as they are written on the page: the only place where text becomes markup."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape

from markupsafe import Markup

from limbeck.plots import Estimate, Mark

# Marker outlines within a radius of 1, in the order of `limbeck.plots.SHAPES`.
_OUTLINES: list[list[tuple[float, float]]] = [
    [(math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16)],
    [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    [(0, -1.1), (1.05, 0.8), (-1.05, 0.8)],
    [(0, -1.15), (1.15, 0), (0, 1.15), (-1.15, 0)],
    [(0, 1.1), (-1.05, -0.8), (1.05, -0.8)],
    [(x * a, y * b) for x, y, a, b in [
        (-1, -1, 0.38, 1.1), (1, -1, 0.38, 1.1), (1, -1, 0.38, 0.38), (1, -1, 1.1, 0.38), (1, 1, 1.1, 0.38),
        (1, 1, 0.38, 0.38), (1, 1, 0.38, 1.1), (-1, 1, 0.38, 1.1), (-1, 1, 0.38, 0.38), (-1, 1, 1.1, 0.38),
        (-1, -1, 1.1, 0.38), (-1, -1, 0.38, 0.38),
    ]],
    [(0, -0.45), (0.65, -1.1), (1.1, -0.65), (0.45, 0), (1.1, 0.65), (0.65, 1.1), (0, 0.45), (-0.65, 1.1),
     (-1.1, 0.65), (-0.45, 0), (-1.1, -0.65), (-0.65, -1.1)],
    [(1.1 * math.sin(turn * 2 * math.pi / 5), -1.1 * math.cos(turn * 2 * math.pi / 5)) for turn in range(5)],
]  # fmt: skip


def outline(mark: Mark, x: float, y: float, radius: float) -> str:
    """The SVG path of one marker; many of them can be joined into one `d`."""
    corners = [f"{x + radius * across:.1f} {y + radius * down:.1f}" for across, down in _OUTLINES[mark.shape]]
    return "M" + "L".join(corners) + "Z"


def key(mark: Mark) -> Markup:
    """A method's marker as it stands before its name in running text."""
    path = outline(mark, 7, 7, 5)
    return Markup(
        f'<svg class="key m{mark.colour}" width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">'
        f'<path d="{path}"/></svg>'
    )


def clean(name: object, limit: int = 160) -> str:
    """A name as text of bearable length, without control characters or halves of characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(name)[: 2 * limit])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def softened(sentence: str, methods: Iterable[str] = ()) -> Markup:
    """A sentence whose intervals, `[240, 450]`, and settings of methods stand back behind its numbers and names."""
    text = str(escape(sentence))
    for method in sorted(methods, key=len, reverse=True):
        text = text.replace(str(escape(method)), str(parted(method)))
    return Markup(re.sub(r"\[[-+\d.,e∞ ]{1,40}[\])]", r'<span class="aside">\g<0></span>', text))


def parted(method: str) -> Markup:
    """A method's name, its settings standing back: `dm` and `(steps=150)`."""
    name, bracket, settings = method.partition("(")
    if not name or not bracket:
        return Markup(escape(method))
    return Markup(f'{escape(name)}<span class="settings">{escape(bracket + settings)}</span>')


def moment(text: str) -> str:
    """A time as a person writes it, `2026-11-24 13:44 UTC`; any other text as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if "T" in text else text
    except ValueError:
        return text


def label(x: float, y: float, words: object, css: str = "", anchor: str = "start") -> str:
    """Escaped text in an SVG."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(clean(words, 48))}</text>'


def count(k: float | None) -> str:
    """A number of samples."""
    if k is None:
        return "∞"
    return f"{round(k):,}" if k < 1e7 else f"{k:.1e}"


def needed(k: float | None) -> str:
    """A number of samples that was estimated: three digits of it are known at most."""
    return count(k if k is None or k < 100 else float(f"{k:.3g}"))


def percent(fraction: float | None) -> str:
    """A fraction in percentage points, with a true minus sign."""
    return "∞" if fraction is None else f"{100 * fraction:.1f}".replace("-", "−")


def plain(value: float | None) -> str:
    """A number without a unit."""
    return "∞" if value is None else f"{value:.2f}".replace("-", "−")


def interval(estimate: Estimate, write: Callable[[float | None], str]) -> str:
    """`[low, high]`, half open towards an unbounded end; empty where there is neither."""
    if estimate.low is None and estimate.high is None:
        return ""
    start = f"[{write(estimate.low)}" if estimate.low is not None else "(−∞"
    end = f"{write(estimate.high)}]" if estimate.high is not None else "∞)"
    return f"{start}, {end}"
