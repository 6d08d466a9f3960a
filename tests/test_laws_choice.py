"""Which method needs fewer samples: the profiles by other ways, and claims as often wrong as they say."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from limbeck.laws import ScalingFit, fit_scaling
from limbeck.laws.choice import DISTINCT, STEP, Need, compared, need_of, p_of_equal, ratio_of, required_under_each
from limbeck.laws.levels import t_quantile
from limbeck.planner import plan
from worlds import World

WORLD = World(floor=0.01, constant=1.0, exponent=0.7, ks=(10, 20, 50, 100, 200), sets=4, seeds=1, seed_sd=0.008)
TARGET = 0.07


def fit(world: World, drawn: int, shift: float = 0.0) -> ScalingFit:
    k, gap, sets, _ = world.draw(drawn)
    return fit_scaling(k, gap - shift, sets, reference_errors=(0.004, 4.0))


def test_the_profile_of_one_law_is_that_of_its_required_k() -> None:
    k, gap, sets, _ = WORLD.draw(3)
    law = fit_scaling(k, gap, sets)
    grid = np.arange(0, math.log10(2000) + STEP, STEP)
    need, other = need_of(law, TARGET, grid), law.foretold.required_k(TARGET)
    inside = grid[need.rise <= t_quantile(0.95, need.df) ** 2]
    assert other.estimate is not None
    assert other.low is not None
    assert other.high is not None
    assert grid[need.best] == pytest.approx(math.log10(other.estimate), abs=0.02)
    assert inside[0] == pytest.approx(math.log10(other.low), abs=0.03)
    assert inside[-1] == pytest.approx(math.log10(other.high), abs=0.03)


def test_quiet_sets_are_compared_as_finely_as_they_are_known() -> None:
    """Even where the interval of an exponent is a hundredth of its range."""
    quiet = World(**{**vars(WORLD), "set_sd": 0.0005, "seed_sd": 0.0005, "sets": 8, "reference_sd": 0.0})
    worse = World(**{**vars(quiet), "constant": 1.2})
    held = [compared({"a": [fit(quiet, one)], "b": [fit(worse, one + 50)]}, TARGET)[0].ratio for one in range(8)]
    truth = quiet.required(TARGET) / worse.required(TARGET)
    assert sum(one.covers(truth) for one in held) >= 6
    assert max(one.width for one in held) < 0.2


def test_the_largest_of_several_k_is_that_of_every_combination() -> None:
    random = np.random.default_rng(0)
    rises = [np.round(random.uniform(0, 9, 7), 2) for _ in range(3)]
    for one in rises:
        one[random.integers(7)] = 0.0
    found = required_under_each([Need(one, 9.0) for one in rises]).rise
    least = np.full(7, np.inf)
    for places in product(range(7), repeat=3):
        cost = max(one[place] for one, place in zip(rises, places, strict=True))
        least[max(places)] = min(least[max(places)], cost)
    np.testing.assert_allclose(found, least - least.min())


def test_a_ratio_is_the_least_of_all_pairs() -> None:
    random = np.random.default_rng(1)
    first, second = (Need(np.append(random.uniform(0, 6, 12), 99.0), 12.0) for _ in range(2))
    limit = t_quantile(0.95, 12) ** 2
    held = [i - j for i, j in product(range(12), repeat=2) if first.rise[i] + second.rise[j] <= limit]
    found = ratio_of(first, second, 0.95)
    assert found.estimate == pytest.approx(10 ** (STEP * (first.best - second.best)))
    assert found.low == pytest.approx(10 ** (STEP * (min(held) - 0.5)))
    assert found.high == pytest.approx(10 ** (STEP * (max(held) + 0.5)))


def test_a_k_beyond_the_grid_goes_with_every_larger_ratio() -> None:
    open_ended, sharp = Need(np.array([9.0, 0, 1, 1, 1, 1]), 12.0), Need(np.array([9.0, 0, 9, 9, 9, 9]), 12.0)
    assert ratio_of(open_ended, sharp, 0.95).high is None
    assert ratio_of(open_ended, sharp, 0.95).low == pytest.approx(10 ** (-0.5 * STEP))
    assert ratio_of(open_ended, open_ended, 0.95).low is None
    never = Need(np.array([30.0, 30, 30, 30, 30, 0]), 12.0)
    assert ratio_of(never, open_ended, 0.95).estimate is None
    assert p_of_equal(never, Need(np.array([30.0, 0, 30, 30, 30, 30]), 12.0)) < 1e-3
    assert p_of_equal(never, never) == 1


def test_equal_methods_are_seldom_told_apart_and_ratios_hold_the_truth() -> None:
    """30 tables of three equal methods, and a fourth that needs three times the samples."""
    false, held, found = 0, [], 0
    worse = World(**{**vars(WORLD), "constant": 1.0 * 3**0.7})
    for drawn in range(30):
        shift = 0.002 * np.random.default_rng(drawn).standard_normal()
        fits = {name: [fit(WORLD, 10 * drawn + place, shift)] for place, name in enumerate("abc")}
        order = sorted(fits, key=lambda name: fits[name][0].foretold.required_k(TARGET).estimate or math.inf)
        pairs = compared({name: fits[name] for name in order} | {"d": [fit(worse, 10 * drawn + 9, shift)]}, TARGET)
        false += any(one.p < DISTINCT for one in pairs if one.other != "d")
        found += pairs[-1].p < DISTINCT
        held += [one.ratio.covers(1 / 3 if one.other == "d" else 1.0) for one in pairs]
    assert false <= 5  # of 30, at 5 %: more than 5 once in 2000
    assert found >= 27
    assert np.mean(held) >= 0.87


def test_the_plan_says_who_is_told_apart() -> None:
    better = World(**{**vars(WORLD), "constant": 0.3})
    rows = WORLD.rows(0, "random")
    rows += [row for drawn, name in ((7, "dm"), (8, "dc")) for row in better.rows(drawn, name) if row["k"]]
    planned = plan(rows, gap=TARGET)
    first, *_ = planned.comparisons
    assert {one["other"] for one in planned.comparisons} | {first["method"]} == {"random", "dm", "dc"}
    assert "times as many as random (p = " in planned.sentence
    assert "is not told apart from d" in planned.sentence
    never = World(**{**vars(WORLD), "floor": 0.2})
    far = plan(rows + [row for row in never.rows(3, "slow") if row["k"]], gap=TARGET)
    assert next(one for one in far.comparisons if one["other"] == "random")["ratio"]["estimate"] is not None
    assert "none [" not in far.sentence
    alone = plan([row for row in rows if row["method"] in ("dm", "reference")], gap=TARGET)
    assert alone.comparisons == ()
    assert "Compared" not in alone.sentence
