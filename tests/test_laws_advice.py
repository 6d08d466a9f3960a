"""Advice follows from the law that was planted, and carries the numbers that it rests on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from limbeck.laws import fit_scaling
from limbeck.laws.advice import Guidance, advise, classes_of, meeting_k
from limbeck.laws.cloud import cloud
from limbeck.planner import plan
from worlds import Rows, World

QUIET = World(set_sd=0.003, seed_sd=0.003, reference_sd=0.0005)


def quiet(**changes: object) -> World:
    return World(**{**vars(QUIET), **changes})  # type: ignore[arg-type]


def rows(random: World, dm: World, drawn: int = 0) -> Rows:
    """Both methods under one configuration of ten classes, against one reference."""
    table = random.rows(drawn, method="random") + [row for row in dm.rows(drawn + 1) if row["k"]]
    return [row | {"per_class": None if row["k"] is None else row["k"] // 10} for row in table]


def of(method: str, table: Rows, gap: float) -> Guidance:
    return next(one for one in advise(table, gap) if one.method == method)


def codes(guidance: Guidance) -> list[str]:
    return [one.code for one in guidance.advice]


def test_enough_samples_are_recommended_by_the_upper_end_and_a_class() -> None:
    guidance = of("dm", rows(quiet(constant=1.0), quiet(constant=0.3)), 0.12)
    truth = QUIET.required(0.12) / 4
    assert guidance.per_class is not None
    assert guidance.per_class.low is not None
    assert guidance.per_class.high is not None
    assert 10 * (guidance.per_class.low - 1) <= truth <= 10 * guidance.per_class.high
    assert guidance.recommended_k is not None
    assert truth <= guidance.recommended_k <= 10 * guidance.per_class.high
    assert "raise_k" not in codes(guidance)


def test_raise_k_where_the_target_lies_beyond_what_was_measured() -> None:
    assert "raise_k" in codes(of("random", rows(quiet(constant=1.0), quiet()), 0.1))


def test_a_floor_that_random_shares_is_the_trainings_and_one_of_its_own_the_methods() -> None:
    shared = of("dm", rows(quiet(floor=0.15), quiet(floor=0.15, constant=0.2)), 0.05)
    assert "train_longer" in codes(shared)
    own = of("dm", rows(quiet(floor=0.01), quiet(floor=0.15, constant=0.2)), 0.05)
    assert "lower_floor" in codes(own)


def test_a_reference_that_hides_the_floor_is_to_be_repeated() -> None:
    noisy = quiet(reference_sd=0.03, references=2, exponent=1.0, constant=3.0, ks=(10, 20, 50, 100, 200, 500, 1000))
    assert "more_reference_seeds" in codes(of("dm", rows(noisy, noisy), 0.085))


@pytest.mark.parametrize(("floor", "constant", "k"), [(0.1, 0.1, 900.0), (0.11, 0.1, 506.25), (0.08, 0.5, 10.0)])
def test_beyond_the_k_where_random_is_as_good_real_samples_are_advised(floor: float, constant: float, k: float) -> None:
    """random: .08 + k^-1/2; the method's: floor + constant k^-1/2; a point apart at k, or never more than one."""
    found = of("dm", rows(quiet(constant=1.0), quiet(floor=floor, constant=constant)), 0.12)
    assert found.meets_random_k is not None
    if (1 - constant) * k**-0.5 - (floor - 0.08) == pytest.approx(0.01, abs=1e-3):
        assert found.meets_random_k.covers(k)
        assert "take_random" in codes(found)
        assert "Beyond k = " in next(one.message for one in found.advice if one.code == "take_random")
    else:
        assert found.meets_random_k.low is not None
        assert found.meets_random_k.low > 500  # (1 - .5) k^-1/2 is a point at 2500


def test_a_method_that_is_nowhere_better_is_left_for_random_samples() -> None:
    found = of("dm", rows(quiet(constant=0.5), quiet(constant=0.7)), 0.12)
    assert found.meets_random_k is not None
    assert found.meets_random_k.estimate == 10
    assert any(one.message.startswith("Take random real samples") for one in found.advice)


def test_the_meeting_k_holds_the_truth() -> None:
    """40 pairs of laws, 95 % intervals."""
    held = []
    for drawn in range(40):
        fits = []
        for place, world in enumerate([World(floor=0.11, constant=0.1, sets=5), World(constant=1.0, sets=5)]):
            k, gap, sets, _ = world.draw(100 * drawn + place)
            fits.append(fit_scaling(k, gap, sets, reference_errors=(0.001, 50)))
        held.append(meeting_k(fits[0], fits[1], cloud(fits[1], seed=2)).covers(506.25))
    assert np.mean(held) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 40)


def test_a_cloud_is_as_wide_as_the_law_is_unknown() -> None:
    """Its spread of gap(k) is that of the fit's own interval, without the reference's error."""
    k, gap, sets, _ = World(set_sd=0.006, seed_sd=0.006).draw(4)
    found = fit_scaling(k, gap, sets)
    drawn = cloud(found, draws=2000).gaps(np.array([200.0]))
    assert found.foretold.gap(200).width == pytest.approx(4 * float(drawn.std()), rel=0.35)


def test_the_error_of_the_shared_reference_cancels() -> None:
    """However noisy it is: counted for each law apart, it made the low end 33 instead of 338."""
    ends = []
    for reference in (0.0, 0.02):
        fits = []
        for place, constant in enumerate((0.15, 0.3)):
            random = np.random.default_rng(place)
            k = np.repeat(np.array([10.0, 20, 50, 100, 200, 500]), 4)
            gap = 0.06 + constant * (k / 10) ** -0.7 + 0.004 * random.standard_normal(len(k))
            fits.append(fit_scaling(k, gap, np.tile(np.arange(4), 6), reference_errors=(reference, 4.0)))
        ends.append(meeting_k(fits[0], fits[1], cloud(fits[1], seed=2)))
    assert ends[0].low == pytest.approx(ends[1].low, rel=0.05)
    assert ends[0].covers(479)


def test_an_open_end_is_no_advice() -> None:
    """Where draws do not all meet within reach, random is named as a chance and not as what to take."""
    found = of("dm", rows(World(constant=1.0), World(floor=0.10, constant=0.6)), 0.12)
    assert found.meets_random_k is not None
    assert (found.meets_random_k.high is None) == ("random_may_do" in codes(found))
    assert (found.meets_random_k.high is not None) == ("take_random" in codes(found))


def test_classes_are_read_where_they_are_clear() -> None:
    assert classes_of([{"k": 20, "per_class": 2}, {"k": 50, "per_class": 5}, {"k": None}]) == 10
    assert classes_of([{"k": 20, "per_class": 2}, {"k": 50, "per_class": 1}]) is None
    assert classes_of([{"k": "20"}]) is None
    assert classes_of([{"k": "20", "per_class": "2"}]) == 10


def test_the_plan_carries_the_guidance_of_every_law() -> None:
    table = rows(quiet(constant=1.0), quiet(constant=0.3))
    found = plan(table, gap=0.12).to_dict()
    assert [one["method"] for one in found["guidance"]] == ["dm", "random"]
    assert found["guidance"][0] == json.loads(json.dumps(of("dm", table, 0.12).to_dict(), allow_nan=False))
