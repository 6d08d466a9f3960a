"""limbeck against the published algorithms in straightforward PyTorch, both sides in one run, on this machine's cores.

Plain is one process, as a research script is, with one thread or one for each of two cores, whichever took less at the
start; limbeck is two processes with one thread each, as its runner does, so where one piece of work can't be split (a
step) its figure is the time of two at once, halved; of several configurations either process takes as many of a kind
(views, architecture). Both sides are timed in turn, in processes that stay alive; a row is the median of n turns, and
its ratio the median over turns of plain / limbeck with the smallest and the largest.
Samples are random numbers in the shapes of Fashion-MNIST and of the digits: times do not depend on their values.

    python benchmarks/speed.py                    prints the table (about ten minutes)
    python benchmarks/speed.py --rows dm,digits   some rows alone
    python benchmarks/speed.py --write            keeps each row in docs/results/speed.json as it comes, beside those of
                                                  earlier runs, and writes speed.md from all of them
    python benchmarks/speed.py --rows '' --write  writes speed.md anew, measuring nothing
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from speed_mtt import compare_mtt
from speed_page import KEPT, ORDER, keep, page, row_lines
from speed_plain import CORES
from speed_workers import ROWS, compare

NOTES = (__doc__ or "").split("\n\n")[1]


def measured(row: str, turns: int, most: int) -> dict[str, Any]:
    """A row's figures with when and where they were taken."""
    import torch

    figures = compare_mtt(turns or 5) if row == "mtt" else compare(row, turns or ROWS[row].turns, most)
    load = os.getloadavg()[0]  # two threads that wait for each other suffer most where others want the cores too
    where = {"torch": torch.__version__, "processor": processor()}
    return {"date": str(datetime.date.today()), "load": load, **where, "figures": figures}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the rows in docs/results, beside those of before")
    parser.add_argument("--rows", default=",".join(ORDER), help=f"some of {','.join(ORDER)}")
    parser.add_argument("--turns", type=int, default=0, help="turns a row; 0 takes each row's own number")
    most = "the most threads that plain tries; two that wait for each other need cores that are free"
    parser.add_argument("--plain-threads", type=int, default=CORES, help=most)
    chosen: Any = parser.parse_args()
    rows = [row for row in chosen.rows.split(",") if row]
    if unknown := set(rows) - set(ORDER):
        parser.error(f"no such row: {', '.join(sorted(unknown))}. There are {', '.join(ORDER)}.")
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if chosen.write and KEPT.exists() else {}
    failed = []
    for row in rows:
        begun = time.perf_counter()
        try:
            kept[row] = measured(row, chosen.turns, chosen.plain_threads)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{row} failed: {error}", file=sys.stderr, flush=True)
            failed.append(row)
            continue
        print(*row_lines(row, kept[row]), f"({time.perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
        if chosen.write:
            keep(kept, NOTES)
    if chosen.write:
        keep(kept, NOTES)
    print(page(kept, NOTES))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
