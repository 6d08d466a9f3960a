"""Distances between configurations hold no noise of seeds, are symmetric, and see what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from limbeck.configuration import Configuration
from limbeck.errors import BadData, BadSetting, UnknownName
from limbeck.measures.distances import Distance
from limbeck.measures.split_seeds import DistanceMatrix, split_seed_distances
from limbeck.sources import Source, load_source
from limbeck.variants import make, members

SHORT = "cosine(steps=30, batch=64)"
FAMILY = [
    f"mlp(width=16, depth=1)/sgd(lr=0.05)/none/{SHORT}",
    f"mlp(width=16, depth=1)/sgd(lr=0.0501)/none/{SHORT}",
    f"mlp(width=16, depth=1)/adamw(lr=0.01)/none/{SHORT}",
    f"convnet(width=4, depth=2)/sgd(lr=0.05)/siamese/{SHORT}",
]
QUICK = {
    "spec": "spec",
    "function": "function(seeds=4, probe=64)",
    "kernel": "kernel(seeds=4, probe=24, progress=[1.0])",
    "risk-profile": "risk-profile(seeds=4, sets=4, per_class=1)",
}


@pytest.fixture(scope="module")
def source() -> Source:
    return load_source("digits(train_limit=200)")


@pytest.mark.parametrize("name", sorted(members("measures.distances")))
def test_a_distance_is_symmetric_and_near_duplicates_are_nearest(name: str, source: Source) -> None:
    distance: Distance = make("measures.distances", QUICK[name])
    held = distance.matrix([Configuration.parse(text) for text in FAMILY], source, seed=3)
    assert held.names == tuple(Configuration.parse(text).spec for text in FAMILY)
    np.testing.assert_allclose(held.value, held.value.T, atol=1e-12)
    assert (np.diag(held.value) == 0).all()
    assert held.value[0, 1] == held.value[0, 1:].min()
    if name != "risk-profile":  # networks of other kinds may well have the same gaps
        assert held.value[0, 3] > held.value[0, 1]
    if name in ("function", "kernel"):
        assert held.value[0, 1] <= held.noise + 3 * held.se[0, 1]  # duplicates are within the noise,
        assert held.value[0, 3] > held.noise  # other networks are not
    assert held.distance(FAMILY[0], FAMILY[3])[0] == held.value[0, 3]
    assert DistanceMatrix.read(held.to_dict()).value.tolist() == held.value.tolist()


def test_configurations_of_other_gaps_are_far_in_risk(source: Source) -> None:
    # under heavy noise the full-data network is as lost as that of a small set, so there is hardly a gap
    base = FAMILY[0].replace("steps=30", "steps=90")
    texts = [base, base.replace("lr=0.05", "lr=0.0501"), f"{base}/gaussian-noise(sd=8)"]
    held = make("measures.distances", QUICK["risk-profile"]).matrix([Configuration.parse(t) for t in texts], source)
    assert held.value[0, 1] <= held.noise + 3 * held.se[0, 1]
    assert held.value[0, 2] > 0.15 + held.value[0, 1]


def test_measuring_a_pair_alone_gives_the_pair_of_the_matrix(source: Source) -> None:
    distance: Distance = make("measures.distances", QUICK["function"])
    whole = distance.matrix([Configuration.parse(text) for text in FAMILY[:3]], source, seed=3)
    value, se = distance.distance(FAMILY[0], FAMILY[2], source, seed=3)
    assert value == pytest.approx(whole.value[0, 2])
    assert se == pytest.approx(whole.se[0, 2])


def planted(seed: int, truth: np.ndarray, seeds: int, noise: float) -> np.ndarray:
    """Features (configurations, seeds, dims): the truth with independent noise of every seed."""
    random = np.random.default_rng(seed)
    return truth[:, None, :] + noise * random.standard_normal((len(truth), seeds, truth.shape[1]))


def test_squared_distances_have_no_bias_from_the_noise_of_seeds() -> None:
    truth = np.zeros((3, 40))
    truth[2, 0] = 1.5  # 0 and 1 are duplicates, 2 is 1.5 away
    squares, plain = [], []
    for seed in range(300):
        x = planted(seed, truth, 4, 0.5)
        held = split_seed_distances("planted", "abc", x)
        means = x.mean(1)
        plain.append(np.sum((means[0] - means[1]) ** 2))
        squares.append([_unclipped(x, 0, 1), held.value[0, 2] ** 2])
    duplicates, apart = np.mean(squares, axis=0)
    error = np.std(squares, axis=0) / math.sqrt(300)
    assert abs(duplicates) < 4 * error[0]
    assert abs(apart - 2.25) < 4 * error[1]
    assert np.mean(plain) == pytest.approx(2 * 40 * 0.25 / 4, rel=0.1)  # what plain averages would have called apart


def _unclipped(x: np.ndarray, a: int, b: int) -> float:
    """The U-statistic written out in loops."""
    s = x.shape[1]
    own = [np.mean([x[c, i] @ x[c, j] for i in range(s) for j in range(s) if i != j]) for c in (a, b)]
    return float(sum(own) - 2 * np.mean([x[a, i] @ x[b, j] for i in range(s) for j in range(s)]))


def test_the_matrix_is_the_statistic_written_out_in_loops() -> None:
    x = planted(0, np.random.default_rng(1).normal(size=(4, 6)), 3, 0.3)
    held = split_seed_distances("planted", "abcd", x)
    for a in range(4):
        for b in range(4):
            assert a == b or held.value[a, b] == pytest.approx(math.sqrt(max(_unclipped(x, a, b), 0)))


def test_standard_errors_tell_the_spread_of_distances() -> None:
    truth = np.zeros((2, 30))
    truth[1, 0] = 2
    held = [split_seed_distances("planted", "ab", planted(seed, truth, 5, 0.4)) for seed in range(200)]
    spread = np.std([one.value[0, 1] for one in held])
    assert np.median([one.se[0, 1] for one in held]) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize("seeds", [2, 3, 4, 6])
def test_noise_bounds_what_duplicates_are_apart(seeds: int) -> None:
    truth = np.zeros((12, 30))
    above = []
    for seed in range(20):
        held = split_seed_distances("planted", list("abcdefghijkl"), planted(seed, truth, seeds, 0.4))
        above.append(np.mean(held.value[np.triu_indices(12, 1)] > held.noise))
    assert 0.01 < np.mean(above) < 0.1


def test_an_angular_distance_forgets_lengths() -> None:
    truth = np.random.default_rng(1).normal(size=(2, 200))
    truth[1] = 7 * truth[0]
    held = split_seed_distances("planted", "ab", planted(2, truth, 4, 0.5), angular=True)
    assert held.value[0, 1] < 0.1
    truth[1] = np.random.default_rng(9).normal(size=200)
    held = split_seed_distances("planted", "ab", planted(2, truth, 4, 0.5), angular=True)
    assert held.value[0, 1] == pytest.approx(math.sqrt(2), rel=0.15)


def test_too_few_seeds_are_refused_or_said() -> None:
    x = planted(0, np.zeros((2, 5)), 2, 1.0)
    assert np.isnan(split_seed_distances("planted", "ab", x).se[0, 1])
    with pytest.raises(BadData, match="at least 2"):
        split_seed_distances("planted", "ab", x[:, :1])
    with pytest.raises(BadData, match="finite"):
        split_seed_distances("planted", "ab", np.full((2, 2, 2), np.nan))


def test_settings_differ_by_gower(source: Source) -> None:
    texts = ["mlp(width=16)/sgd(lr=0.01)", "mlp(width=64)/sgd(lr=0.1)", "mlp(width=32)/sgd(lr=0.1)", "lenet/adamw"]
    held = make("measures.distances", "spec").matrix([Configuration.parse(text) for text in texts], source)
    # architecture and optimizer vary: width on a log scale over [16, 64], lr alone within sgd
    assert held.distance(*(Configuration.parse(text).spec for text in texts[:2]))[0] == pytest.approx(1)
    assert held.value[1, 2] == pytest.approx((0.5 + 0) / 2)
    assert held.value[0, 3] == 1


def test_a_shifted_domain_is_another_configuration_to_the_distance_of_predictions(source: Source) -> None:
    texts = [FAMILY[0], FAMILY[1], f"{FAMILY[0]}/gaussian-noise(sd=2)", f"{FAMILY[0]}/imbalance"]
    held = make("measures.distances", QUICK["function"]).matrix([Configuration.parse(t) for t in texts], source, seed=1)
    assert held.value[0, 2] > 3 * max(held.value[0, 1], held.noise)
    assert held.value[0, 3] <= 2 * held.noise  # other class proportions change no prediction


def test_names_that_were_not_measured_and_lists_that_repeat_are_refused(source: Source) -> None:
    distance: Distance = make("measures.distances", "spec")
    held = distance.matrix([Configuration.parse(text) for text in FAMILY], source)
    with pytest.raises(UnknownName, match="not among"):
        held.distance("mlp", FAMILY[0])
    part = held.among(held.names[2:])
    assert part.value[0, 1] == held.value[2, 3]
    with pytest.raises(BadSetting, match="twice"):
        distance.matrix([Configuration.parse("mlp")] * 2, source)
