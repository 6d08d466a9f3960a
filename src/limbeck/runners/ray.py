"""Tasks on a Ray cluster: this machine, or many that share no disk."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, StrictInt

from limbeck import __version__
from limbeck.errors import BadSetting, Interrupted, LimbeckError, MissingExtra, StoreFailure
from limbeck.runners import OnDone, Runner, cores, one_thread, settle
from limbeck.store import read_bytes, write_bytes
from limbeck.study import Cell, Execute, Order, Parcel, StudyFolder, StudyForecast, about, group_of, run_cell

GRACE_SECONDS = 20.0
LOOK_SECONDS = 2.0
HELD_NEEDS = 64


class Ray(Runner):
    """Cells as tasks of a Ray cluster, which needs no shared disk: only the caller writes the study's folder.

    A cell travels as JSON, what it needs (sets, experts) as objects of Ray's store, and its files come back the same
    way. limbeck and the source's data must be on every node. A cell whose worker or node is lost is run again, up to
    `retries` times; at most a quarter more cells are handed out than the cluster can run at once.
    """

    address: str = Field("", description="auto, HOST:PORT or ray://HOST:PORT; '' is RAY_ADDRESS, else this machine")
    cores: float = Field(1.0, gt=0, allow_inf_nan=False, description="of each cell; it still runs one thread")
    gpus: float = Field(0.0, ge=0, allow_inf_nan=False, description="of each cell, such as 0.25")
    memory_gb: float = Field(0.0, ge=0, allow_inf_nan=False, description="of each cell; 0 is as a dry run measured")
    retries: StrictInt = Field(3, ge=0, description="how often a cell may lose its worker")
    scratch: str = Field("", description="folder of every node (or shared) where checkpoints outlive a lost worker")

    def check(self, folder: StudyFolder) -> None:
        """The nodes have the device, not the caller. Raises `BadSetting` where no GPU is asked for a study on GPUs."""
        if folder.study.device == "cuda" and not self.gpus:
            raise BadSetting("the study is for GPUs, and its cells ask for none. Give ray(gpus=1), or a fraction.")

    def run(self, order: Order, folder: StudyFolder, on_done: OnDone, execute: Execute | None = None) -> None:
        with _connected(self.address) as ray:
            fleet = _Fleet(ray, self, folder, execute)
            try:
                while order.left:
                    fleet.fill(order)
                    for cell, record in fleet.arrived():
                        if record is None:
                            order.again(cell)
                        else:
                            settle(order, cell, record, on_done)
            except KeyboardInterrupt:
                raise Interrupted("stopped; finished cells are kept. Run the same command to go on.") from None
            finally:
                fleet.end()


class _Fleet:
    """The tasks that are out, and what they came to."""

    def __init__(self, ray: Any, settings: Ray, folder: StudyFolder, execute: Execute | None) -> None:
        self._ray, self._settings, self._folder = ray, settings, folder
        self._out: dict[Any, Cell] = {}
        self._lost: Counter[str] = Counter()
        self._execute = ray.put(execute)
        self._study = ray.put(read_bytes(folder.path / "study.json"))
        # What many cells need is sent once; a task that is out holds its own, so the oldest may be forgotten here.
        self._need = lru_cache(HELD_NEEDS)(lambda need: ray.put(Parcel.pack(folder, need)))
        self._task = ray.remote(_on_node)
        self._looked, self._room = -math.inf, 0
        foretold = StudyForecast.load(folder)
        self._measured = {piece.group: piece.memory_bytes for piece in foretold.pieces} if foretold else {}

    def fill(self, order: Order) -> None:
        """Hand out cells until a quarter more are out than can run at once. Raises `BadSetting` where none can."""
        if time.monotonic() - self._looked > LOOK_SECONDS:  # nodes come and go
            self._looked, self._room = time.monotonic(), self._slots()
        while len(self._out) < math.ceil(1.25 * self._room) and (cell := order.next()):
            asked = self._settings
            memory = asked.memory_gb * 1e9 or float(self._measured.get(group_of(cell), 0))
            memory *= 2 ** self._lost[cell.id]  # lost for want of memory, perhaps
            options = {"num_cpus": asked.cores, "num_gpus": asked.gpus, "max_retries": 0, "name": cell.title}
            options |= {"memory": min(memory, self._most("memory"))} if memory else {}
            task = self._task.options(**options).remote(
                cell.json(), _versions(), self._study, self._execute, asked.scratch, *map(self._need, cell.needs)
            )
            self._out[task] = cell

    def arrived(self) -> Iterator[tuple[Cell, dict[str, Any] | None]]:
        """The cells that came back within a second, with their records, or None to be run again.

        Raises `StoreFailure` where a disk refused and `LimbeckError` where a node can't run cells at all.
        """
        ready, _ = self._ray.wait(list(self._out), num_returns=1, timeout=1.0)
        for task in ready:
            cell = self._out.pop(task)
            try:
                yield cell, self._ray.get(task).unpack(self._folder, durable=False)
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, LimbeckError):
                    raise error.cause from None
                raise LimbeckError(f"a node could not run {cell.title}: {error.cause!r}. Is limbeck there?") from None
            except self._ray.exceptions.RayError as error:
                self._looked = -math.inf
                yield cell, self._after_loss(cell, error)

    def _after_loss(self, cell: Cell, error: Exception) -> dict[str, Any] | None:
        """None while the cell may be run again, then the record of its failure."""
        self._lost[cell.id] += 1
        if self._lost[cell.id] <= self._settings.retries:
            return None
        why = type(error).__name__.removesuffix("Error")
        message = f"its worker was lost {self._lost[cell.id]} times, at last by {why}: {str(error).splitlines()[0]}"
        record = about(cell) | {"failed": message, "error": "WorkerDied", "seconds": 0.0}
        self._folder.write(cell.id, record)
        return record

    def _slots(self) -> int:
        """How many cells the cluster can run at once."""
        asked = {"CPU": self._settings.cores, "GPU": self._settings.gpus, "memory": self._settings.memory_gb * 1e9}
        asked = {name: amount for name, amount in asked.items() if amount}
        slots = sum(int(min(held.get(name, 0.0) // amount for name, amount in asked.items())) for held in self._nodes())
        if slots == 0:
            words = ", ".join(f"{amount:g} {name}" for name, amount in asked.items())
            raise BadSetting(
                f"no node of the Ray cluster has what a cell asks for ({words}). Ask for less, or add one."
            )
        return slots

    def _most(self, resource: str) -> float:
        return max((float(held.get(resource, 0.0)) for held in self._nodes()), default=0.0)

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def end(self) -> None:
        """Ask what is still out to checkpoint and end, wait a little, then end it."""
        for task in self._out:
            self._ray.cancel(task, force=False)
        if self._out:
            _, left = self._ray.wait(list(self._out), num_returns=len(self._out), timeout=GRACE_SECONDS)
            for task in left:
                self._ray.cancel(task, force=True)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; a cluster that was started for this, and no other, is ended with it.

    Raises `MissingExtra` where Ray is not installed and `LimbeckError` where there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network unless asked for
    try:
        import ray
    except ImportError:
        raise MissingExtra("the runner 'ray' needs Ray. Install it: pip install 'limbeck[ray]'.") from None
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, ValueError) as error:
        raise LimbeckError(
            f"no Ray cluster answers at '{address}': {error}. Start one, or leave address out."
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _versions() -> dict[str, str]:
    """What results depend on beside the cell. The kind of processor is left to the user."""
    import torch

    return {"limbeck": __version__, "torch": torch.__version__.partition("+")[0]}


def _on_node(
    text: str, versions: dict[str, str], study: bytes, execute: Execute | None, scratch: str, *needs: Parcel
) -> Parcel:
    """Run a cell in a folder of its own on this node, and send its files back.

    Raises `LimbeckError` where this node's packages are others than the caller's, `StoreFailure` as `run_cell`.
    """
    if (own := _versions()) != versions:
        raise LimbeckError(f"a node has {own}, the caller {versions}. Install the same versions on every node.")
    cell = Cell.read(text)
    try:
        with tempfile.TemporaryDirectory(prefix="limbeck-") as place:
            folder = StudyFolder(Path(place))
            write_bytes(folder.path / "study.json", study)
            for need in needs:
                need.unpack(folder, durable=False)
            if scratch:
                _keep_checkpoints(folder, cell, Path(scratch))
            with one_thread():
                run_cell(folder, cell, execute, durable=False)
            if scratch:
                shutil.rmtree(Path(scratch) / cell.id, ignore_errors=True)
            return Parcel.pack(folder, cell.id)
    except OSError as error:
        raise StoreFailure(f"a node's disk refuses: {error.strerror or error}. Make room there.") from None


def _keep_checkpoints(folder: StudyFolder, cell: Cell, scratch: Path) -> None:
    """Put a cell's checkpoints where another attempt finds them."""
    (scratch / cell.id).mkdir(parents=True, exist_ok=True)
    folder.work(cell.id).parent.mkdir(parents=True, exist_ok=True)
    folder.work(cell.id).symlink_to(scratch / cell.id, target_is_directory=True)
