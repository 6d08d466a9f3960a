"""Every member of states keeps the promises of its family, whoever adds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from limbeck.dynamics import Dynamics
from limbeck.errors import MissingExtra
from limbeck.states import Scene, States
from limbeck.states.expert_mixture import ExpertMixture
from limbeck.states.initial import Initial
from limbeck.states.real_path import RealPath
from limbeck.states.synthetic_path import SyntheticPath
from limbeck.surrogates.distribution import Distribution
from limbeck.testing.blobs import blobs
from limbeck.testing.states import PROMISES
from limbeck.variants import members


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", sorted(members("states")))
def test_a_member_keeps_its_promise(name: str, promise: Callable[[str], None]) -> None:
    try:
        promise(name)
    except MissingExtra as missing:
        pytest.skip(str(missing))


WALKS = [Initial(), SyntheticPath(epochs=1), RealPath(passes=1), ExpertMixture(count=1)]


@pytest.mark.parametrize("states", WALKS, ids=lambda states: states.variant_name())
def test_batch_norms_hold_the_statistics_of_real_samples_where_a_surrogate_looks(states: States) -> None:
    """With no more than 16 samples a class they are those of all, which a linear layer and two moments give."""
    source = blobs((6,), (16, 9, 12))
    dynamics = Dynamics("mlp(width=4, norm=batch)/sgd(lr=0.1)/none/constant(batch=16)", source.domain)
    ends = torch.stack([dynamics.initial(seed).vector for seed in range(2)])
    scene = Scene(dynamics, source.train, 5, lambda number: ends)
    carry = states.begin(scene)
    for step in range(2):
        state = states.visit(scene, carry, step, {}).state
        weights = dynamics.network.unflatten(state.vector)
        hidden = source.train.x @ weights["1.weight"].T + weights["1.bias"]
        torch.testing.assert_close(state.buffers["2.running_mean"], hidden.mean(0))
        torch.testing.assert_close(state.buffers["2.running_var"], hidden.var(0))
        carry = states.advance(scene, carry, step, source.train[:9])
    larger = blobs((6,), (40, 40, 40))
    drawn = [replace(scene, train=larger.train, seed=seed) for seed in (5, 6)]
    means = [Initial().visit(one, {}, step, {}).state.buffers["2.running_mean"] for one in drawn for step in (0, 1)]
    assert len({tuple(mean.tolist()) for mean in means}) == 4


def test_mean_matching_through_batch_norm_compares_normalised_features() -> None:
    source = blobs((6,), (16, 16, 16))
    dynamics = Dynamics("mlp(width=4, depth=1, norm=batch)/sgd(lr=0.1)/none/constant", source.domain)
    moment = Initial().visit(Scene(dynamics, source.train, 5), {}, 0, {})
    weights = dynamics.network.unflatten(moment.state.vector)
    hidden = source.train.x @ weights["1.weight"].T + weights["1.bias"]
    scaled = ((hidden - hidden.mean(0)) / (hidden.var(0) + 1e-5).sqrt()).relu()  # of the norm's first parameters
    chosen = torch.stack([(source.train.group == c).nonzero()[0, 0] for c in range(3)])
    synthetic = source.train[chosen]
    apart = [scaled[i] - scaled[source.train.group == c].mean(0) for c, i in enumerate(chosen)]
    expected = sum(float(one.square().sum()) for one in apart)
    assert float(Distribution().value(moment, synthetic, source.train)) == pytest.approx(expected, rel=1e-4)
