"""A study that chooses its own next runs: those that are expected to narrow its answer most for their time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from limbeck.errors import BadData
from limbeck.laws import Estimate, ScalingFit, fit_levels, groups
from limbeck.laws.decisions import DECIDED
from limbeck.laws.outlook import Reading, outlook
from limbeck.laws.planning import Candidate, choose, new_reference, new_seed, new_set
from limbeck.proposals import Proposal, Proposals
from limbeck.streams import derive
from limbeck.study import Cell, Grid, StudyFolder, table

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


class Campaign:
    """What a study knows for one target gap, and what could be run next. Raises what `limbeck.laws.groups` raises."""

    def __init__(self, folder: StudyFolder, gap: float | None = None) -> None:
        self.folder, self.study = folder, folder.study
        self.gap = self.study.target_gap if gap is None else gap
        self.classes = len(folder.facts.counts)
        self._additions = folder.additions()
        self._grid = Grid(self.study, folder.facts, self._additions)
        self.proposals = Proposals(folder, self._grid, self._additions)

    def cells(self) -> list[Cell]:
        """What is run: the whole study and its additions."""
        return self._grid.cells()

    @cached_property
    def laws(self) -> list[Law]:
        """Every method under every configuration, measured or not."""
        rows = [row for row in table(self.folder) if row["error"] is not None]
        measured = any(row["method"] != "reference" for row in rows)
        held = {(one.method, one.configuration): one.levels for one in groups(rows)} if measured else {}
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
            chosen.append(self.proposals.numbered(proposal, taken[pick.candidate], pick.gain, why))
            taken[pick.candidate] += 1
        return chosen

    def _pilots(self, methods: set[str]) -> list[Proposal]:
        """Sets for methods without a law, two rounds over the sizes, those with the fewest sets first."""
        found = []
        for method in sorted(methods):
            counts = {size: self.proposals.next_set(method, size) for size in self._sizes}
            for size in sorted(counts, key=lambda one: (counts[one], one)):
                if counts[size] < 2 and (proposal := self.proposals.new_set(method, size)):
                    found.append(self.proposals.numbered(proposal, 0, None, f"{proposal.reason}: no law yet"))
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
                k, left = size * self.classes, MOST_SETS - self.proposals.next_set(method, size)
                if left > 0:
                    told = [new_set(i, _law(known[i]), k, self.study.seeds) for i in own]
                    offer(self.proposals.new_set(method, size), told, left)
        for i, law in enumerate(known):
            for size, number, seeds in self._thinnest(law):
                if told_of := new_seed(i, _law(law), size * self.classes, seeds):
                    offer(self.proposals.new_seed(law.method, law.configuration, size, number), [told_of])
        for configuration, own in of_configuration.items():
            offer(self.proposals.new_reference(configuration), [new_reference(i, _law(known[i])) for i in own], 5)
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


def _law(law: Law) -> ScalingFit:
    assert law.fit is not None
    return law.fit


def _fits(proposal: Proposal, seconds: float) -> bool:
    return proposal.seconds is None or proposal.seconds <= seconds
