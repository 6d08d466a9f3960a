"""Work that stands in for training: quick, pure, and failing on demand. Spawned workers import it by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from limbeck.digest import digest
from limbeck.errors import Diverged, StoreFailure
from limbeck.store import write_tensors
from limbeck.streams import derive
from limbeck.study import Cell, StudyFolder


def fraction(*purpose: str | int) -> float:
    """A number in [0, 1) that stands for an error."""
    return derive(0, *purpose) / 2**63


def trained(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """Rows whose errors are a pure function of the configuration and the seeds."""
    if "distill" in cell.payload:
        assert folder.record(cell.payload["distill"])["k"] > 0
    text = cell.payload["configuration"]
    rows = [
        {"seed": seed, "error": fraction(text, seed), "cost_seconds": time.perf_counter()}
        for seed in cell.payload["seeds"]
    ]
    return {"rows": rows} | ({"k": cell.payload["per_class"] * 10} if cell.kind == "evaluate" else {})


def distilled(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """A set of one number."""
    made = {"pixels": torch.tensor([fraction("set", cell.id)])}
    name = digest(cell.id)
    write_tensors(folder.objects(name), name, made, {"kind": "faked", "digest": name})
    return {"object": name, "set": name, "k": cell.payload["per_class"] * 10}


def diverging(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """k-means diverges, everything else works."""
    if cell.payload["method"].startswith("k-means"):
        raise Diverged("the numbers left the finite range at step 3. Lower the learning rate.")
    return distilled(folder, cell)


def dying(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """The worker is killed on every k-means cell, as by the kernel when memory runs out."""
    if cell.payload["method"].startswith("k-means"):
        os.kill(os.getpid(), signal.SIGKILL)
    return distilled(folder, cell)


def dying_once(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """The worker is killed the first time that a cell is run."""
    mark = Path(folder.path) / f"died-{cell.id[:8]}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return distilled(folder, cell)


def refused(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """The disk is full."""
    raise StoreFailure("no space left. Make room.")


def asleep(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """Takes a minute, unless interrupted; says that it began, and that it was asked to end."""
    (folder.path / "begun").touch()
    try:
        for _ in range(600):
            time.sleep(0.1)  # as a training does, it comes back to Python often enough to be interrupted there
    except KeyboardInterrupt:
        (folder.path / "asked").touch()
        raise
    return distilled(folder, cell)


def placed(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """Says where it was run: the worker, the GPU that it sees, and its cores."""
    cores = sorted(os.sched_getaffinity(0))
    (folder.path / f"place-{os.getpid()}").write_text(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {cores}")
    return QUICK[cell.kind](folder, cell)


def greedy(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """k-means asks for 8 GB, everything else works."""
    if cell.payload["method"].startswith("k-means"):
        torch.ones(2 * 10**9)
    return distilled(folder, cell)


QUICK = {"reference": trained, "distill": distilled, "evaluate": trained}
DIVERGING = {**QUICK, "distill": diverging}
DYING = {**QUICK, "distill": dying}
DYING_ONCE = {**QUICK, "distill": dying_once}
REFUSED = {**QUICK, "distill": refused}
ASLEEP = {**QUICK, "distill": asleep}
PLACED = dict.fromkeys(QUICK, placed)
GREEDY = {**QUICK, "distill": greedy}
