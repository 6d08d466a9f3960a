"""What those who wait see: a bar on a terminal, and elsewhere a short line every so often."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING, Any

from limbeck.cli.printing import duration

if TYPE_CHECKING:
    from limbeck.distillation import Progress
    from limbeck.study import Cell

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
def spinner(title: str, quiet: bool = False) -> Iterator[None]:
    """A turning sign for work of unknown length, on standard error where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(title)):
        yield


@contextmanager
def study_bar(cells: Sequence[Cell], done: Collection[str], quiet: bool) -> Iterator[OnDone | None]:
    """Called with each finished cell: the first numbers and every failure are lines, the others move a bar.

    Where standard error is no terminal, a line every ten seconds stands for the bar.
    """
    if quiet:
        yield None
        return
    pace = Pace(cells, done)
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
        passed = time.perf_counter() - self._begun
        work = sum(seconds for _, seconds in self._spent)
        left = work_left(self._spent, list(self._left.values()))
        about = "" if not left or not work else f", about {duration(left * passed / work)} left"
        return f"{duration(passed)}{about}"


def work_left(spent: Sequence[tuple[Cell, float]], left: Sequence[Cell]) -> float | None:
    """Seconds of work in cells that are left: each takes what finished cells nearest to it took on the mean.

    None while a kind of cell, or a method's distillation, was not measured at all. Guessed operations are no guide
    among small cells, where most of the time goes into starting: the first minute would foretell days.
    """
    held: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for cell, seconds in spent:
        for group in _groups(cell):
            held[group].append(seconds)
    total = 0.0
    for cell in left:
        near = next((held[group] for group in _groups(cell) if group in held), None)
        if near is None:
            return None
        total += fmean(near)
    return total


def _groups(cell: Cell) -> list[tuple[Any, ...]]:
    """From cells of the same work to cells of the same kind (and, where sets are made, of the same method)."""
    own = cell.payload
    kind = (cell.kind, own["method"]) if cell.kind == "distill" else (cell.kind,)
    return [(*kind, own["configuration"], own.get("per_class")), (*kind, own["configuration"]), kind]


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
    from rich.table import Column

    # On a narrow terminal the name and the facts wrap or end early; the bar and the count stay.
    bar, count = BarColumn(table_column=Column(min_width=5)), MofNCompleteColumn(table_column=Column(min_width=7))
    fields = [TextColumn("{task.description}"), bar, count, TextColumn("{task.fields[facts]}")]
    return Progress(*fields, console=Console(stderr=True))
