"""A study that chooses its own next runs: those that are expected to narrow its answer most for their time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from limbeck.errors import BadData, LimbeckError
from limbeck.laws import Estimate, ScalingFit, fit_levels, groups
from limbeck.laws.decisions import DECIDED
from limbeck.laws.outlook import Reading, outlook
from limbeck.laws.planning import Candidate, choose, new_reference, new_seed, new_set
from limbeck.streams import derive
from limbeck.study import Addition, Cell, Grid, StudyFolder, measured, seconds_left, table

MOST_SETS = 12  # of one method at one size: beyond, a wrong law would only be confirmed
BATCH = 4


@dataclass(frozen=True)
class Law:
    """One method under one configuration of a study, with what is known of its required k."""

    method: str  # as cells have it
    configuration: str
    name: str
    fit: ScalingFit | None
    need: Estimate
    out_of_reach: float | None  # confidence

    @property
    def width(self) -> float:
        """Decades between the ends of the interval of the required k; 0 where the answer is a refusal that stands."""
        if self.out_of_reach is not None and self.out_of_reach >= DECIDED:
            return 0.0
        if self.need.low is None or self.need.high is None or self.need.low <= 0:
            return math.inf
        return math.log10(self.need.high / self.need.low)


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


class Campaign:
    """What a study knows for one target gap, and what could be run next. Raises what `limbeck.laws.groups` raises."""

    def __init__(self, folder: StudyFolder, gap: float | None = None) -> None:
        self.folder, self.study = folder, folder.study
        self.gap = self.study.target_gap if gap is None else gap
        self.classes = len(folder.facts.counts)
        self._additions = folder.additions()
        self._grid = Grid(self.study, folder.facts, self._additions)

    def cells(self) -> list[Cell]:
        """What is run: the whole study and its additions."""
        return self._grid.cells()

    @cached_property
    def laws(self) -> list[Law]:
        """Every method under every configuration, measured or not."""
        rows = [row for row in table(self.folder) if row["error"] is not None]
        measured_ = any(row["method"] != "reference" for row in rows)
        held = {(one.method, one.configuration): one.levels for one in groups(rows)} if measured_ else {}
        found = []
        for method in self.study.made:
            for configuration in self.study.evaluated:
                levels = held.get((str(method.spec), configuration.spec))
                name = f"{method.spec} under {configuration.spec}"
                try:
                    fit = None if levels is None else fit_levels(levels)
                except BadData:
                    fit = None
                known = fit is not None and fit.region is not None
                need = fit.foretold.required_k(self.gap) if fit is not None else Estimate.of(None)
                chance = fit.foretold.unreachable(self.gap) if fit is not None and known else None
                found.append(Law(method.full_spec, configuration.full_spec, name, fit if known else None, need, chance))
        return found

    @property
    def width(self) -> float:
        """Decades of the widest interval of a required k."""
        return max(law.width for law in self.laws)

    def propose(self, count: int, *, width: float = 0.0, seconds: float = math.inf) -> list[Proposal]:
        """The next `count` runs for the laws whose interval is wider than `width`, none longer than `seconds`.

        Methods that have no law yet come first: sets at the sizes that have the fewest.
        """
        wanted = [law for law in self.laws if law.width > width]
        pilots = [p for p in self._pilots({law.method for law in wanted if law.fit is None}) if _fits(p, seconds)]
        known = [law for law in wanted if law.fit is not None]
        seed = derive(self.study.seed, "proposals", len(self._additions))
        outlooks = [outlook(_law(law), self.gap, seed=seed + i) for i, law in enumerate(known)]
        options = [one for one in self._options(known) if _fits(one[0], seconds)]
        picks = choose(outlooks, [candidate for _, candidate in options], max(count - len(pilots), 0), seed=seed)
        chosen = list(pilots[:count])
        taken: Counter[int] = Counter()
        for pick in picks:
            proposal, _ = options[pick.candidate]
            why = (
                "drawn evenly, against a wrong law"
                if pick.even
                else f"narrows the answer most for its time: {proposal.reason}"
            )
            chosen.append(self._numbered(proposal, taken[pick.candidate], pick.gain, why))
            taken[pick.candidate] += 1
        return chosen

    def _pilots(self, methods: set[str]) -> list[Proposal]:
        """Sets for methods without a law, two rounds over the sizes, those with the fewest sets first."""
        found = []
        for method in sorted(methods):
            counts = {size: self._next_set(method, size) for size in self._sizes}
            for size in sorted(counts, key=lambda one: (counts[one], one)):
                if counts[size] < 2 and (proposal := self._new_set(method, size)):
                    found.append(self._numbered(proposal, 0, None, f"{proposal.reason}: no law yet"))
        return found

    def _options(self, known: list[Law]) -> list[tuple[Proposal, Candidate]]:
        """Everything that could be run, with what it would tell of each law."""
        found: list[tuple[Proposal, Candidate]] = []
        of_method: dict[str, list[int]] = defaultdict(list)
        of_configuration: dict[str, list[int]] = defaultdict(list)
        for i, law in enumerate(known):
            of_method[law.method].append(i)
            of_configuration[law.configuration].append(i)

        def offer(proposal: Proposal | None, told: Iterable[Reading | None], most: int = 1) -> None:
            readings = tuple(one for one in told if one is not None)
            if proposal and readings:
                found.append((proposal, Candidate(max(proposal.seconds or 1.0, 1e-3), readings, most)))

        for method, own in of_method.items():
            for size in self._sizes:
                k, left = size * self.classes, MOST_SETS - self._next_set(method, size)
                if left > 0:
                    told = [new_set(i, _law(known[i]), k, self.study.seeds) for i in own]
                    offer(self._new_set(method, size), told, left)
        for i, law in enumerate(known):
            for size, number, seeds in self._thinnest(law):
                told_of = new_seed(i, _law(law), size * self.classes, seeds)
                offer(self._new_seed(law, size, number) if told_of else None, [told_of])
        for configuration, own in of_configuration.items():
            offer(self._new_reference(configuration), [new_reference(i, _law(known[i])) for i in own], 5)
        return found

    def _thinnest(self, law: Law) -> list[tuple[int, int, int]]:
        """For every size of a method, the set with the fewest seeds: (size, set, seeds)."""
        counts = {
            (size, number): self.study.seeds for size in self.study.per_class for number in range(self.study.sets)
        }
        for one in self._additions:
            if (one.method, one.configuration) == (law.method, law.configuration):
                place = (one.per_class, one.set)
                counts[place] = counts.get(place, 0) + len(one.replicates)
        sizes = sorted({size for size, _ in counts})
        fewest = [min((n, place) for place, n in counts.items() if place[0] == size) for size in sizes]
        return [(size, number, seeds) for seeds, (size, number) in fewest]

    @cached_property
    def _sizes(self) -> list[int]:
        """The study's own sizes and a 1-2-5 row up to four times the largest, as far as every class has samples."""
        row = [m * 10**d for d in range(7) for m in (1, 2, 5)]
        most = min(min(self.folder.facts.counts), 4 * max(self.study.per_class))
        sizes = {size for size in row if min(self.study.per_class) <= size <= most} | set(self.study.per_class)
        return sorted(sizes)

    def _next_set(self, method: str, size: int) -> int:
        """The number of the first set of a method and size that no one asked for yet."""
        asked = [one.set + 1 for one in self._additions if (one.method, one.per_class) == (method, size)]
        return max([self.study.sets if size in self.study.per_class else 0, *asked])

    def _new_set(self, method: str, size: int) -> Proposal | None:
        number, replicates = self._next_set(method, size), tuple(range(self.study.seeds))
        additions = tuple(Addition(one.full_spec, replicates, method, size, number) for one in self.study.evaluated)
        reason = f"a new set at k = {size * self.classes}"
        return self._proposal("new set", additions, reason)

    def _new_seed(self, law: Law, size: int, number: int) -> Proposal | None:
        asked = [one.replicates for one in self._additions if one.method == law.method and one.per_class == size
                 and one.set == number and one.configuration == law.configuration]  # fmt: skip
        made = size in self.study.per_class and number < self.study.sets
        replicate = max([self.study.seeds if made else 0, *(max(one) + 1 for one in asked)])
        additions = (Addition(law.configuration, (replicate,), law.method, size, number),)
        return self._proposal("new seed", additions, f"one more seed on set {number} at k = {size * self.classes}")

    def _new_reference(self, configuration: str) -> Proposal | None:
        asked = [max(one.replicates) + 1 for one in self._additions
                 if not one.method and one.configuration == configuration]  # fmt: skip
        number = max([self.study.reference_seeds, *asked])
        return self._proposal("new reference", (Addition(configuration, (number,)),), "one more full-data run")

    def _proposal(self, kind: str, additions: tuple[Addition, ...], reason: str) -> Proposal | None:
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
            f"all {len(additions)}" if several else self._spec(first.configuration),
            first.per_class * self.classes if first.method else None,
            first.per_class if first.method else None,
            first.set if first.method else None,
            seconds_left(self._spent, left),
            None,
            reason,
            additions,
        )

    def _numbered(self, proposal: Proposal, repeat: int, gain: float | None, reason: str) -> Proposal:
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

    def _spec(self, configuration: str) -> str:
        return next(one.spec for one in self.study.evaluated if one.full_spec == configuration)

    @cached_property
    def _spent(self) -> list[tuple[Cell, float]]:
        return measured(self.folder)

    @cached_property
    def _finished(self) -> set[str]:
        return self.folder.finished()


def _law(law: Law) -> ScalingFit:
    assert law.fit is not None
    return law.fit


def _fits(proposal: Proposal, seconds: float) -> bool:
    return proposal.seconds is None or proposal.seconds <= seconds
