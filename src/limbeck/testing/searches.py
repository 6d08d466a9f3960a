"""Searches for the worst configuration of a planted family, run by run: for tests and benchmarks."""

from __future__ import annotations

import numpy as np

from limbeck.laws.covers import Floats, farthest_order
from limbeck.laws.suspects import next_suspects
from limbeck.streams import derive, numpy_stream
from limbeck.testing.worlds import World

RULES = ("even", "farthest", "suspects")


def planted_family(world: World, seed: int) -> tuple[Floats, Floats]:
    """True gaps of a world's configurations on one set at its first k, and the distances as they are measured."""
    runs, measured, _ = world.draw(seed)
    return np.asarray(runs.gap[:, 0, 0]), measured


def runs_until_found(gap: Floats, distances: Floats, rule: str, *, noise: float = 0.01, seed: int = 0) -> int:
    """Runs, each with a normal error of sd `noise`, until one was made of a configuration within it of the worst.

    `even` takes the members in random order, `farthest` in farthest-point order, `suspects` as `next_suspects` says,
    which may take one again.
    """
    random = numpy_stream(seed, "runs", rule)
    order = random.permutation(len(gap)) if rule == "even" else farthest_order(distances).order
    y, variance = np.full(len(gap), np.nan), np.full(len(gap), np.nan)
    one = np.ones(len(gap))
    for count in range(len(gap)):
        place = int(order[count])
        if rule == "suspects":
            place = next_suspects(y, variance, distances, noise**2 * one, one, 1, seed=derive(seed, count))[0]
        if gap[place] >= gap.max() - noise:
            return count + 1
        value = float(gap[place] + noise * random.standard_normal())
        known = 0.0 if np.isnan(y[place]) else noise**2 / variance[place]  # runs before
        y[place] = value if not known else (known * y[place] + value) / (known + 1)
        variance[place] = noise**2 / (known + 1)
    return len(gap)
