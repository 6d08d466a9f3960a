"""What a study's bookkeeping costs as it grows: 100 to 100,000 finished cells, and cells that do nothing on top.

For each size a study's folder is filled with finished records; then planning (the grid, the finished ids, the order),
the check of every record that a run begins with, `status`, `table` and a resumed run of the cells that are left, to its
last sync, are timed in a process of their own, whose memory is read before and after; so are the same cells each synced
on its own. The growth exponent is the slope of log time on log cells, by least squares.

    python benchmarks/scale.py [--sizes 100 1000 ...] [--repeats 3] [--write]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np

from limbeck import durability
from limbeck.digest import digest
from limbeck.memory import peak_memory
from limbeck.runners import run_study
from limbeck.study import Cell, Order, Study, StudyFolder, about, run_cell, status, table

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PARTS = ("plan", "check", "status", "table")
LEFT = 200
"""Cells that a resumed run still has to do; they read nothing and compute nothing."""
TEXT = """
name = "grown"
methods = ["random", "k-means"]
per_class = [1, 2]
configurations = ["mlp/sgd", "mlp/adam", "mlp/adamw", "lenet"]
sets = {sets}
seeds = 2
"""
ROW = {"error": 0.123456789, "loss": 0.5, "validation_error": 0.1, "cost_seconds": 0.1, "flops": 10, "bytes": 100}


def nothing(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """The result of a cell that does nothing, of the size of a real one."""
    if cell.kind == "distill":
        return {"object": None, "set": "0" * 64, "k": 10, "bytes": 2560}
    return {"rows": [ROW | {"seed": seed} for seed in cell.payload["seeds"]], "k": 10, "bytes": 2560}


NOTHING = {"reference": nothing, "distill": nothing, "evaluate": nothing}


def filled(place: Path, cells: int) -> StudyFolder:
    """A study of about so many cells and `LEFT` more, all finished but the last; records as `run_cell` writes them."""
    sets = -(-(cells + LEFT) // 20)
    folder = StudyFolder.open(Study.read(TEXT.format(sets=sets)), place)
    for cell in folder.cells()[:-LEFT]:
        record = about(cell) | nothing(folder, cell) | {"seconds": 0.1}
        path = folder.record_path(cell.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record | {"sha256": digest(record)}, indent=1))
    return folder


def measured(path: Path) -> dict[str, float]:
    """Seconds of each part, and memory, in this process."""
    folder = StudyFolder(path)
    folder.facts  # noqa: B018  (read once, as by every verb)
    Study.read(TEXT.format(sets=1)).cells(folder.facts)  # imports and caches are no growth
    found: dict[str, float] = {}
    with peak_memory() as peak:
        base = peak()
        begun = time.perf_counter()
        cells = folder.cells()
        ids = [cell.id for cell in cells]
        Order(cells, folder.finished(), folder.failed())
        found["plan"] = time.perf_counter() - begun
        for name, call in (("check", _check), ("status", status), ("table", table)):
            begun = time.perf_counter()
            call(folder)
            found[name] = time.perf_counter() - begun
        found["memory_bytes"] = peak() - base
    found["cells"] = len(ids)
    found["run_cell"] = _resumed(folder, ids[-LEFT:])
    found["run_cell_synced_alone"] = _alone(folder, cells[-LEFT:])
    return found


def _check(folder: StudyFolder) -> None:
    folder.finished(checked=True)
    folder.failed(checked=True)


def _resumed(folder: StudyFolder, ids: list[str]) -> float:
    """Seconds a cell of a resumed run, from the first that is done to the last sync, the runner's bookkeeping in it."""
    for name in ids:
        folder.record_path(name).unlink(missing_ok=True)
    times: list[float] = []
    sync = durability.sync

    def timed(paths: Collection[Path]) -> None:
        sync(paths)
        times.append(time.perf_counter())

    with mock.patch.object(durability, "sync", timed):
        run_study(folder, "serial", execute=NOTHING, on_done=lambda cell, record: times.append(time.perf_counter()))
    assert len(times) > LEFT
    return (times[-1] - times[0]) / (LEFT - 1)


def _alone(folder: StudyFolder, cells: list[Cell]) -> float:
    """Seconds a cell whose record waits for the disk twice, for its file and its folder."""
    for cell in cells:
        folder.record_path(cell.id).unlink()
    begun = time.perf_counter()
    for cell in cells:
        run_cell(folder, cell, NOTHING)
    return (time.perf_counter() - begun) / len(cells)


def _send(path: Path, pipe: Any) -> None:
    pipe.send(measured(path))


def repeated(cells: int, repeats: int) -> dict[str, list[float]]:
    """Each measure as often as asked, every time in a fresh process."""
    place = Path(tempfile.mkdtemp(prefix="limbeck-scale-"))
    try:
        folder = filled(place, cells)
        found = []
        for _ in range(repeats):
            own, other = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(target=_send, args=(folder.path, other))
            process.start()
            other.close()
            found.append(own.recv())
            process.join()
        return {name: [one[name] for one in found] for name in found[0]}
    finally:
        shutil.rmtree(place)


def exponents(results: dict[int, dict[str, list[float]]]) -> dict[str, float]:
    """Slopes of log seconds on log cells, over sizes of 1000 cells and more, where a fixed part weighs little."""
    sizes = [size for size in results if size >= 1000] or list(results)
    if len(sizes) < 2:
        return {}
    cells = np.log([median(results[size]["cells"]) for size in sizes])
    names = ("plan", "check", "status", "table", "run_cell", "run_cell_synced_alone", "memory_bytes")
    return {
        name: float(np.polyfit(cells, np.log([median(results[size][name]) for size in sizes]), 1)[0]) for name in names
    }


def page(results: dict[int, dict[str, list[float]]], slopes: dict[str, float], command: str) -> str:
    """The results as a page."""
    repeats = len(next(iter(results.values()))["plan"])
    lines = [
        "# What bookkeeping costs as a study grows",
        "",
        f"Medians of {repeats} fresh processes [smallest, largest], {os.cpu_count()} cores. Milliseconds a cell of the",
        f"study; in the last two columns milliseconds a cell that is run, of {LEFT} cells that do nothing, beside so",
        "many finished ones: as a runner does it, records synced together (to the last sync), and each synced on its",
        "own, file and folder. `check` is the reading of every record that a run begins with.",
        f"Command: `{command}`.",
        "",
        "| cells | plan | check | status | table | memory, kB a cell | run one | run one, synced alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for held in results.values():
        cells = median(held["cells"])
        shares = [_spread([1e3 * value / cells for value in held[name]]) for name in PARTS]
        own = [_spread([1e3 * value for value in held[name]]) for name in ("run_cell", "run_cell_synced_alone")]
        memory = _spread([value / 1e3 / cells for value in held["memory_bytes"]])
        lines.append(f"| {cells:,.0f} | {' | '.join([*shares, memory, *own])} |")
    words = ", ".join(f"{name} {slope:.2f}" for name, slope in slopes.items())
    lines += ["", f"Growth exponents from 1000 cells on (1 is proportional, 0 constant): {words}.", ""]
    largest = list(results.values())[-1]
    whole = sum(median(largest[name]) for name in PARTS)
    cells = median(largest["cells"])
    each = 1e3 * (whole / cells + median(largest["run_cell"]))
    lines.append(
        f"At {cells:,.0f} cells, planning, check, status and table together take {whole:.1f} s, and the overhead of a "
        f"cell, its share of them and its own record, is {each:.1f} ms; with every record synced alone it was "
        f"{each + 1e3 * (median(largest['run_cell_synced_alone']) - median(largest['run_cell'])):.1f} ms."
    )
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    return f"{median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/results/scale.{md,json}")
    given = parser.parse_args()
    results = {size: repeated(size, given.repeats) for size in given.sizes}
    slopes = exponents(results)
    command = f"python benchmarks/scale.py --sizes {' '.join(map(str, given.sizes))} --repeats {given.repeats} --write"
    text = page(results, slopes, command)
    print(text)
    if given.write:
        (RESULTS / "scale.md").write_text(text)
        held = {"command": command, "exponents": slopes, "results": list(results.values())}
        (RESULTS / "scale.json").write_text(json.dumps(held, indent=1) + "\n")


if __name__ == "__main__":
    main()
