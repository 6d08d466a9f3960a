"""Which cell to run next."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Collection, Sequence

from limbeck.errors import BadSetting
from limbeck.study.cells import Cell


class Order:
    """Cells that are left, handed out as soon as all that they need is there.

    The first few handed out are the quickest way to a first gap: one reference, one set, one training on it. After
    that, the cell at the head of the longest remaining chain comes first, so that no long distillation is begun last
    while the other workers have nothing left (longest-processing-time rule). What needs a failed cell is blocked.
    """

    def __init__(self, cells: Sequence[Cell], finished: Collection[str] = (), failed: Collection[str] = ()) -> None:
        self._cells = {cell.id: cell for cell in cells if cell.id not in finished}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        self._missing: dict[str, int] = {}
        for name, cell in self._cells.items():
            needs = [need for need in cell.needs if need not in finished]
            lost = [need for need in needs if need not in self._cells]
            if lost:
                raise BadSetting(f"cell {name[:12]} needs {lost[0][:12]}, which is not in the study. Pass all cells.")
            self._missing[name] = len(needs)
            for need in needs:
                self._dependents[need].append(name)
        self.blocked: set[str] = set()
        self._failed: set[str] = set()
        self.left = len(self._cells)
        self._rank = self._ranks()
        self._ready: list[tuple[tuple[int, float], int, str]] = []
        self._place = {name: place for place, name in enumerate(self._cells)}
        for name in failed:
            if name in self._cells:
                self.failed(self._cells[name])
        for name, missing in self._missing.items():
            if missing == 0 and name not in self._failed:
                self._offer(name)

    def next(self) -> Cell | None:
        """The next cell to run, or None while nothing is ready."""
        return self._cells[heapq.heappop(self._ready)[2]] if self._ready else None

    def done(self, cell: Cell) -> None:
        """A cell is finished: what needed it may be ready."""
        self.left -= 1
        for name in self._dependents.pop(cell.id, ()):
            self._missing[name] -= 1
            if self._missing[name] == 0 and name not in self.blocked:
                self._offer(name)

    def failed(self, cell: Cell) -> None:
        """A cell has failed: what needs it, directly or not, is blocked."""
        self._failed.add(cell.id)
        self.left -= cell.id not in self.blocked
        self.blocked.discard(cell.id)
        lost = deque(self._dependents.get(cell.id, ()))
        while lost:
            name = lost.popleft()
            if name not in self.blocked and name not in self._failed:
                self.blocked.add(name)
                self.left -= 1
                lost.extend(self._dependents.get(name, ()))

    def again(self, cell: Cell) -> None:
        """A cell that was handed out is to be run once more."""
        self._offer(cell.id)

    def _offer(self, name: str) -> None:
        heapq.heappush(self._ready, (self._rank[name], self._place[name], name))

    def _ranks(self) -> dict[str, tuple[int, float]]:
        """Lower is sooner: the opening below every chain, then chains by their length, the longest first."""
        sequence, missing = [], dict(self._missing)
        ready = deque(name for name, count in missing.items() if count == 0)
        while ready:
            sequence.append(name := ready.popleft())
            for dependent in self._dependents.get(name, ()):
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    ready.append(dependent)
        chain: dict[str, float] = {}
        for name in reversed(sequence):
            after = max((chain[dependent] for dependent in self._dependents.get(name, ())), default=0.0)
            chain[name] = self._cells[name].cost + after
        ranks = {name: (1, -length) for name, length in chain.items()}
        return ranks | {name: (0, float(place)) for place, name in enumerate(self._opening())}

    def _opening(self) -> list[str]:
        """The cheapest configuration's first reference, and the cheapest set with its training under it."""
        cells = self._cells.values()
        references = [cell for cell in cells if cell.kind == "reference"]
        trainings = [cell for cell in cells if cell.kind == "evaluate"]
        opening = [min(references, key=lambda cell: cell.cost)] if references else []
        if opening:
            same = opening[0].payload.get("configuration")
            trainings = [cell for cell in trainings if cell.payload.get("configuration") == same] or trainings
        if trainings:
            best = min(trainings, key=self._total)
            opening += [self._cells[need] for need in best.needs if need in self._cells] + [best]
        return [cell.id for cell in opening[:3]]

    def _total(self, cell: Cell) -> float:
        return cell.cost + sum(self._cells[need].cost for need in cell.needs if need in self._cells)
