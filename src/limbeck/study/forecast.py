"""What a study will take, before it runs, and how far off that was."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from limbeck.errors import LimbeckError
from limbeck.store import read_record, write_record
from limbeck.study.cells import Cell, short_method
from limbeck.study.folder import StudyFolder
from limbeck.study.measuring import Measuring
from limbeck.study.order import Order

Group = tuple[str, str, int, str]


def group_of(cell: Cell) -> Group:
    """Cells of one group take the same time: they differ in seeds, set and number alone."""
    held = cell.payload
    return cell.kind, held.get("method", ""), held.get("per_class", 0), held["configuration"]


@dataclass(frozen=True)
class Piece:
    """A group of cells that are left, and what each takes."""

    kind: str
    method: str
    per_class: int
    configuration: str
    cells: int
    seconds: float
    memory_bytes: int
    disk_bytes: int

    @property
    def group(self) -> Group:
        return self.kind, self.method, self.per_class, self.configuration

    @property
    def short_method(self) -> str:
        """The method as a user would write it, a dash where there is none."""
        return short_method(self.method) if self.method else "-"


@dataclass(frozen=True)
class StudyForecast:
    """The cells that are left, their work in seconds of one core, and the time, memory and disk that they take.

    Work is processor time, so that others on the machine do not change it; on another device, time that passed.
    `elapsed_seconds` is for `workers` cells at a time, each with a core of its own, handed out in the order of the run;
    starting the workers is not in it. `memory_bytes` is that of all workers together. `outcome` says afterwards how far
    off it was.
    """

    made: str
    workers: int
    elapsed_seconds: float
    pieces: tuple[Piece, ...]
    outcome: Mapping[str, Any] | None = None

    @property
    def cells(self) -> int:
        """Cells that are left."""
        return sum(piece.cells for piece in self.pieces)

    @property
    def seconds(self) -> float:
        """Work of all of them on one core."""
        return sum(piece.cells * piece.seconds for piece in self.pieces)

    @property
    def memory_bytes(self) -> int:
        """Of all that run at a time."""
        return self.workers * max((piece.memory_bytes for piece in self.pieces), default=0)

    @property
    def disk_bytes(self) -> int:
        """Of all records and sets."""
        return sum(piece.cells * piece.disk_bytes for piece in self.pieces)

    def by_method(self) -> list[list[Piece]]:
        """The pieces of each kind and method together, in the order of the grid."""
        held: dict[tuple[str, str], list[Piece]] = defaultdict(list)
        for piece in self.pieces:
            held[piece.kind, piece.method].append(piece)
        return list(held.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        totals = {name: getattr(self, name) for name in ("cells", "seconds", "memory_bytes", "disk_bytes")}
        return totals | asdict(self) | {"pieces": [asdict(piece) for piece in self.pieces]}

    def save(self, folder: StudyFolder) -> None:
        """Keep it in the study's folder, to be compared with what happens."""
        write_record(folder.path / "forecast.json", self.to_dict())

    @classmethod
    def load(cls, folder: StudyFolder) -> StudyForecast | None:
        """The last forecast of a study, if there is a readable one: without it a study runs as well."""
        try:
            held = read_record(folder.path / "forecast.json")
            pieces = tuple(Piece(**piece) for piece in held["pieces"])
            return cls(held["made"], held["workers"], held["elapsed_seconds"], pieces, held["outcome"])
        except (LimbeckError, KeyError, TypeError):
            return None

    def compared(self, folder: StudyFolder, elapsed: float | None = None) -> StudyForecast:
        """With how far off it was: work foretold and measured, of the cells that were finished since, by kind.

        `elapsed` is how long running all of them took, where one run did. A ratio is measured / foretold.
        """
        foretold: dict[str, float] = defaultdict(float)
        took: dict[str, float] = defaultdict(float)
        clock = "processor_seconds" if folder.study.device == "cpu" else "seconds"
        pieces, memory, finished = {piece.group: piece for piece in self.pieces}, 0, folder.finished()
        for cell in folder.cells():
            piece = pieces.get(group_of(cell))
            if piece is None or cell.id not in finished:
                continue
            record = folder.record(cell.id)
            if record["finished"] >= self.made:
                foretold[cell.kind] += piece.seconds
                took[cell.kind] += record.get(clock, record["seconds"])
                memory = max(memory, record.get("peak_memory_bytes", 0))
        if not took:
            return self
        kinds = {kind: _ratio(foretold[kind], took[kind]) for kind in took}
        outcome: dict[str, Any] = {"work": _ratio(sum(foretold.values()), sum(took.values())), "kinds": kinds}
        outcome["memory"] = _ratio(max(piece.memory_bytes for piece in self.pieces), memory)
        outcome["elapsed"] = None if elapsed is None else _ratio(self.elapsed_seconds, elapsed)
        return replace(self, outcome=outcome)


def _ratio(foretold: float, measured: float) -> dict[str, float | None]:
    return {"foretold": foretold, "measured": measured, "ratio": measured / foretold if foretold else None}


def forecast(folder: StudyFolder, cells: Sequence[Cell], workers: int = 1) -> StudyForecast:
    """Measure what the cells that are left take, each group by a short piece of its own work; nothing is kept of it.

    Trainings are measured over a few of their steps and drawn out to all of them; on synthetic sets at the smallest and
    the largest batch, with a straight line between. A selection is made once, a distillation begun.

    Raises `StudyChanged` where the source's data have changed, and what a method raises that can't run on it.
    """
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    finished, failed = folder.finished(), folder.failed()
    groups: dict[Group, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.id not in finished and cell.id not in failed:
            groups[group_of(cell)].append(cell)
    if groups:
        folder.check_source()
    measuring = Measuring(folder)
    pieces = {group: Piece(*group, len(held), *measuring.of(held[0])) for group, held in groups.items()}
    writing = measuring.writing_seconds() if groups else 0.0
    elapsed = _elapsed(
        Order(cells, finished, failed), lambda cell: pieces[group_of(cell)].seconds + writing, max(1, workers)
    )
    return StudyForecast(begun, max(1, workers), elapsed, tuple(pieces.values()))


def _elapsed(order: Order, seconds: Callable[[Cell], float], workers: int) -> float:
    """When the last cell ends, if cells are handed out as a runner does."""
    now, place = 0.0, 0
    busy: list[tuple[float, int, Cell]] = []
    while order.left:
        while len(busy) < workers and (cell := order.next()):
            heapq.heappush(busy, (now + seconds(cell), place := place + 1, cell))
        now, _, cell = heapq.heappop(busy)
        order.done(cell)
    return now
