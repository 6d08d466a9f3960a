"""What verbs print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(value: Any) -> None:
    """One JSON document on standard output; a number that is not finite is null, which JSON has no other word for."""
    print(json.dumps(plain(value), indent=1, allow_nan=False))


def plain(value: Any) -> Any:
    """The value with None for every number that is not finite, however deep."""
    if isinstance(value, Mapping):
        return {key: plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Rows as an aligned table; whole lines, never wrapped, so that it can be piped.

    On a terminal that is too narrow for it, each row is a paragraph with a line a column.
    """
    columns = list(columns or (rows[0] if rows else ()))
    cells = [columns, *([_text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) - 2 > (room := shutil.get_terminal_size().columns):
        print("\n".join(paragraph(columns, line, room) for line in cells[1:]))
        return
    for number, line in enumerate(cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def paragraph(columns: Sequence[str], cells: Sequence[str], room: int) -> str:
    """A row as its first cell and a line for each other, indented and wrapped; empty ones are left out."""
    wide = max(map(len, columns[1:]), default=0)
    lines = [cells[0]]
    for column, cell in zip(columns[1:], cells[1:], strict=True):
        if cell not in ("", "-"):
            indent = " " * (wide + 4)
            lines += textwrap.wrap(f"  {column.ljust(wide)}  {cell}", max(room, 30), subsequent_indent=indent)
    return "\n".join(lines)


def print_markdown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows as a Markdown table."""
    cells = [columns, ["---"] * len(columns), *([_text(row.get(column)) for column in columns] for row in rows)]
    print("\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def interval(estimate: Mapping[str, Any] | None, digits: int = 3, *, samples: bool = False) -> str:
    """`0.12 [0.1, 0.15]`, an open end as infinity, a refusal as a dash; of `samples`, whole numbers."""

    def written(value: float) -> str:
        if not samples:
            return number(value, digits)
        from limbeck.laws.estimate import samples_text  # heavy, and loaded already where a k was estimated

        return samples_text(value)

    if not estimate or estimate.get("estimate") is None:
        return "-"
    low, high = estimate.get("low"), estimate.get("high")
    left = "(-∞" if low is None else f"[{written(low)}"
    right = "∞)" if high is None else f"{written(high)}]"
    return f"{written(estimate['estimate'])} {left}, {right}"


def number(value: float, digits: int = 3) -> str:
    """So many digits, with thousands set apart and without an exponent for large numbers: 0.0123, 1,230."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if 10 ** (digits - 1) <= abs(rounded) < 1e15 else f"{rounded:.{digits}g}"


def law_name(held: Mapping[str, Any]) -> str:
    """`dm under mlp/...`, or the method alone where a table names no configuration."""
    return f"{held['method']} under {held['configuration']}" if held["configuration"] else str(held["method"])


def duration(seconds: float) -> str:
    """`12 ms`, `45 s`, `3 min 20 s`, `2 h 05 min`."""
    if 0 < seconds < 0.095:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """`340 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"


def remarks(notes: list[dict[str, Any]], laws: int) -> list[str]:
    """One line a kind of remark, with how many laws it is about; `--json` has every one."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for note in notes:
        kinds[note["code"]].append(note)
    return [
        f"- {f'{len(held)} of {laws} laws, such as ' if len(held) > 1 else ''}{law_name(held[0])}: {held[0]['message']}"
        for held in sorted(kinds.values(), key=len, reverse=True)
    ]
