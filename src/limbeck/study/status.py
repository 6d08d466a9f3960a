"""How far a study is: what is done, what has failed and why, and how long the rest will take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limbeck.errors import CorruptFile
from limbeck.study.cells import KINDS, Cell
from limbeck.study.folder import StudyFolder
from limbeck.study.forecast import StudyForecast, group_of
from limbeck.study.grid import SELECTION_COST
from limbeck.study.order import Order


@dataclass(frozen=True)
class Count:
    """Cells of one kind."""

    done: int = 0
    failed: int = 0
    blocked: int = 0
    left: int = 0


@dataclass(frozen=True)
class Status:
    """A study's state. `seconds_left` is work, not time: divide it by the workers; None while nothing was measured."""

    counts: dict[str, Count]
    seconds_spent: float
    seconds_left: float | None
    failures: tuple[dict[str, str], ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left that could be run without a retry."""
        return not any(count.left for count in self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "failures": list(self.failures), "complete": self.complete}


def status(folder: StudyFolder) -> Status:
    """Counts by kind, seconds spent, an estimate of the seconds left, and the reasons of failed cells."""
    cells = folder.cells()
    finished, failed = folder.finished(), folder.failed()
    blocked = Order(cells, finished, failed).blocked
    states: dict[str, Counter[str]] = defaultdict(Counter)
    spent: list[tuple[Cell, float]] = []
    left: list[Cell] = []
    failures = []
    for cell in cells:
        state = "left"
        if cell.id in finished and (seconds := _seconds(folder, cell)) is not None:
            state = "done"
            spent.append((cell, seconds))
        elif cell.id in failed:
            state = "failed"
            failures.append({"cell": cell.title, "id": cell.id, "reason": _why(folder, cell)})
        elif cell.id in blocked:
            state = "blocked"
        else:
            left.append(cell)
        states[cell.kind][state] += 1
    counts = {kind: Count(**states[kind]) for kind in KINDS if kind in states}
    total = sum(seconds for _, seconds in spent)
    foretold = StudyForecast.load(folder)
    return Status(counts, total, seconds_left(spent, left, foretold), tuple(failures))


def measured(folder: StudyFolder) -> list[tuple[Cell, float]]:
    """Every finished cell with the seconds that it took: what `seconds_left` judges others by."""
    finished = folder.finished()
    held = [(cell, _seconds(folder, cell)) for cell in folder.cells() if cell.id in finished]
    return [(cell, seconds) for cell, seconds in held if seconds is not None]


def seconds_left(
    spent: Sequence[tuple[Cell, float]], left: Sequence[Cell], foretold: StudyForecast | None = None
) -> float | None:
    """Work left, from measured seconds per guessed operation.

    A cell is judged by finished ones of its own group (kind, method and configuration), else by a forecast where there
    is one, else by finished ones of its kind, else by all.
    """
    if not left:
        return 0.0
    rates: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for cell, seconds in spent:
        for group in _groups(cell):
            rates[group][0] += seconds
            rates[group][1] += cell.cost
    known = {piece.group: piece.seconds for piece in foretold.pieces} if foretold else {}
    total = 0.0
    for cell in left:
        own, *wider = _groups(cell)
        if own not in rates and group_of(cell) in known:
            total += known[group_of(cell)]
            continue
        rate = next((rates[group] for group in (own, *wider) if group in rates), None)
        if rate is not None:
            total += cell.cost * rate[0] / rate[1]
        elif not _selects(cell):  # what a selection takes is next to nothing
            return None
    return total


def _selects(cell: Cell) -> bool:
    return cell.kind == "distill" and cell.cost <= SELECTION_COST


def _groups(cell: Cell) -> list[tuple[Any, ...]]:
    method = cell.payload.get("method") if cell.kind == "distill" else None
    own = [(cell.kind, method, cell.payload.get("configuration")), (cell.kind, method)]
    return own if _selects(cell) else [*own, (cell.kind,), ()]


def _seconds(folder: StudyFolder, cell: Cell) -> float | None:
    """What a cell took; None for a record that is not as it was written, whose cell is run again."""
    try:
        return float(folder.record(cell.id)["seconds"])
    except (CorruptFile, KeyError):
        return None


def _why(folder: StudyFolder, cell: Cell) -> str:
    try:
        return str(folder.failure(cell.id)["failed"])
    except (CorruptFile, KeyError):
        return "its record can't be read"
