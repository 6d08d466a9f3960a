"""Worlds with a planted law: tables of runs whose truth is known, for the tests of the laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.laws.worst import Runs

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]
KS = (10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class World:
    """`gap = floor + constant k^-exponent`, measured with noise of the set, of the seed and of the reference."""

    floor: float = 0.08
    constant: float = 0.6
    exponent: float = 0.5
    ks: tuple[int, ...] = KS
    sets: int = 3
    seeds: int = 3
    set_sd: float = 0.012
    seed_sd: float = 0.015
    references: int = 5
    reference_sd: float = 0.005

    def gap(self, k: Any) -> Floats:
        return np.asarray(self.floor + self.constant * np.asarray(k, float) ** -self.exponent)

    def required(self, target: float) -> float:
        return float((self.constant / (target - self.floor)) ** (1 / self.exponent))

    def draw(self, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
        """k, gap and set of every run, and the reference errors that the gaps were taken from."""
        random = np.random.default_rng(seed)
        k = np.repeat(np.array(self.ks, float), self.sets * self.seeds)
        of_set = np.repeat(self.set_sd * random.standard_normal(len(self.ks) * self.sets), self.seeds)
        references = self.reference_sd * random.standard_normal(self.references)
        noise = of_set + self.seed_sd * random.standard_normal(len(k)) - references.mean()
        sets = np.tile(np.repeat(np.arange(self.sets, dtype=float), self.seeds), len(self.ks))
        return k, self.gap(k) + noise, sets, references

    def rows(
        self, seed: int, method: str = "dm", configuration: str = "mlp", base: float = 0.1
    ) -> list[dict[str, Any]]:
        """The same as a table of errors with its reference rows."""
        k, gap, sets, references = self.draw(seed)
        errors = gap + references.mean() + base
        seeds = np.tile(np.arange(self.seeds), len(k) // self.seeds)
        head = {"method": method, "configuration": configuration}
        table = [
            head | {"k": int(a), "set": int(b), "seed": int(c), "error": float(d)}
            for a, b, c, d in zip(k, sets, seeds, errors, strict=True)
        ]
        return table + reference_rows(base + references, configuration)

    def rows_once(self) -> Rows:
        return self.rows(1)


def reference_rows(errors: Sequence[float] | Floats, configuration: str = "mlp") -> Rows:
    return [
        {"method": "reference", "configuration": configuration, "k": None, "set": None, "seed": i, "error": float(e)}
        for i, e in enumerate(errors)
    ]


def rows_of(runs: Runs, method: str = "dm") -> Rows:
    """The table that a study would have written."""
    rows: Rows = []
    for a, name in enumerate(runs.names):
        for seed, error in enumerate(runs.reference[a]):
            rows.append({"method": "reference", "configuration": name, "k": None, "set": None, "seed": seed})
            rows[-1]["error"] = float(error)
        for place, error in np.ndenumerate(runs.error[a]):
            j, which, seed = place
            rows.append({"method": method, "configuration": name, "k": int(runs.k[j]), "set": which, "seed": seed})
            rows[-1]["error"] = float(error)
    return rows
