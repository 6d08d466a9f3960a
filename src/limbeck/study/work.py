"""Run one cell: read what it needs from the folder, compute, remember. What goes wrong inside is a result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from limbeck import __version__
from limbeck.digest import canonical, digest
from limbeck.errors import (
    CorruptFile,
    Diverged,
    Interrupted,
    LimbeckError,
    MissingData,
    StoreFailure,
    own_frames,
    place,
)
from limbeck.memory import peak_memory
from limbeck.store import read_tensors, tensor_digest, write_tensors
from limbeck.study.cells import Cell
from limbeck.study.folder import FORMAT, StudyFolder

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.sources import Source
    from limbeck.synthetic import SyntheticSet

Execute = Mapping[str, Callable[[StudyFolder, Cell], dict[str, Any]]]


def run_cell(
    folder: StudyFolder, cell: Cell, execute: Execute | None = None, *, durable: bool = True
) -> dict[str, Any]:
    """Run a cell and return its record, which is on disk by then; a finished cell is only read.

    Without `durable` the caller syncs what is quickly done again, see `StudyFolder.write`. A record that is not as it
    was written is made anew.

    Divergence, NaN, running out of memory and any mistake in a user's own code make a record with `failed`, the reason.
    `execute` maps kinds to functions of a folder and a cell that return a cell's result as JSON.

    Raises `StoreFailure` where the disk refuses and `KeyboardInterrupt` or `Interrupted` where the user does: then
    nothing is remembered but the checkpoints.
    """
    if folder.record_path(cell.id).exists():
        with suppress(CorruptFile):
            return folder.record(cell.id)
    started, had = time.perf_counter(), time.process_time()
    with peak_memory() as peak:
        try:
            result = (execute or EXECUTE)[cell.kind](folder, cell)
            canonical(result)
        except (StoreFailure, Interrupted):
            raise
        except Exception as error:
            result = {"failed": reason(error), "error": type(error).__name__}
        measured = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - had}
        measured |= {"peak_memory_bytes": peak()}
    record = about(cell) | result | measured
    folder.write(cell.id, record, durable=durable)
    return record


def about(cell: Cell) -> dict[str, Any]:
    """What every record says of its cell."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    own = {"format": FORMAT, "id": cell.id, "kind": cell.kind, "payload": dict(cell.payload)}
    return own | {"finished": now, "limbeck": __version__}


def reason(error: Exception) -> str:
    """Why work failed, in a line; for what no one expected with the place in the code, if possible the user's."""
    text = " ".join(str(error).split()) or "no more is known"
    if isinstance(error, LimbeckError):
        return text
    if short := out_of_memory(error):
        return short
    if isinstance(error, ValueError) and "not JSON compliant" in text:
        return "a result is not a finite number: the training has diverged. Lower its learning rate."
    last = (own_frames(error) or traceback.extract_tb(error.__traceback__))[-1]
    return f"{type(error).__name__}: {text} ({place(last)})"


def out_of_memory(error: Exception) -> str | None:
    """What is said of an error that memory was the reason of; None for others."""
    text = " ".join(str(error).split()) or "no more is known"
    # torch has an error of its own for a GPU's memory, and a plain RuntimeError for the processor's.
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if short or (isinstance(error, RuntimeError) and "allocate memory" in text):
        return f"out of memory: {text}. Use a smaller network or batch, or fewer workers at a time."
    return None


def load_set(folder: StudyFolder, distill: str) -> SyntheticSet:
    """The set that a distillation cell made. Raises `CorruptFile` where it is not the one that the record names."""
    from limbeck.synthetic import SyntheticSet

    record = folder.record(distill)
    held = SyntheticSet.load(folder.objects(record["object"]), record["object"])
    if held.digest != record["set"]:
        raise CorruptFile(f"the set {record['object'][:12]} is not the one that its record names. Restore a copy.")
    return held


def _reference(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    from limbeck.evaluation import reference

    rows = reference(_source(cell), cell.payload["configuration"], cell.payload["seeds"], device=_device(cell))
    return {"rows": _finite(rows)}


def _expert(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    from limbeck.dynamics import Dynamics
    from limbeck.states import ExpertPlan
    from limbeck.states.experts import train_expert

    source, held = _source(cell), cell.payload
    plan = ExpertPlan.read(held)
    dynamics = Dynamics(plan.configuration, source.domain, device=_device(cell))
    trajectory = train_expert(plan, dynamics, source.train, held["number"])
    name = digest([cell.id, tensor_digest(trajectory)])
    write_tensors(folder.objects(name), name, {"trajectory": trajectory}, {"kind": "expert", **held})
    return {"object": name}


def _trajectory(folder: StudyFolder, expert: str) -> Tensor:
    name = folder.record(expert)["object"]
    tensors, _ = read_tensors(folder.objects(name), name)
    trajectory: Tensor = tensors["trajectory"]
    return trajectory


def _distill(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    from limbeck.distillation import distill

    held = cell.payload
    budget = {key: value for key, value in held["budget"].items() if value}
    experts, teachers = (
        cache(lambda number, ids=held[key]: _trajectory(folder, ids[number])) if held.get(key) else None
        for key in ("experts", "teachers")
    )
    made = distill(
        _source(cell),
        held["method"],
        held["configuration"],
        held["per_class"],
        seed=held["seed"],
        folder=folder.work(cell.id),
        experts=experts,
        teachers=teachers,
        device=_device(cell),
        **budget,
    )
    # A set's name covers what it is called too: two methods may well choose the same samples.
    name = digest([made.digest, held["method"], held["configuration"], held["per_class"], held["seed"]])
    made.save(folder.objects(name), name)
    return {"object": name, "set": made.digest, "k": made.k, "bytes": made.bytes}


def _evaluate(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    from limbeck.evaluation import evaluate
    from limbeck.variants import make

    # The study's own code, if it is that, may have stored the set its own way, or be the network that labels it.
    make("methods", cell.payload["method"])
    _ = folder.study.distilled  # reading it imports
    made = load_set(folder, cell.payload["distill"])
    rows = evaluate(made, cell.payload["configuration"], _source(cell), cell.payload["seeds"], device=_device(cell))
    return {"rows": _finite(rows), "k": made.k, "bytes": made.bytes}


def _device(cell: Cell) -> str:
    """The kind of device that the cell's numbers come from. Raises `MissingData` where this machine has none."""
    kind = str(cell.payload.get("device", "cpu"))
    check_device(kind)
    return kind


def check_device(kind: str) -> None:
    """Raise `MissingData` where this machine has no such device."""
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[kind]:
        raise MissingData(f"the study is for the device '{kind}', which is not here. Run it where there is one.")


def _source(cell: Cell) -> Source:
    """The source that the cell names, kept between cells. Raises `CorruptFile` where its data are others now."""
    from limbeck.sources import load_source

    source = load_source(cell.payload["source"]["spec"])
    if source.digest != cell.payload["source"]["digest"]:
        raise CorruptFile(f"the data of {source.spec} changed since the study was begun. Restore them.")
    return source


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        if not 0 <= row["error"] <= 1:
            raise Diverged(
                f"seed {row.get('seed')} ended with a test error of {row['error']}. Lower the learning rate."
            )
    return rows


EXECUTE: Execute = {"reference": _reference, "expert": _expert, "distill": _distill, "evaluate": _evaluate}
