"""What those who wait see: a bar on a terminal, and elsewhere a short line every so often."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limbeck.cli.printing import duration

if TYPE_CHECKING:
    from limbeck.distillation import Progress
    from limbeck.study import Cell, StudyFolder

EVERY_SECONDS = 10.0
"""Between two lines where there is no terminal."""

OnDone = Callable[["Cell", dict[str, Any]], None]


@contextmanager
def step_bar(title: str, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar with the surrogate's value, the rate and the time left, on standard error where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with _bar() as bar:
        task = bar.add_task(title, total=None, facts="")

        def show(progress: Progress) -> None:
            rate = progress.step / max(progress.seconds, 1e-9)
            facts = f"loss {progress.loss:.4g}  {rate:.3g} steps/s  {duration(progress.seconds_left)} left"
            bar.update(task, completed=progress.step, total=progress.steps, facts=facts)

        yield show


@contextmanager
def study_bar(folder: StudyFolder, part: str, quiet: bool) -> Iterator[OnDone | None]:
    """Called with each finished cell: the first numbers and every failure are lines, the others move a bar.

    Where standard error is no terminal, a line every ten seconds stands for the bar.
    """
    if quiet:
        yield None
        return
    from limbeck.study import shard

    pace = Pace(shard(folder.cells(), part), folder.finished())
    if not sys.stderr.isatty():
        told = time.perf_counter()

        def tell(cell: Cell, record: dict[str, Any]) -> None:
            nonlocal told
            pace.count(cell, record)
            if pace.noteworthy(record) or time.perf_counter() - told >= EVERY_SECONDS:
                told = time.perf_counter()
                print(f"[{pace.finished}/{pace.total}] {pace.words}  {outcome(cell, record)}", flush=True)

        yield tell
        return
    with _bar() as bar:
        task = bar.add_task("cells", total=pace.total, completed=pace.finished, facts="")

        def show(cell: Cell, record: dict[str, Any]) -> None:
            pace.count(cell, record)
            if pace.noteworthy(record):
                bar.console.print(outcome(cell, record), markup=False, highlight=False, soft_wrap=True)
            bar.update(task, completed=pace.finished, facts=pace.words)

        yield show


class Pace:
    """How many cells are finished, and how long the rest will take at the pace so far."""

    OPENING = ("reference", "distill", "evaluate")

    def __init__(self, cells: Sequence[Cell], done: Collection[str]) -> None:
        self.total, self.finished = len(cells), sum(cell.id in done for cell in cells)
        self._left = {cell.id: cell for cell in cells if cell.id not in done}
        self._spent: list[tuple[Cell, float]] = []
        self._shown: set[str] = set()
        self._kind = ""
        self._begun = time.perf_counter()

    def count(self, cell: Cell, record: dict[str, Any]) -> None:
        """A cell has ended."""
        self.finished += 1
        self._left.pop(cell.id, None)
        self._spent.append((cell, record["seconds"]))
        self._kind = cell.kind

    def noteworthy(self, record: dict[str, Any]) -> bool:
        """Whether the cell that was counted last is the first of its kind, a failure, or the end."""
        first = self._kind in self.OPENING and self._kind not in self._shown
        self._shown.add(self._kind)
        return first or "failed" in record or self.finished == self.total

    @property
    def words(self) -> str:
        """`42 s, about 1 min 50 s left`: work left by the rate at which work was done, all workers together."""
        from limbeck.study.status import seconds_left

        passed = time.perf_counter() - self._begun
        work = sum(seconds for _, seconds in self._spent)
        left = seconds_left(self._spent, list(self._left.values()))
        about = "" if not left or not work else f", about {duration(left * passed / work)} left"
        return f"{duration(passed)}{about}"


def outcome(cell: Cell, record: dict[str, Any]) -> str:
    """A finished cell in a line: what it was, and its numbers."""
    if "failed" in record:
        return f"FAILED {cell.title}: {record['failed']}"
    if "rows" in record:
        return f"{cell.title}: test error " + ", ".join(f"{row['error']:.3f}" for row in record["rows"])
    return f"{cell.title}: made in {duration(record['seconds'])}"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    fields = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}")]
    return Progress(*fields, console=Console(stderr=True))
