"""What to run next for a whole family of configurations: the search for the one that decides how many samples it needs.

The family needs as many samples as its worst configuration, so runs go to where the worst may be. They are made at the
size where the average gap passes the target: there the worst configuration is the question.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from limbeck.campaign import Campaign, Proposal
from limbeck.laws.covers import Floats
from limbeck.laws.suspects import next_suspects, suspects
from limbeck.streams import derive
from limbeck.study import Addition, StudyFolder, table

SHOWN = 5
UNKNOWN_SD = 0.02  # of a run, until two runs of one configuration tell


@dataclass(frozen=True)
class Standing:
    """What is known of one method's gaps over the family at one size; `(configurations,)` each, nan: not measured."""

    method: str  # with every setting
    per_class: int
    gap: Floats
    variance: Floats
    run_variance: Floats  # of what would be run next of each


class FamilyCampaign(Campaign):
    """A study's configurations as one family, measured or not, with their distances `(configurations, configurations)`.

    The distances' order is that of the study's configurations.
    """

    def __init__(self, folder: StudyFolder, distances: Floats, gap: float | None = None) -> None:
        super().__init__(folder, gap)
        self.distances = distances

    @cached_property
    def standings(self) -> list[Standing]:
        """One for every method of the study."""
        return [self._standing(self._rows, str(method.spec), method.full_spec) for method in self.study.made]

    def family(self) -> list[dict[str, Any]]:
        """For every method: the size looked at, its worst gap with an interval, and who may be the worst."""
        found = []
        for place, one in enumerate(self.standings):
            head = {"method": str(self.study.made[place].spec), "k": one.per_class * self.classes}
            measured = int(np.isfinite(one.gap).sum())
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
                    "measured": bool(np.isfinite(one.gap[i])),
                }
                for i in order
            ]
            found.append(head | {"worst": known.worst.to_dict(), "suspects": held})
        return found

    def propose_for_family(self, count: int) -> list[Proposal]:
        """The next `count` runs, the methods in turn."""
        share = [count // len(self.standings) + (i < count % len(self.standings)) for i in range(len(self.standings))]
        queues = [self._of_method(one, n) for one, n in zip(self.standings, share, strict=True)]
        return [
            queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)
        ]

    def _of_method(self, one: Standing, count: int) -> list[Proposal]:
        offers = [self._run_of(one, i, 0) for i in range(len(one.gap))]
        cost = np.array([max((offer.seconds if offer else None) or 1.0, 1e-3) for offer in offers])
        run = np.where([offer is not None for offer in offers], one.run_variance, np.inf)
        chosen: list[Proposal] = []
        repeats: Counter[int] = Counter()
        for i in next_suspects(one.gap, one.variance, self.distances, run, cost, count, seed=self._seed):
            proposal = self._run_of(one, i, repeats[i])
            repeats[i] += 1
            if proposal is not None:
                chosen.append(proposal)
        return chosen

    def _run_of(self, one: Standing, place: int, repeat: int) -> Proposal | None:
        """The first run of a configuration with its reference, or one more seed on the set that has the fewest."""
        text = self.study.evaluated[place].full_spec
        measured = bool(np.isfinite(one.gap[place]))
        if measured or repeat:
            counts = self._seeds(one, text)
            for _ in range(repeat - (not measured)):
                number = min(counts, key=lambda n: (counts[n], n))
                counts[number] += 1
            number = min(counts, key=lambda n: (counts[n], n))
            more = Addition(text, (counts[number],), one.method, one.per_class, number)
            return self._proposal("new seed", (more,), f"may be the worst: one more seed on set {number}")
        additions = (
            Addition(text, tuple(range(self.study.seeds)), one.method, one.per_class, 0),
            Addition(text, tuple(range(self.study.reference_seeds))),
        )
        proposal = self._proposal("new configuration", additions, "may be the worst and is far from what was measured")
        return proposal and replace(proposal, configuration=self.study.evaluated[place].spec)

    def _seeds(self, one: Standing, text: str) -> dict[int, int]:
        """Seeds asked for on each set of the size that was run under a configuration."""
        spec = self._spec(text)
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

    def _standing(self, rows: list[dict[str, Any]], spec: str, full_spec: str) -> Standing:
        names = [one.spec for one in self.study.evaluated]
        references = [_errors(rows, "reference", name) for name in names]
        size = self._size(rows, spec, references, names)
        runs = [_errors(rows, spec, name, size * self.classes) for name in names]
        run_variance, reference_variance = _pooled(runs), _pooled(references)
        gap, variance = np.full(len(names), np.nan), np.full(len(names), np.nan)
        first = run_variance / self.study.seeds + reference_variance / self.study.reference_seeds
        following = np.full(len(names), first)
        for place, (own, reference) in enumerate(zip(runs, references, strict=True)):
            if own and reference:
                gap[place] = np.mean(own) - np.mean(reference)
                variance[place] = run_variance / len(own) + reference_variance / len(reference)
                # what a seed adds: the reference's part stays
                later = run_variance / (len(own) + 1) + reference_variance / len(reference)
                following[place] = 1 / max(1 / later - 1 / variance[place], 1e-12)
        return Standing(full_spec, size, gap, variance, following)

    def _size(self, rows: list[dict[str, Any]], spec: str, references: list[list[float]], names: list[str]) -> int:
        """The least size whose average gap is within the target; the largest measured, or the middle one if none is."""
        means = {}
        for size in self.study.per_class:
            own = [
                float(np.mean(errors)) - float(np.mean(reference))
                for name, reference in zip(names, references, strict=True)
                if reference and (errors := _errors(rows, spec, name, size * self.classes))
            ]
            if own:
                means[size] = float(np.mean(own))
        within = [size for size, mean in means.items() if mean <= self.gap]
        if within:
            return min(within)
        return max(means) if means else sorted(self.study.per_class)[len(self.study.per_class) // 2]

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return [row for row in table(self.folder) if row["error"] is not None]

    @property
    def _seed(self) -> int:
        return derive(self.study.seed, "family", len(self._additions))


def _errors(rows: list[dict[str, Any]], method: str, configuration: str, k: int | None = None) -> list[float]:
    return [
        float(row["error"])
        for row in rows
        if row["method"] == method and row["configuration"] == configuration and (k is None or row["k"] == k)
    ]


def _pooled(groups: list[list[float]]) -> float:
    """Variance of one run, pooled over configurations; that of `UNKNOWN_SD` where none has two."""
    squares = sum(float(np.var(one)) * len(one) for one in groups if len(one) > 1)
    df = sum(len(one) - 1 for one in groups if len(one) > 1)
    return max(squares / df, 1e-8) if df else UNKNOWN_SD**2
