"""How many times as many samples one method needs as another: right on planted laws, as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from limbeck.errors import BadData
from limbeck.laws import fit_scaling
from limbeck.laws.bend import BentLaws
from limbeck.laws.bent_curves import fit_bent_curves
from limbeck.laws.bent_fit import BentFit
from limbeck.laws.ratios import required_ratio

K = np.array([10.0, 20.0, 50.0, 100.0, 200.0])


MIDDLE = math.sqrt(K[0] * K[-1])
STRAIGHT = ((0.01, 0.2, 0.7, 0.0), (0.02, 0.3, 0.7, 0.0))
BENT = ((0.0, 0.2, 0.5, 0.0), (0.0, 0.3, 0.7, 0.8))  # straight laws held it in 26 % (8 sets) and 48 % (4)
REFERENCE_SD = 0.0045
Parts = tuple[float, float, float, float]


def planted(floor: float, amplitude: float, exponent: float, bend: float = 0.0) -> BentLaws:
    return BentLaws(*(np.array([one]) for one in (exponent, bend, floor, amplitude)), K[0], MIDDLE)


def law(*parts: float) -> np.ndarray:
    return np.array([planted(*parts).gap(k)[0] for k in K])


def drawn(
    seed: int, sets: int, shared: float, own: float, laws: tuple[Parts, Parts] = STRAIGHT
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two methods' gaps (levels, sets) about their laws, and the references' errors; a part of the noise is shared."""
    random = np.random.default_rng(seed)
    scale = (K / 10)[:, None] ** -0.3
    common = shared * random.standard_normal((len(K), sets))
    first, second = (
        law(*parts)[:, None] + scale * (common + own * random.standard_normal((len(K), sets))) for parts in laws
    )
    references = REFERENCE_SD * random.standard_normal(5)
    return first - references.mean(), second - references.mean(), references


def truth(target: float, laws: tuple[Parts, Parts]) -> float:
    needs = [float(planted(*parts).required_k(target)[0]) for parts in laws]
    return needs[0] / needs[1]


def test_without_noise_the_ratio_is_that_of_the_laws() -> None:
    first = np.tile(law(0.01, 0.2, 0.7)[:, None], 4)
    second = np.tile(law(0.01, 0.2, 0.7)[:, None] * 1.0, 4)
    second[:] = 0.01 + 0.2 * ((K / 3) / 10)[:, None] ** -0.7  # the same law at three times the samples
    found = required_ratio(K, first, second, 0.06)
    assert found.estimate == pytest.approx(1 / 3, rel=0.05)
    assert found.low == pytest.approx(found.estimate)


@pytest.mark.parametrize("laws", [STRAIGHT, BENT])
@pytest.mark.parametrize("sets", [4, 8])
def test_intervals_hold_the_truth_as_often_as_they_say(sets: int, laws: tuple[Parts, Parts]) -> None:
    target, tables = 0.07, 200
    tables_of = (drawn(seed, sets, 0.02, 0.015, laws) for seed in range(tables))
    held = [required_ratio(K, first, second, target, reference_errors=own) for first, second, own in tables_of]
    covered = np.mean([one.covers(truth(target, laws)) for one in held])
    assert 0.88 <= covered <= 0.99, covered


def test_many_curves_are_fitted_as_each_alone() -> None:
    gaps, *_ = drawn(1, 6, 0.02, 0.015)
    ids = np.tile(np.arange(6), len(K))
    alone = fit_scaling(np.repeat(K, 6), gaps.ravel(), ids)
    levels = alone.levels
    laws = fit_bent_curves(np.stack([levels.mean, levels.mean + 0.05]), K, levels.variance, df=alone.profile.df)
    best = alone.foretold
    assert isinstance(best, BentFit)
    for k in (10.0, 60.0, 400.0):
        assert laws.gap(k)[0] == pytest.approx(best.best.gap(k)[0], abs=2e-4)
    np.testing.assert_allclose(laws.gap(60.0)[1] - laws.gap(60.0)[0], 0.05, atol=2e-3)


def test_what_a_pair_of_sets_shares_drops_out() -> None:
    first, second, _ = drawn(0, 8, 0.02, 0.002)
    paired = required_ratio(K, first, second, 0.08)
    apart = required_ratio(K, first, np.roll(second, 1, axis=1), 0.08)
    assert paired.width < 0.5 * apart.width


def test_the_error_of_the_reference_is_left_only_where_gaps_fall_unequally_fast() -> None:
    """A shift of both gaps moves log K by shift / |d gap / d log K|: nothing is left where both have one slope."""
    fast, slow = planted(0.0, 0.2, 1.0), planted(0.0, 0.2, 0.4)
    sides = [np.tile(np.array([one.gap(k)[0] for k in K])[:, None], 4) for one in (fast, slow)]
    exact = sum((-1) ** place / (rate * 0.07) for place, rate in enumerate((1.0, 0.4)))
    found = required_ratio(K, *sides, 0.07, reference_errors=(0.001, 4.0))
    half = math.log((found.high or 0) / (found.estimate or 1))
    assert half == pytest.approx(student.ppf(0.975, 3) * 0.0005 * abs(exact), rel=0.03)
    same = required_ratio(K, sides[0], sides[0], 0.07, reference_errors=(0.001, 4.0))
    assert same.width == pytest.approx(0.0, abs=1e-3)
    assert required_ratio(K, *sides, 0.07).width == pytest.approx(0.0, abs=1e-3)


def test_a_target_below_a_floor_gives_no_number() -> None:
    first, second, _ = drawn(0, 6, 0.0, 0.001)
    assert required_ratio(K, first, second, 0.015).estimate is None


def test_a_fit_that_hangs_on_one_set_leaves_the_interval_open() -> None:
    first, second, _ = drawn(0, 4, 0.0, 0.001)
    second = np.tile(law(0.02, 0.3, 0.7)[:, None], 4)
    second[:, 0] -= 0.02  # without this set the floor is above the target
    found = required_ratio(K, first, second, 0.0185)
    assert found.estimate is not None
    assert found.width == math.inf


@pytest.mark.parametrize("shape", [(5, 2), (2, 5), (4, 5)])
def test_too_little_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BadData):
        required_ratio(K[: shape[0]] if shape[0] != 4 else K, np.ones(shape), np.ones(shape), 0.1)
