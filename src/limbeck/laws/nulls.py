"""What a plot shows when there is nothing behind it."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np


@dataclass(frozen=True)
class WorstOfNoise:
    """How well log M "explains" the worst of M when all M are the same: R2 over worlds of pure noise."""

    configurations: int
    worlds: int
    median: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def worst_of_noise(configurations: int = 24, worlds: int = 400, seed: int = 0) -> WorstOfNoise:
    """Worst of M against log M in worlds where nothing differs.

    Each world is `configurations` independent standard normal numbers. The expected maximum of a random subset of M of
    them is exact, `sum_i x_(i) C(i-1, M-1) / C(n, M)`; R2 is that of its straight line in log M, for M = 1 to n.
    Returns the median over worlds and the range of the middle 90 %.
    """
    n = configurations
    sizes = np.arange(1, n + 1)
    weights = np.array([[comb(place, m - 1) / comb(n, m) for place in range(n)] for m in sizes])  # (sizes, n)
    noise = np.sort(np.random.default_rng(seed).standard_normal((worlds, n)), axis=1)  # (worlds, n)
    worst = noise @ weights.T  # (worlds, sizes)
    log_m = np.log(sizes)
    centred, moved = log_m - log_m.mean(), worst - worst.mean(axis=1, keepdims=True)
    explained = (moved @ centred) ** 2 / ((centred**2).sum() * (moved**2).sum(axis=1))
    low, median, high = np.quantile(explained, [0.05, 0.5, 0.95])
    return WorstOfNoise(n, worlds, float(median), float(low), float(high))
