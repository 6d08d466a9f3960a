"""How many times as many samples one method needs as another: right on planted laws, as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from limbeck.errors import BadData
from limbeck.laws.ratios import required_ratio

K = np.array([10.0, 20.0, 50.0, 100.0, 200.0])


def law(floor: float, amplitude: float, exponent: float) -> np.ndarray:
    return np.asarray(floor + amplitude * (K / 10) ** -exponent)


def drawn(seed: int, sets: int, shared: float, own: float) -> tuple[np.ndarray, np.ndarray]:
    """Two methods' gaps (levels, sets) about their laws; noise falls with k, a part of it is shared by a pair."""
    random = np.random.default_rng(seed)
    scale = (K / 10)[:, None] ** -0.3
    common = shared * random.standard_normal((len(K), sets))
    gaps = [common + own * random.standard_normal((len(K), sets)) for _ in range(2)]
    return law(0.01, 0.2, 0.7)[:, None] + scale * gaps[0], law(0.02, 0.3, 0.7)[:, None] + scale * gaps[1]


def truth(target: float) -> float:
    needs = [10 * (a / (target - f)) ** (1 / 0.7) for f, a in ((0.01, 0.2), (0.02, 0.3))]
    return needs[0] / needs[1]


def test_without_noise_the_ratio_is_that_of_the_laws() -> None:
    first = np.tile(law(0.01, 0.2, 0.7)[:, None], 4)
    second = np.tile(law(0.01, 0.2, 0.7)[:, None] * 1.0, 4)
    second[:] = 0.01 + 0.2 * ((K / 3) / 10)[:, None] ** -0.7  # the same law at three times the samples
    found = required_ratio(K, first, second, 0.06)
    assert found.estimate == pytest.approx(1 / 3, rel=0.05)
    assert found.low == pytest.approx(found.estimate)


@pytest.mark.parametrize("sets", [4, 8])
def test_intervals_hold_the_truth_as_often_as_they_say(sets: int) -> None:
    target, tables = 0.08, 300
    held = [required_ratio(K, *drawn(seed, sets, 0.02, 0.015), target) for seed in range(tables)]
    covered = np.mean([one.covers(truth(target)) for one in held])
    assert 0.91 <= covered <= 0.99, covered


def test_what_a_pair_of_sets_shares_drops_out() -> None:
    first, second = drawn(0, 8, 0.02, 0.002)
    paired = required_ratio(K, first, second, 0.08)
    apart = required_ratio(K, first, np.roll(second, 1, axis=1), 0.08)
    assert paired.width < 0.5 * apart.width


def test_a_target_below_a_floor_gives_no_number() -> None:
    first, second = drawn(0, 6, 0.0, 0.001)
    assert required_ratio(K, first, second, 0.015).estimate is None


def test_a_fit_that_hangs_on_one_set_leaves_the_interval_open() -> None:
    first, second = drawn(0, 4, 0.0, 0.001)
    second = np.tile(law(0.02, 0.3, 0.7)[:, None], 4)
    second[:, 0] -= 0.02  # without this set the floor is above the target
    found = required_ratio(K, first, second, 0.0185)
    assert found.estimate is not None
    assert found.width == math.inf


@pytest.mark.parametrize("shape", [(5, 2), (2, 5), (4, 5)])
def test_too_little_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BadData):
        required_ratio(K[: shape[0]] if shape[0] != 4 else K, np.ones(shape), np.ones(shape), 0.1)
