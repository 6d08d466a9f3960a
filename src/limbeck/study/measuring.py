"""What one cell of a study takes, measured on this machine by a short piece of its own work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from limbeck.configuration import Configuration
from limbeck.errors import Diverged
from limbeck.memory import peak_memory
from limbeck.store import write_record
from limbeck.study.cells import Cell
from limbeck.study.folder import StudyFolder
from limbeck.variants import make

if TYPE_CHECKING:
    from limbeck.cost import Forecast
    from limbeck.sources import Source
    from limbeck.synthetic import SyntheticSet

MEASURED_SECONDS = 0.3
"""How long a shortened training is measured at least, where the whole takes longer."""
AGAIN_SECONDS = 3.0
"""A selection that is quicker is measured twice: the imports of the first are not every cell's."""
BLOCK = 4096


class Measuring:
    """Short pieces of a study's work, timed; what cells share is measured once."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder, self._study = folder, folder.study
        self._sets: dict[int, SyntheticSet] = {}
        self._lines: dict[str, tuple[tuple[int, float], tuple[int, float]]] = {}
        self._memory: dict[str, int] = {}

    @property
    def source(self) -> Source:
        from limbeck.sources import load_source

        return load_source(self._study.source)

    def of(self, cell: Cell) -> tuple[float, int, int]:
        """Seconds, bytes of memory and bytes on the disk of a cell."""
        measure = {"reference": self._reference, "expert": self._expert, "distill": self._distill}
        with peak_memory() as peak:
            seconds, disk = measure.get(cell.kind, self._evaluate)(cell)
            memory = peak()
        if cell.kind == "evaluate":
            memory = self._memory[cell.payload["configuration"]]
        memory = max(memory, self.source.loading_bytes)  # every worker reads the source
        record = len(json.dumps(cell.payload, indent=1)) + 400 * (1 + len(cell.payload.get("seeds", ())))
        return seconds, memory, disk + _blocks(record)

    def _reference(self, cell: Cell) -> tuple[float, int]:
        from limbeck.evaluation import reference

        seeds, device = cell.payload["seeds"], self._study.device
        return drawn_out(
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

        def begun() -> tuple[Forecast, float]:
            return _with_share(
                lambda: measured(self.source, *words, steps=steps, candidates=candidates, device=device), device
            )

        cost, share = begun()
        if not cost.steps and cost.seconds < AGAIN_SECONDS:
            cost, share = begun()
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
        seconds = drawn_out(text, lambda short: evaluate(made, short, self.source, range(seeds), device=device), device)
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


def drawn_out(text: str, run: Callable[[Configuration], Any], device: str = "cpu") -> float:
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
