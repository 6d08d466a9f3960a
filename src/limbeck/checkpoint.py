"""What changes from step to step in a distillation, kept so that a stopped one goes on where it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.errors import CorruptFile, Interrupted, MissingData
from limbeck.optimizers import Moments
from limbeck.parameterizations import Tensors
from limbeck.states import Carry
from limbeck.store import read_tensors, write_tensors


@dataclass
class Run:
    """What changes from step to step, and all that a checkpoint has to hold."""

    tensors: Tensors
    moments: dict[str, Moments]
    carries: list[Carry]
    pool: Carry
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    best: Tensors = field(default_factory=dict)
    average: Tensors = field(default_factory=dict)


@contextlib.contextmanager
def checkpointing(folder: Path | None, identity: str, run: Run) -> Iterator[None]:
    """Ctrl-C within saves the run and raises `Interrupted`."""
    try:
        yield
    except KeyboardInterrupt:
        if folder is None:
            raise Interrupted(f"stopped at step {run.step}; without a folder nothing was kept.") from None
        save(folder, identity, run)
        raise Interrupted(
            f"stopped at step {run.step}; the checkpoint in {folder} is complete. Run the same command to go on."
        ) from None


def save(folder: Path, identity: str, run: Run) -> None:
    """Write a new checkpoint whole, then drop the older ones: at any moment one complete checkpoint is there."""
    moments = {f"moment.{n}.{i}": moment for n, parts in run.moments.items() for i, moment in enumerate(parts)}
    tensors = {f"tensor.{name}": tensor for name, tensor in run.tensors.items()} | moments
    for place, carry in enumerate(run.carries):
        tensors |= {f"carry.{place}.{name}": tensor for name, tensor in carry.items()}
    tensors |= {f"pool.{name}": tensor for name, tensor in run.pool.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in run.best.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in run.average.items()}
    about = {"identity": identity, "step": run.step, "seconds": run.seconds}
    about |= {"losses": run.losses, "candidates": run.candidates}
    name = f"checkpoint-{identity[:16]}-{run.step:09d}"
    write_tensors(folder, name, tensors, about)
    for old in folder.glob(f"checkpoint-{identity[:16]}-*"):
        if not old.name.startswith(name):
            old.unlink(missing_ok=True)


def drop(folder: Path, identity: str) -> None:
    """Remove a run's checkpoints, once what they led to is kept; those of other runs stay."""
    for done in folder.glob(f"checkpoint-{identity[:16]}-*"):
        done.unlink(missing_ok=True)


def resume(folder: Path | None, identity: str, scenes: int) -> Run | None:
    """The newest complete checkpoint of this very run, if there is one."""
    found = sorted(folder.glob(f"checkpoint-{identity[:16]}-*.json"), reverse=True) if folder else []
    for manifest in found:
        try:
            tensors, about = read_tensors(manifest.parent, manifest.stem)
        except (CorruptFile, MissingData):
            continue
        if about["identity"] != identity:
            continue
        parts: dict[str, Tensors] = {"tensor": {}, "pool": {}, "best": {}, "average": {}}
        carries: list[Carry] = [{} for _ in range(scenes)]
        moments: dict[str, dict[int, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            if kind == "moment":
                owner, _, index = name.rpartition(".")
                moments.setdefault(owner, {})[int(index)] = tensor
            elif kind == "carry":
                place, _, name = name.partition(".")
                carries[int(place)][name] = tensor
            else:
                parts[kind][name] = tensor
        ordered = {owner: tuple(held[i] for i in sorted(held)) for owner, held in moments.items()}
        return Run(
            parts["tensor"], ordered, carries, parts["pool"], about["step"], about["seconds"], about["losses"],
            about["candidates"], parts["best"], parts["average"],
        )  # fmt: skip
    return None
