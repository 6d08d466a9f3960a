"""Planted laws and designs with noise of every kind we fear: the scenarios of `law_coverage.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from limbeck.laws.bend import BentLaws


@dataclass(frozen=True)
class Scenario:
    """A planted law and a design: `gap = floor + constant k^-exponent`, sets, seeds and reference runs with noise."""

    name: str
    floor: float = 0.08
    constant: float = 0.6
    exponent: float = 0.5
    levels: tuple[int, ...] = (10, 20, 50, 100, 200, 500)
    sets: int = 3
    seeds: int = 3
    set_sd: float = 0.012
    seed_sd: float = 0.015
    references: int = 5
    reference_sd: float = 0.005
    at: float = 1000.0
    kind: str = "normal"
    new: bool = False
    bend: float = 0.0

    @property
    def law(self) -> BentLaws:
        """The planted law; with a bend, `exponent` is that at the middle k and the excess at the smallest stays."""
        least, most = float(self.levels[0]), float(self.levels[-1])
        excess = self.constant * least**-self.exponent
        exponent, bend, floor, amplitude = (np.array([x]) for x in (self.exponent, self.bend, self.floor, excess))
        return BentLaws(exponent, bend, floor, amplitude, least, math.sqrt(least * most))

    def gap(self, k: np.ndarray) -> np.ndarray:
        """The planted law's gap."""
        points = np.asarray(k, float)
        return self.law.gaps(points.ravel())[0].reshape(points.shape)

    def truths(self) -> tuple[float, ...]:
        """The five quantities."""
        needs = [float(self.law.required_k(self.floor + excess)[0]) for excess in (0.04, 0.02)]
        return self.floor, self.exponent, float(self.gap(np.array(self.at))), *needs

    def draw(
        self, random: np.random.Generator, sets_of: np.random.Generator | None = None, shared: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """k, gap, set id of every run, and the errors of the reference runs.

        A share `shared` of the variance of what a set adds comes from `sets_of`: the same sets, other configurations.
        """
        counts = (
            random.integers(1, 6, len(self.levels)) if self.kind == "unbalanced" else [self.sets] * len(self.levels)
        )
        ks, sets = [], []
        for level, count in zip(self.levels, counts, strict=True):
            ks += [level] * int(count)
            sets += list(range(int(count)))
        k = np.repeat(np.array(ks, float), self.seeds)
        relative = self.gap(k) / self.gap(np.array(50.0)) if self.kind == "proportional" else np.ones(len(k))
        added = self._set_noise(random, len(ks))
        if sets_of is not None:
            added = math.sqrt(1 - shared) * added + math.sqrt(shared) * self._set_noise(sets_of, len(ks))
        noise = np.repeat(added, self.seeds) + self.seed_sd * random.standard_normal(len(k))
        if self.kind == "shared seeds":
            noise += np.tile(0.01 * random.standard_normal(self.seeds), len(ks))
        references = self.reference_sd * random.standard_normal(self.references)
        return k, self.gap(k) + relative * noise - references.mean(), np.repeat(np.array(sets), self.seeds), references

    def _set_noise(self, random: np.random.Generator, n: int) -> np.ndarray:
        if self.kind == "heavy tails":
            return self.set_sd * random.standard_t(3, n) / math.sqrt(3)
        if self.kind == "skewed":
            return self.set_sd * (random.exponential(size=n) - 1)
        noise = self.set_sd * random.standard_normal(n)
        return noise + 0.1 * (random.random(n) < 0.05) if self.kind == "bad sets" else noise


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("base"),
        Scenario("one set per k", sets=1, at=2000),
        Scenario("floor 0", floor=0.0, at=2000),
        Scenario("exponent .35", exponent=0.35, at=2000),
        Scenario("noise proportional to gap", kind="proportional", at=2000),
        Scenario("k in 10, 20, 50", levels=(10, 20, 50), at=2000),
        Scenario("5 % bad sets", kind="bad sets", at=2000),
        Scenario("2 sets, 5 seeds, 5 levels", levels=(10, 20, 50, 100, 200), sets=2, seeds=5, at=2000),
        Scenario("heavy-tailed sets (t3)", kind="heavy tails", at=2000),
        Scenario("2 sets, 2 seeds", sets=2, seeds=2, at=2000),
        Scenario("5 sets, 5 seeds", sets=5, seeds=5, at=2000),
        Scenario("exponent 1", exponent=1.0, constant=4.0, at=2000, new=True),
        Scenario("1 to 5 sets a level", kind="unbalanced", at=2000, new=True),
        Scenario("2 noisy reference runs", references=2, reference_sd=0.01, at=2000, new=True),
        Scenario("skewed sets (exponential)", kind="skewed", at=2000, new=True),
        Scenario("9 levels, k 1 to 1000", levels=(1, 2, 5, 10, 20, 50, 100, 300, 1000), at=5000, floor=0.03, new=True),
        Scenario("quiet sets, large floor", floor=0.2, set_sd=0.003, seed_sd=0.005, at=2000, new=True),
        Scenario("slow decay, no floor", floor=0.0, exponent=0.25, at=2000, new=True),
    )
}
