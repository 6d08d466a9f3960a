"""One single-threaded process for each core."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from pydantic import Field, StrictInt

from limbeck.errors import CorruptFile, Interrupted, LimbeckError, MissingData, StoreFailure
from limbeck.runners import OnDone, Runner, allowed_cores, cores, one_thread, settle
from limbeck.study import Cell, Execute, Order, StudyFolder, about, run_cell

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
GRACE_SECONDS = 20.0


class Processes(Runner):
    """Cells in one process for each core, each with one thread; the general win on a CPU.

    A worker that dies (killed, out of memory) is replaced, and its cell is run once more; dying on it twice is that
    cell's failure. A worker whose parent is gone ends itself. With `memory_gb`, a cell that asks for more fails with
    that reason before the system has to kill anything. A study for GPUs gives each worker one, in turn.
    """

    workers: StrictInt = Field(0, ge=0, description="0 takes every core that this process may use, or every GPU")
    memory_gb: float = Field(0.0, ge=0, allow_inf_nan=False, description="most data memory of a worker; 0 is no limit")
    pin: bool = Field(False, description="keep each worker on a core of its own")

    def places(self) -> int:
        return self.workers or cores()

    def run(self, order: Order, folder: StudyFolder, on_done: OnDone, execute: Execute | None = None) -> None:
        gpus = visible_gpus() if folder.study.device == "cuda" else []
        count = min(self.workers or len(gpus) or cores(), order.left)
        places = [
            _Place(self.memory_gb, core if self.pin else None, gpus[number % len(gpus)] if gpus else None)
            for number, core in zip(range(count), itertools.cycle(allowed_cores()), strict=False)
        ]
        crew = [_Worker.hire(folder, execute, place) for place in places]
        deaths: Counter[str] = Counter()
        try:
            while order.left:
                _assign(order, crew)
                busy = {end: worker for worker in crew if worker.cell for end in worker.ends}
                for worker in {id(worker): worker for end in wait(list(busy)) for worker in [busy[end]]}.values():
                    word, content = worker.hear()
                    if word == "started":
                        continue
                    cell, worker.cell = worker.cell, None
                    assert cell is not None
                    if word == "died":
                        crew[crew.index(worker)] = _Worker.hire(folder, execute, worker.place)
                        content = _after_death(worker, cell, folder, deaths)
                    if content is None:
                        order.again(cell)
                    else:
                        settle(order, cell, content, on_done)
        except KeyboardInterrupt:
            raise Interrupted("stopped; finished cells are kept. Run the same command to go on.") from None
        finally:
            _end(crew)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(i) for i in range(torch.cuda.device_count())] if named is None else list(filter(None, named.split(",")))


@dataclass(frozen=True)
class _Place:
    """What a worker may use."""

    memory_gb: float
    core: int | None
    gpu: str | None

    @property
    def variables(self) -> dict[str, str]:
        return ONE_THREAD if self.gpu is None else {**ONE_THREAD, "CUDA_VISIBLE_DEVICES": self.gpu}

    def take(self) -> None:
        """Of this process, where the system knows such limits."""
        if self.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {self.core})
        if self.memory_gb and sys.platform == "linux":
            limit = int(self.memory_gb * 1e9)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@dataclass(eq=False)
class _Worker:
    """A process that runs the cells that are sent to it."""

    process: BaseProcess
    pipe: Connection
    place: _Place
    cell: Cell | None = None
    started: bool = False

    @classmethod
    def hire(cls, folder: StudyFolder, execute: Execute | None, place: _Place) -> _Worker:
        context = multiprocessing.get_context("spawn")
        own, other = context.Pipe()
        process = context.Process(target=_work, args=(other, folder, execute, place), daemon=True)
        with _environment(place.variables):
            process.start()
        other.close()
        return cls(process, own, place)

    @property
    def ends(self) -> tuple[Any, Any]:
        """What to wait for: a word from it, or its end."""
        return self.pipe, self.process.sentinel

    def send(self, cell: Cell) -> None:
        self.cell = cell
        with suppress(OSError):  # of a dead one: its end is heard of next
            self.pipe.send(cell)

    def hear(self) -> tuple[str, Any]:
        """`started`, `record` with a record, or `died`.

        Raises `StoreFailure` where its disk refused and `LimbeckError` where it could not even start.
        """
        try:
            word, content = self.pipe.recv() if self.pipe.poll() else ("died", None)
        except (EOFError, OSError):
            word, content = "died", None
        self.started |= word == "started"
        if word == "refused":
            raise StoreFailure(content)
        if word == "died" and not self.started:
            self.process.join()
            raise LimbeckError(
                f"a worker process could not start (exit code {self.process.exitcode}). In a script of your own, call "
                "the runner under `if __name__ == '__main__':`; else use the runner 'serial' to see the reason."
            )
        return word, content

    def dismiss(self) -> None:
        """End it, whatever it is doing."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.pipe.close()


def _assign(order: Order, crew: list[_Worker]) -> None:
    for worker in crew:
        if worker.cell is None:
            cell = order.next()
            if cell is None:
                return
            worker.send(cell)


def _after_death(worker: _Worker, cell: Cell, folder: StudyFolder, deaths: Counter[str]) -> dict[str, Any] | None:
    """The record of a cell whose worker died: what it may have written, a failure the second time, else None."""
    worker.dismiss()
    with suppress(MissingData, CorruptFile):
        return folder.record(cell.id)
    deaths[cell.id] += 1
    if deaths[cell.id] < 2:
        return None
    code = worker.process.exitcode or 0
    how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    message = f"its worker died twice, by {how}. If memory ran out, use fewer workers or a smaller network or batch."
    record = about(cell) | {"failed": message, "error": "WorkerDied", "seconds": 0.0}
    folder.write(cell.id, record)
    return record


def _end(crew: list[_Worker]) -> None:
    """Ask busy workers to checkpoint and end, wait a little, then end them."""
    for worker in crew:
        if worker.cell and worker.process.is_alive():
            worker.process.terminate()
        else:
            worker.process.kill()
    until = time.monotonic() + GRACE_SECONDS
    for worker in crew:
        worker.process.join(max(0.0, until - time.monotonic()))
        worker.dismiss()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Variables that a process to be started inherits; thread pools read them once, when they are loaded."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection, folder: StudyFolder, execute: Execute | None, place: _Place) -> None:
    """A worker's life: run what is sent, send back what came of it."""
    # Ctrl-C reaches every process of a terminal: the parent decides, and ends the others by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    place.take()
    try:
        with one_thread():
            pipe.send(("started", None))
            while True:
                cell = pipe.recv()
                try:
                    pipe.send(("record", run_cell(folder, cell, execute, durable=False)))
                except StoreFailure as error:
                    pipe.send(("refused", str(error)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt, Interrupted):
        return


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
