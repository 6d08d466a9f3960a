"""The page of all rows that were ever kept."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from speed_plain import CONVNET, CORES, SMALL
from speed_workers import ROWS

KEPT = Path(__file__).parents[1] / "docs" / "results" / "speed.json"
MTT = "MTT step, 20 synthetic steps"
ORDER = ("dm", "dc", "mtt", "evaluate", "digits", "study")
LIMITS = """## What is left

A training step of the ConvNet at width 32 (100 images of 28x28, one thread) takes about 18.5 ms of a processor. Eleven
are the second and third convolution, both ways, at 160-190 GFLOP a second in float32, which is near the processor's
peak; four the first block, which is one product a sample; three the norms, ReLUs and poolings of the other blocks.
DC's outer iteration is 450 such steps and ten updates, each 2560 real images both ways. So most of what is left is
arithmetic in float32 (decisions 0081, 0082 and 0088).

DC's plain side takes about 23 or 30 s from one start of the benchmark to the next (why is not known), so its ratio is
about 3.0 or 3.7: on 2026-11-24 2.96 [2.71, 3.05] with n = 5, 3.75 [3.30, 3.93] with n = 15, then what the table has.
"""


def spread(values: list[float], form: str = ".2f") -> str:
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def mtt_lines(found: dict[str, list[dict[str, float]]], measured: str) -> list[str]:
    """Rows of the table: times and peak memory."""
    plain, ours, many = (found[key] for key in ("plain 20", "limbeck 20", "limbeck 80"))
    time_ratios = [b["seconds"] / a["seconds"] for a, b in zip(plain, ours, strict=True)]
    memory_ratios = [b["mib"] / a["mib"] for a, b in zip(plain, ours, strict=True)]
    growth = [b["mib"] / a["mib"] for a, b in zip(ours, many, strict=False)]
    each = {
        key: (spread([run["seconds"] for run in runs]), spread([run["mib"] for run in runs], ".0f"))
        for key, runs in found.items()
    }
    return [
        f"| {MTT}: time, one thread | {each['plain 20'][0]} s | {each['limbeck 20'][0]} s | "
        f"{spread(time_ratios)}x the time | {goal(time_ratios, 1.2, -1)} | {len(plain)} | {measured} |",
        f"| {MTT}: peak memory | {each['plain 20'][1]} MiB | {each['limbeck 20'][1]} MiB | "
        f"{spread(memory_ratios, '.3f')}x the memory | {goal(memory_ratios, 0.25, -1)} | {len(plain)} | {measured} |",
        f"| its memory at 80 synthetic steps against 20 | | {each['limbeck 80'][1]} MiB | "
        f"{spread(growth)}x that at 20 | {goal(growth, 1.3, -1)} | {len(growth)} | {measured} |",
    ]


def row_lines(row: str, kept: dict[str, Any]) -> list[str]:
    """A kept row as lines of the table."""
    found, measured = kept["figures"], f"{kept['date']}, load {kept['load']:.1f}"
    if row == "mtt":
        return mtt_lines(found, measured)
    title, wanted = ROWS[row].title, ROWS[row].goal
    ratios = [a / b for a, b in zip(found["plain"], found["limbeck"], strict=True)]
    plain = f"{spread(found['plain'], '.3g')} s"
    plain += f", {threads} thread{'s' * (threads > 1)}" if (threads := found.get("plain threads")) else ""
    cells = [title, plain, f"{spread(found['limbeck'], '.3g')} s", f"{spread(ratios)}x", goal(ratios, wanted, 1)]
    return [f"| {' | '.join(cells)} | {len(ratios)} | {measured} |"]


def goal(ratios: list[float], wanted: float, sign: int) -> str:
    """What was wanted, and whether the median falls short of it."""
    missed = sign * statistics.median(ratios) < sign * wanted
    return f"{'>=' if sign > 0 else '<='} {wanted:g}x{', **missed**' if missed else ''}"


def page(kept: dict[str, Any], notes: str) -> str:
    """The table of all rows that were ever kept, as Markdown, with a paragraph on how they were measured."""
    head = [
        "# Speed over the published algorithms in plain PyTorch",
        "",
        "| work | plain, one process | limbeck, two processes | plain / limbeck | goal | n | measured |",
        "|---|---|---|---|---|---|---|",
    ]
    lines = [line for row in ORDER if row in kept for line in row_lines(row, kept[row])]
    missing = [row for row in ORDER if row not in kept]
    machines = sorted({f"torch {one['torch']}, {one['processor']}, {CORES} cores" for one in kept.values()})
    named = f"Networks: `{CONVNET}` on 1x28x28, `{SMALL}` and a 64-128-128-10 MLP on 1x8x8; 256 real images a class. "
    named += "The plain side is `benchmarks/plain/`; that both compute the same is `tests/test_plain.py`. "
    named += "Median [smallest, largest]; load is the machine's when the row was done."
    about = f"`python benchmarks/speed.py --write`; {'; '.join(machines)}."
    if missing:
        about += f" Not measured yet: {', '.join(missing)}."
    return "\n".join([*head, *lines, "", notes, "", named, "", about, "", LIMITS])


def keep(kept: dict[str, Any], notes: str) -> None:
    """The rows, and the page that is made of them."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    fresh = KEPT.with_suffix(".new")
    fresh.write_text(json.dumps(kept, indent=1) + "\n")
    fresh.replace(KEPT)
    KEPT.with_suffix(".md").write_text(page(kept, notes))
