"""What result pages share: tables, numbers with their intervals, and a figure with labelled axes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from limbeck.laws import Estimate
from limbeck.laws.guidance import mean_over_sets

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARK = "<!-- tables -->"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def write_below_prose(page: Path, tables: str, title: str) -> None:
    """Write a page's tables below its mark; what was written by hand above it stays."""
    prose = page.read_text().split(MARK)[0] if page.exists() else f"# {title}\n\n"
    page.write_text(f"{prose}{MARK}\n\n{tables.rstrip()}\n")


def collect_or_write(description: str | None, collect: Callable[[], None], write: Callable[[], None]) -> None:
    """The command line of a benchmark whose rows are kept: make what is missing, write the page, or both."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true", help="make the sets and train on them; goes on where it was")
    parser.add_argument("--write", action="store_true", help="write the page's tables from the rows")
    chosen = parser.parse_args()
    if chosen.collect:
        collect()
    if chosen.write:
        write()


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
