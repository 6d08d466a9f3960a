"""Runners: execute cells somewhere, nothing else. The same cells give the same records, whoever runs them."""

from __future__ import annotations

import ctypes
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from limbeck.durability import Group
from limbeck.errors import UnknownName
from limbeck.study import (
    Cell,
    Execute,
    Order,
    Status,
    StudyFolder,
    StudyForecast,
    check_device,
    forecast,
    shard,
    status,
)
from limbeck.variants import Variant, make

OnDone = Callable[[Cell, dict[str, Any]], None]
"""Called in the caller's process with each cell that was run and its record."""


class Runner(Variant):
    """Settings of a place where cells are executed.

    What it writes is whole at once; `run_study` makes it durable.
    """

    @abstractmethod
    def run(self, order: Order, folder: StudyFolder, on_done: OnDone, execute: Execute | None = None) -> None:
        """Run all that the order hands out, and tell it of each that is done or has failed.

        Raises `StoreFailure` where the disk refuses and `Interrupted` on Ctrl-C; finished cells and checkpoints stay.
        """

    def places(self) -> int:
        """How many cells it runs at a time, as far as is known before it runs."""
        return 1

    def check(self, folder: StudyFolder) -> None:
        """Raise `MissingData` where the study's device is not to be had here."""
        check_device(folder.study.device)


def run_study(
    folder: StudyFolder,
    runner: str | Runner = "processes",
    *,
    part: str = "1/1",
    cells: Sequence[Cell] | None = None,
    retry: bool = False,
    on_done: OnDone | None = None,
    execute: Execute | None = None,
) -> Status:
    """Run what is left of a study, or of its shard `part` = i/n, and say how it stands.

    With `cells` only those are run; what they need has to be among them or finished.

    Cells that failed are left alone unless `retry` is given. Running it twice does nothing the second time. A record
    that is not as it was written, as after a power cut, counts as none.

    Raises `StudyChanged` where the source's data have changed, and what `Runner.run` raises.
    """
    chosen = _made(runner)
    cells = shard(folder.cells() if cells is None else cells, part)
    order = Order(cells, folder.finished(checked=True), () if retry else folder.failed(checked=True))
    if order.left:
        folder.check_source()
        if execute is None:
            chosen.check(folder)
        begun, left = time.perf_counter(), order.left
        with Group() as group:

            def tell(cell: Cell, record: dict[str, Any]) -> None:
                group.add((folder.failure_path if "failed" in record else folder.record_path)(cell.id))
                if on_done is not None:
                    on_done(cell, record)

            chosen.run(order, folder, tell, execute)
        if foretold := StudyForecast.load(folder):
            elapsed = time.perf_counter() - begun
            foretold.compared(folder, elapsed if foretold.cells == left else None).save(folder)
    return status(folder)


def forecast_study(folder: StudyFolder, runner: str | Runner = "processes", *, part: str = "1/1") -> StudyForecast:
    """Measure what running what is left of a study, or of a shard of it, will take; kept in its folder.

    Raises what `limbeck.study.forecast` raises.
    """
    check_device(folder.study.device)
    with one_thread():
        made = forecast(folder, shard(folder.cells(), part), _made(runner).places())
    made.save(folder)
    return made


def _made(runner: str | Runner) -> Runner:
    chosen = make("runners", runner) if isinstance(runner, str) else runner
    if not isinstance(chosen, Runner):
        raise UnknownName(f"'{runner}' is no runner.")
    return chosen


def settle(order: Order, cell: Cell, record: dict[str, Any], on_done: OnDone) -> None:
    """Tell the order and the caller how a cell ended."""
    if "failed" in record:
        order.failed(cell)
    else:
        order.done(cell)
    on_done(cell, record)


def allowed_cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cores() -> int:
    """How many cores this process may use."""
    return len(allowed_cores())


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, as everywhere else: sums over another number of threads differ in the last bits."""
    import torch

    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next maps, where its C library is glibc.

    By default glibc gives every map of more than 32 MiB back to the system, and smaller ones when enough are free at
    the top: a training step of the literature's ConvNet at width 32 then fetches 13,000 pages anew, a third of its
    time. No number changes; the process stays as large as it once was.
    """
    no_trimming, no_mapping = (-1, 2**31 - 1), (-4, 0)  # M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3)
    with suppress(OSError, AttributeError):
        adjust = ctypes.CDLL("libc.so.6").mallopt
        for parameter, value in (no_trimming, no_mapping):
            adjust(parameter, value)
