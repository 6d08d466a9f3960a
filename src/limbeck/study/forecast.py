"""What a study will take, before it runs: measured on this machine by short pieces of its own work."""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from limbeck.configuration import Configuration
from limbeck.errors import Diverged, LimbeckError
from limbeck.memory import peak_memory
from limbeck.store import read_record, write_record
from limbeck.study.cells import Cell, short_method
from limbeck.study.folder import StudyFolder
from limbeck.study.order import Order
from limbeck.variants import make

if TYPE_CHECKING:
    from limbeck.sources import Source
    from limbeck.synthetic import SyntheticSet

MEASURED_SECONDS = 0.3
"""How long a shortened training is measured at least, where the whole takes longer."""
BLOCK = 4096
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
    measuring = _Measuring(folder)
    pieces = {group: measuring.piece(group, held) for group, held in groups.items()}
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


class _Measuring:
    """Short pieces of a study's work, timed."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder, self._study = folder, folder.study
        self._sets: dict[int, SyntheticSet] = {}
        self._lines: dict[str, tuple[tuple[int, float], tuple[int, float]]] = {}
        self._memory: dict[str, int] = {}

    @property
    def source(self) -> Source:
        from limbeck.sources import load_source

        return load_source(self._study.source)

    def piece(self, group: Group, cells: Sequence[Cell]) -> Piece:
        measure = {"reference": self._reference, "expert": self._expert, "distill": self._distill}
        with peak_memory() as peak:
            seconds, disk = measure.get(group[0], self._evaluate)(cells[0])
            memory = peak()
        if group[0] == "evaluate":
            memory = self._memory[group[3]]
        record = len(json.dumps(cells[0].payload, indent=1)) + 400 * (1 + len(cells[0].payload.get("seeds", ())))
        return Piece(*group, len(cells), seconds, memory, disk + _blocks(record))

    def _reference(self, cell: Cell) -> tuple[float, int]:
        from limbeck.evaluation import reference

        seeds, device = cell.payload["seeds"], self._study.device
        return _drawn_out(
            cell.payload["configuration"], lambda short: reference(self.source, short, seeds, device=device), device
        ), 0

    def _expert(self, cell: Cell) -> tuple[float, int]:
        from limbeck.cost import expert_seconds
        from limbeck.dynamics import Dynamics
        from limbeck.states import ExpertPlan

        plan = ExpertPlan.read(cell.payload)
        size = Dynamics(plan.configuration, self.source.domain).initial(0).vector.nbytes
        device = self._study.device
        seconds, share = _with_share(lambda: expert_seconds(plan, self.source, device), device)
        return seconds * share, _blocks(size * plan.checkpoints) + BLOCK

    def _distill(self, cell: Cell) -> tuple[float, int]:
        from limbeck.cost import forecast as measured

        held, budget = cell.payload, cell.payload["budget"]
        steps, candidates = budget["steps"] or None, budget["candidates"]
        words = (held["method"], held["configuration"], held["per_class"])
        device = self._study.device
        cost, share = _with_share(
            lambda: measured(self.source, *words, steps=steps, candidates=candidates, device=device), device
        )
        seconds = share * (cost.seconds - cost.expert_seconds)
        if budget["seconds"] and cost.steps:
            seconds = min(seconds, cost.start_seconds + budget["seconds"])
        losses = 45 * min(cost.steps, 400)
        return seconds, _blocks(cost.bytes) + _blocks(2000 + losses)

    def _evaluate(self, cell: Cell) -> tuple[float, int]:
        """On the line between the smallest and the largest batch that the study's sets make under the configuration."""
        text = cell.payload["configuration"]
        if text not in self._lines:
            copies = [method.parameterization().copies for method in self._study.made]
            ends = [min(self._study.per_class) * min(copies), max(self._study.per_class) * max(copies)]
            with peak_memory() as peak:
                low, high = (self._evaluated(text, per_class, len(cell.payload["seeds"])) for per_class in ends)
                self._memory[text] = peak()
            self._lines[text] = (low, high)
        (least, first), (most, last) = self._lines[text]
        copies_own = make("methods", cell.payload["method"]).parameterization().copies
        batch = self._batch(text, cell.payload["per_class"] * copies_own)
        share = (batch - least) / (most - least) if most > least else 0.0
        return first + share * (last - first), 0

    def _evaluated(self, text: str, per_class: int, seeds: int) -> tuple[int, float]:
        from limbeck.distillation import distill
        from limbeck.evaluation import evaluate

        most = min(per_class, min(self._folder.facts.counts))
        if most not in self._sets:
            self._sets[most] = distill(self.source, "random", self._study.distilled, most)
        made = self._sets[most]
        device = self._study.device
        seconds = _drawn_out(
            text, lambda short: evaluate(made, short, self.source, range(seeds), device=device), device
        )
        return self._batch(text, most), seconds

    def _batch(self, text: str, per_class: int) -> int:
        return min(int(Configuration.parse(text).schedule.batch), per_class * len(self._folder.facts.counts))

    def writing_seconds(self) -> float:
        """What one record takes to be written, the second time; it is made durable beside other work."""
        path = self._folder.path / "work" / "forecast.json"
        for _ in range(2):
            begun = time.perf_counter()
            write_record(path, {"measured": begun}, durable=False)
            taken = time.perf_counter() - begun
        path.unlink()
        return taken


def _drawn_out(text: str, run: Callable[[Configuration], Any], device: str = "cpu") -> float:
    """Seconds of a training of all its steps, from shorter ones: a fixed part, and so much a step."""
    configuration = Configuration.parse(text)
    total = configuration.schedule.steps
    clock = time.process_time if device == "cpu" else time.perf_counter

    def timed(steps: int) -> float:
        schedule = configuration.schedule.with_settings(steps=steps)
        begun = clock()
        with suppress(Diverged):
            run(configuration.replace(schedule=schedule))
        return clock() - begun

    timed(1)  # pays for what is made once
    fixed, taken, steps = timed(1), 0.0, 1
    while taken < fixed + MEASURED_SECONDS and steps < total:
        steps = min(4 * steps, total)
        taken = timed(steps)
    return fixed + (max(0.0, taken - fixed) / (steps - 1) * (total - 1) if steps > 1 else 0.0)


T = TypeVar("T")


def _with_share(run: Callable[[], T], device: str) -> tuple[T, float]:
    """What a call returns, and the share of its time in which this process had a core; 1 on another device."""
    wall, own = time.perf_counter(), time.process_time()
    made = run()
    if device != "cpu":
        return made, 1.0
    return made, min(1.0, (time.process_time() - own) / max(1e-9, time.perf_counter() - wall))


def _blocks(size: int) -> int:
    """What a file of so many bytes takes on a disk."""
    return -(-size // BLOCK) * BLOCK
