"""What could be run next in a study, beyond what was asked for already: each run with its time and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from limbeck.errors import LimbeckError
from limbeck.study import Addition, Cell, Grid, StudyFolder, measured, seconds_left


@dataclass(frozen=True)
class Proposal:
    """A next run with its reason: `gain` is by how much it is to lower the summed log widths of the required k."""

    kind: str  # new set, new seed, new reference
    method: str
    configuration: str
    k: int | None
    per_class: int | None
    set: int | None
    seconds: float | None
    gain: float | None
    reason: str
    additions: tuple[Addition, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value for name, value in vars(self).items() if name != "additions"}


class Proposals:
    """Further sets, seeds and full-data runs of a study with its `additions`."""

    def __init__(self, folder: StudyFolder, grid: Grid, additions: Sequence[Addition]) -> None:
        self.folder, self.study = folder, folder.study
        self.classes = len(folder.facts.counts)
        self._grid, self._additions = grid, additions

    def next_set(self, method: str, size: int) -> int:
        """The number of the first set of a method and size that no one asked for yet."""
        asked = [one.set + 1 for one in self._additions if (one.method, one.per_class) == (method, size)]
        return max([self.study.sets if size in self.study.per_class else 0, *asked])

    def new_set(self, method: str, size: int) -> Proposal | None:
        """A further set of a method, trained on under every configuration of the study."""
        number, replicates = self.next_set(method, size), tuple(range(self.study.seeds))
        additions = tuple(Addition(one.full_spec, replicates, method, size, number) for one in self.study.evaluated)
        reason = f"a new set at k = {size * self.classes}"
        return self.proposal("new set", additions, reason)

    def new_seed(self, method: str, configuration: str, size: int, number: int) -> Proposal | None:
        """A further training on one set."""
        asked = [one.replicates for one in self._additions if one.method == method and one.per_class == size
                 and one.set == number and one.configuration == configuration]  # fmt: skip
        made = size in self.study.per_class and number < self.study.sets
        replicate = max([self.study.seeds if made else 0, *(max(one) + 1 for one in asked)])
        additions = (Addition(configuration, (replicate,), method, size, number),)
        return self.proposal("new seed", additions, f"one more seed on set {number} at k = {size * self.classes}")

    def new_reference(self, configuration: str) -> Proposal | None:
        """A further training on the full data."""
        asked = [max(one.replicates) + 1 for one in self._additions
                 if not one.method and one.configuration == configuration]  # fmt: skip
        number = max([self.study.reference_seeds, *asked])
        return self.proposal("new reference", (Addition(configuration, (number,)),), "one more full-data run")

    def proposal(self, kind: str, additions: tuple[Addition, ...], reason: str) -> Proposal | None:
        """With its time; None where the method can't make such a set."""
        experts: dict[str, Cell] = {}
        try:
            made = {cell.id: cell for one in additions for cell in self._grid.added(one, experts)}
        except LimbeckError:
            return None
        left = [cell for name, cell in {**experts, **made}.items() if name not in self._finished]
        first = additions[0]
        several = len(additions) > 1
        return Proposal(
            kind,
            str(next((one.spec for one in self.study.made if one.full_spec == first.method), "reference")),
            f"all {len(additions)}" if several else self.spec(first.configuration),
            first.per_class * self.classes if first.method else None,
            first.per_class if first.method else None,
            first.set if first.method else None,
            seconds_left(self._spent, left),
            None,
            reason,
            additions,
        )

    def numbered(self, proposal: Proposal, repeat: int, gain: float | None, reason: str) -> Proposal:
        """The n-th repeat of a proposal: its own set, seed or reference."""
        moved = []
        for one in proposal.additions:
            if proposal.kind == "new set":
                moved.append(Addition(one.configuration, one.replicates, one.method, one.per_class, one.set + repeat))
            else:
                later = tuple(number + repeat for number in one.replicates)
                moved.append(Addition(one.configuration, later, one.method, one.per_class, one.set))
        held = {**vars(proposal), "gain": gain, "reason": reason, "additions": tuple(moved)}
        return Proposal(**held | ({"set": moved[0].set} if proposal.set is not None else {}))

    def spec(self, configuration: str) -> str:
        """The short text of a configuration of the study."""
        return next(one.spec for one in self.study.evaluated if one.full_spec == configuration)

    @cached_property
    def _spent(self) -> list[tuple[Cell, float]]:
        return measured(self.folder)

    @cached_property
    def _finished(self) -> set[str]:
        return self.folder.finished()
