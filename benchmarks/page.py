"""What result pages share: tables, numbers with their intervals, and a figure with labelled axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from limbeck.laws import Estimate
from limbeck.laws.guidance import mean_over_sets

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def written(one: Estimate | Mapping[str, Any], scale: float = 1.0, digits: int = 3) -> str:
    """`0.12 [0.1, 0.15]`; an open end is dots or an infinity sign, what does not exist a dash."""
    held = one.to_dict() if isinstance(one, Estimate) else one
    ends = [None if end is None else scale * end for end in map(held.get, ("estimate", "low", "high"))]
    return "–" if ends[0] is None else Estimate(ends[0], ends[1], ends[2]).text(digits)


def mean(values: Iterable[float], scale: float = 1.0, digits: int = 3) -> str:
    """Mean over sets with Student's 95 % interval."""
    return written(mean_over_sets([float(value) for value in values]), scale, digits)


def panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels, row by row; sizes in inches."""
    drawing, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    return drawing, list(axes.ravel())


def save(drawing: Figure, path: Path, top: float = 1.0) -> None:
    """Write it; what is above `top` of the height is left to a legend."""
    drawing.tight_layout(rect=(0, 0, 1, top))
    drawing.savefig(path, dpi=150)
    plt.close(drawing)
