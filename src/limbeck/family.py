"""What to run next for a whole family of configurations: the search for the one that decides how many samples it needs.

The family needs as many samples as its worst configuration, so runs go to where the worst may be. They are made at the
size where the average gap passes the target: there the worst configuration is the question.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from limbeck.campaign import Campaign
from limbeck.laws.covers import Floats
from limbeck.laws.suspects import FIRST, next_suspects, suspects
from limbeck.proposals import Proposal
from limbeck.standing import Standing, standing
from limbeck.streams import derive
from limbeck.study import Addition, Cell, StudyFolder, table

SHOWN = 5
MOST_RUNS = 12  # of a configuration on one set, and of its reference: beyond, noise is no longer what is in doubt


@dataclass(frozen=True)
class Offer:
    """A run of a configuration, and the variance of what it alone would say of the gap; no proposal: none is left."""

    proposal: Proposal | None
    variance: float = math.inf

    @property
    def seconds(self) -> float:
        """Its price; 1 where nothing was measured to judge it by."""
        known = self.proposal.seconds if self.proposal else None
        return max(known or 1.0, 1e-3)


class FamilyCampaign(Campaign):
    """A study's configurations as one family, measured or not, with their distances `(configurations, configurations)`.

    The distances' order is that of the study's configurations. `pursue` with it runs what it proposes and no more.
    """

    def __init__(self, folder: StudyFolder, distances: Floats, gap: float | None = None) -> None:
        super().__init__(folder, gap)
        self.distances = distances

    @cached_property
    def standings(self) -> list[Standing]:
        """One for every method of the study."""
        return [standing(self.study, self._rows, method, self.gap, self.classes) for method in self.study.made]

    def family(self) -> list[dict[str, Any]]:
        """For every method: the size looked at, its worst gap with an interval, and who may be the worst."""
        found = []
        for place, one in enumerate(self.standings):
            head = {"method": str(self.study.made[place].spec), "k": one.per_class * self.classes}
            measured = int(one.measured.sum())
            head |= {"measured": measured, "of": len(one.gap), "target": self.gap}
            if measured < 2:
                found.append(head | {"worst": None, "suspects": []})
                continue
            known = suspects(one.gap, one.variance, self.distances, seed=self._seed)
            order = np.argsort(-known.chance, kind="stable")[:SHOWN]
            held = [
                {
                    "configuration": self.study.evaluated[i].spec,
                    "chance": float(known.chance[i]),
                    "gap": float(known.mean[i]),
                    "sd": float(known.sd[i]),
                    "measured": bool(one.measured[i]),
                }
                for i in order
            ]
            found.append(head | {"worst": known.worst.to_dict(), "suspects": held})
        return found

    @property
    def width(self) -> float:
        """The widest interval of a method's worst gap; infinite until two configurations were measured."""
        return max(self._widths)

    @cached_property
    def _widths(self) -> list[float]:
        found = []
        for one in self.standings:
            known = suspects(one.gap, one.variance, self.distances, seed=self._seed) if one.measured.sum() > 1 else None
            found.append(known.worst.width if known else math.inf)
        return found

    def propose(self, count: int, *, width: float = 0.0, seconds: float = math.inf) -> list[Proposal]:
        """The next `count` runs for methods whose worst gap's interval is wider than `width`, the methods in turn.

        None is longer than `seconds`.
        """
        wanted = [one for one, held in zip(self.standings, self._widths, strict=True) if held > width]
        share = [count // len(wanted) + (i < count % len(wanted)) for i in range(len(wanted))]
        queues = [self._of_method(one, n, seconds) for one, n in zip(wanted, share, strict=True)]
        return [
            queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)
        ]

    def cells(self) -> list[Cell]:
        """What was added to the study, with all that it needs: a family's search leaves the rest of the grid alone."""
        return self._grid.of_additions()

    def _of_method(self, one: Standing, count: int, seconds: float) -> list[Proposal]:
        offers = [self._offer(one, i, Counter()) for i in range(len(one.gap))]
        offers = [offer if offer.seconds <= seconds else Offer(None) for offer in offers]
        cost = np.array([offer.seconds for offer in offers])
        variance = np.array([offer.variance for offer in offers])
        chosen: list[Proposal] = []
        asked: dict[int, Counter[str]] = defaultdict(Counter)
        for i in next_suspects(one.gap, one.variance, self.distances, variance, cost, count, seed=self._seed):
            opened = sum("new configuration" in kinds for kinds in asked.values())
            proposal = self._offer(one, i, asked[i], opened).proposal
            if proposal is not None and offers[i].proposal is not None:
                asked[i][proposal.kind] += 1
                chosen.append(proposal)
        return chosen

    def _offer(self, one: Standing, place: int, asked: Counter[str], opened: int = 0) -> Offer:
        """The best next run of a configuration, after those of it that were `asked` for already, by kind.

        `opened` are the configurations whose first run was proposed just now.
        """
        if not one.measured[place] and not asked:
            return self._first(one, place, opened)
        first = not one.measured[place]
        runs = (self.study.seeds if first else one.runs[place]) + asked["new seed"]
        references = (self.study.reference_seeds if first else one.references[place]) + asked["new reference"]
        now = one.run_variance / runs + one.reference_variance / references
        after = (
            (self._more_seeds(one, place, asked["new seed"]), one.run_variance / (runs * (runs + 1))),
            (
                self._more_references(place, asked["new reference"]),
                one.reference_variance / references / (references + 1),
            ),
        )
        return max(
            (
                Offer(proposal, now * (now - gain) / gain)
                for proposal, gain in after
                if proposal is not None and gain > 0
            ),
            key=lambda offer: 1 / (offer.variance * offer.seconds),
            default=Offer(None),
        )

    def _first(self, one: Standing, place: int, opened: int) -> Offer:
        """The first run of a configuration with its reference: of the first few at every size, then at one."""
        text, method = self.study.evaluated[place].full_spec, one.method
        opening = int(one.measured.sum()) + opened < FIRST
        sizes = self.study.per_class if opening else (one.per_class,)
        additions = (
            *(Addition(text, tuple(range(self.study.seeds)), method, size, 0) for size in sizes),
            Addition(text, tuple(range(self.study.reference_seeds))),
        )
        why = (
            "one of the first, far from the others: at every size, to find the one to search at"
            if opening
            else "may be the worst and is far from what was measured"
        )
        made = self.proposals.proposal("new configuration", additions, why)
        if made is None:
            return Offer(None)
        size = None if opening else one.per_class
        k = None if size is None else size * self.classes
        variance = one.run_variance / self.study.seeds + one.reference_variance / self.study.reference_seeds
        return Offer(replace(made, configuration=self.study.evaluated[place].spec, k=k, per_class=size), variance)

    def _more_seeds(self, one: Standing, place: int, already: int) -> Proposal | None:
        """One more training on the set that has the fewest."""
        text = self.study.evaluated[place].full_spec
        counts = self._seeds(one, text)
        for _ in range(already):
            counts[min(counts, key=lambda n: (counts[n], n))] += 1
        number = min(counts, key=lambda n: (counts[n], n))
        if counts[number] >= MOST_RUNS:
            return None
        more = Addition(text, (counts[number],), one.method, one.per_class, number)
        return self.proposals.proposal("new seed", (more,), f"may be the worst: one more seed on set {number}")

    def _more_references(self, place: int, already: int) -> Proposal | None:
        """One more training on the full data."""
        made = self.proposals.new_reference(self.study.evaluated[place].full_spec)
        if made is None or made.additions[0].replicates[0] + already >= MOST_RUNS:
            return None
        made = self.proposals.numbered(made, already, None, "may be the worst: one more full-data run")
        return replace(made, configuration=self.study.evaluated[place].spec)

    def _seeds(self, one: Standing, text: str) -> dict[int, int]:
        """Seeds asked for on each set of the size that was run under a configuration."""
        spec = self.proposals.spec(text)
        method = next(str(made.spec) for made in self.study.made if made.full_spec == one.method)
        counts = Counter(
            int(row["set"])
            for row in self._rows
            if (row["method"], row["configuration"], row["k"]) == (method, spec, one.per_class * self.classes)
        )
        for addition in self._additions:
            if (addition.method, addition.configuration, addition.per_class) == (one.method, text, one.per_class):
                counts[addition.set] = max(counts[addition.set], max(addition.replicates) + 1)
        return dict(counts) or {0: self.study.seeds}

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return [row for row in table(self.folder) if row["error"] is not None]

    @property
    def _seed(self) -> int:
        return derive(self.study.seed, "family", len(self._additions))
