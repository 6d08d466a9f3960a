"""The intervals hold the truth as often as they say: the reduced form of `benchmarks/law_coverage.py`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from limbeck.laws import fit_scaling
from worlds import World

TABLES = 60
SCENARIOS = {"base": World(), "one set per k": World(sets=1), "exponent .35": World(exponent=0.35)}
LEAST = 0.92 - 3 * math.sqrt(0.95 * 0.05 / TABLES)  # 3 standard errors of a coverage over 60 tables: .84


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_intervals_hold_the_truth(name: str) -> None:
    world, hits = SCENARIOS[name], []
    for drawn in range(TABLES):
        k, gap, sets, references = world.draw(1000 + drawn)
        fit = fit_scaling(k, gap, sets, reference_errors=references)
        hits.append(
            [
                fit.floor.covers(world.floor),
                fit.exponent.covers(world.exponent),
                fit.gap(1000).covers(float(world.gap(1000))),
                fit.required_k(world.floor + 0.04).covers(world.required(world.floor + 0.04)),
                fit.required_k(world.floor + 0.02).covers(world.required(world.floor + 0.02)),
            ]
        )
    assert np.mean(hits, axis=0).min() >= LEAST


def test_ignoring_the_references_noise_would_not_hold_the_truth() -> None:
    """Why the shift is in the model: with two noisy references the floor is missed half of the time without it."""
    world = World(references=2, reference_sd=0.03, set_sd=0.004, seed_sd=0.004, exponent=1.0, constant=3.0)
    held = {"with": 0, "without": 0}
    for drawn in range(TABLES):
        k, gap, sets, references = world.draw(drawn)
        held["with"] += fit_scaling(k, gap, sets, reference_errors=references).floor.covers(world.floor)
        held["without"] += fit_scaling(k, gap, sets).floor.covers(world.floor)
    assert held["with"] >= TABLES * LEAST
    assert held["without"] < 0.7 * TABLES


def test_a_wrong_fixed_exponent_does_not_hold_the_floor() -> None:
    """The reason for printing both: a floor that is not there is found with confidence."""
    world = World(exponent=0.35, floor=0.0)
    held = 0
    for drawn in range(20):
        k, gap, sets, references = world.draw(drawn)
        held += fit_scaling(k, gap, sets, reference_errors=references, exponent=0.5).floor.covers(world.floor)
    assert held <= 6


def test_intervals_narrow_with_replication() -> None:
    def width(world: World) -> float:
        found = []
        for drawn in range(15):
            k, gap, sets, references = world.draw(drawn)
            found.append(fit_scaling(k, gap, sets, reference_errors=references).gap(1000).width)
        return float(np.median(found))

    assert width(replace(World(), sets=12)) < 0.75 * width(World())
