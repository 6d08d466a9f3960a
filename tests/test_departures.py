"""Where recipes follow the released code on demand: frequencies by plain ascent, unpooled maps, loops by accuracy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from limbeck.distillation import distill
from limbeck.dynamics import Dynamics
from limbeck.methods.ncfm import NCFM
from limbeck.pool import Pool
from limbeck.samples import Domain, Samples
from limbeck.states import Scene, restored
from limbeck.states.synthetic_path import SyntheticPath
from limbeck.surrogates import Moment
from limbeck.surrogates.distribution import Distribution
from limbeck.task import Task
from limbeck.testing.blobs import blobs
from limbeck.testing.trials import tiny

CONVNET = "convnet(width=4, depth=1, norm=none)/sgd(lr=0.1)/none/constant(batch=64)"
IMAGES = Domain((1, 6, 6), 3)


def drawn(count: int) -> Samples:
    x = torch.randn(count, *IMAGES.shape, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    return Samples.hard(x, torch.arange(count) % 3, 3)


def test_unpooled_features_are_the_rectified_map_before_the_mean() -> None:
    dynamics = Dynamics(CONVNET, IMAGES, dtype=torch.float64)
    state, own, real = dynamics.initial(0), drawn(6), drawn(9)
    weights = dynamics.network.unflatten(state.vector)

    def map_of(x: Tensor) -> Tensor:
        return functional.conv2d(x, weights["0.weight"], weights["0.bias"], padding=1).relu().flatten(1)

    away = [map_of(own.x[own.group == c]).mean(0) - map_of(real.x[real.group == c]).mean(0) for c in range(3)]
    value = Distribution(features="map").value(Moment(dynamics, state), own, real)
    torch.testing.assert_close(value, sum(one.square().sum() for one in away), rtol=1e-12, atol=0)
    pooled = Distribution().value(Moment(dynamics, state), own, real)
    assert pooled < value / 4 + 1e-12, "a mean of four differences is never longer than half of them"
    calibrated = Distribution(features="map", calibration=2.0).value(Moment(dynamics, state), own, real)
    logits = dynamics.network.logits(state.vector, {}, real.x)
    loss = 3 * dynamics.loss(state.vector, {}, own.x, own.y)  # three classes of two samples
    share = (logits.argmax(1) == real.group).double().mean()
    torch.testing.assert_close(calibrated, value + 2 * share * loss, rtol=1e-12, atol=0)


def test_frequencies_go_up_by_plain_steps_with_momentum() -> None:
    """The first two updates of the network by hand: it ascends on what the set descends on."""
    source = blobs((1, 8, 8), (20, 20, 20))
    method = NCFM(sampler="sgd", momentum=0.5, lr_sampler=0.1, experts=1, expert_epochs=1, frequencies=32, factor=1)
    configuration = "convnet(width=4, depth=1)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"
    task = Task.prepare(
        source, method, configuration, Pool.of([configuration], "equal"), 2, 0, None, "cpu", torch.float64
    )
    run, velocity = task.start(), torch.zeros_like(task.start().tensors["sampler"])
    for step in range(2):
        scene, before = task.scenes[0], dict(run.tensors)
        leaf = before["sampler"].clone().requires_grad_()
        moment = method.states(2).visit(scene, run.carries[0], step, {**before, "sampler": leaf})
        value = method.value(scene, moment, task.unfold(before), step)
        (turned,) = torch.autograd.grad(value, leaf)  # already turned round: minus the slope
        velocity = 0.5 * velocity + turned
        task.advance(run, 2)
        torch.testing.assert_close(run.tensors["sampler"], before["sampler"] - 0.1 * velocity, rtol=1e-9, atol=1e-12)
        assert turned.abs().max() > 0


def scene_of(source: Any) -> Scene:
    return Scene(Dynamics(CONVNET, source.domain, dtype=torch.float64), source.train, 3)


def carries(states: SyntheticPath, scene: Scene, synthetic: Samples, steps: int) -> list[Tensor]:
    carry, seen = states.begin(scene), []
    for step in range(steps):
        seen.append(states.visit(scene, carry, step, {}).state.vector)
        carry = states.advance(scene, carry, step, synthetic)
    return seen


def test_a_range_that_every_accuracy_keeps_replaces_networks_every_ten_steps() -> None:
    source = blobs()
    scene, synthetic = scene_of(source), source.train[:9].to(dtype=torch.float64)
    settled = carries(SyntheticPath(length=1000, epochs=1, outer_range=1.1), scene, synthetic, 23)
    fixed = carries(SyntheticPath(length=10, epochs=1), scene, synthetic, 23)
    assert all(torch.equal(one, other) for one, other in zip(settled, fixed, strict=True))
    never = carries(SyntheticPath(length=1000, epochs=1, outer_range=1e-12), scene, synthetic, 12)
    assert not torch.equal(never[10], fixed[10])


@pytest.mark.parametrize(("range_", "passes"), [(0.05, 10), (0.25, 13), (0.9, 20)])
def test_passes_end_with_the_first_ten_accuracies_that_moved(
    range_: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted accuracies .1, .2, .1, .2, ... for twelve passes and .4 after: the ranges of ten are .1, .1, .1, .3."""
    source = blobs()
    scene, synthetic = scene_of(source), source.train[:9].to(dtype=torch.float64)

    def planted(scene: Scene, state: Any, step: int, turn: int) -> Tensor:
        return torch.tensor([0.4 if turn > 12 else 0.1 + 0.1 * (turn % 2)], dtype=torch.float64)

    monkeypatch.setattr(SyntheticPath, "accuracy", staticmethod(planted))
    states = SyntheticPath(length=1000, epochs=20, inner_range=range_)
    reached = restored(states.advance(scene, states.begin(scene), 0, synthetic)).vector
    plain = SyntheticPath(length=1000, epochs=passes)
    torch.testing.assert_close(reached, restored(plain.advance(scene, plain.begin(scene), 0, synthetic)).vector)


def test_an_accuracy_is_the_mean_over_classes_of_unequal_size() -> None:
    source = blobs((4,), (30, 9, 6))
    scene = Scene(Dynamics("mlp(width=4)", source.domain), source.train, 0)
    state = scene.dynamics.initial(2)
    said = scene.dynamics.predict(state, source.train.x).argmax(1)
    shares = [float((said[source.train.group == label] == label).double().mean()) for label in range(3)]
    assert float(SyntheticPath.accuracy(scene, state, 0, 0)) == pytest.approx(sum(shares) / 3)


def test_a_run_with_loops_by_accuracy_is_resumed_from_its_tensors() -> None:
    source = blobs()
    scene, synthetic = scene_of(source), source.train[:9].to(dtype=torch.float64)
    states = SyntheticPath(length=1000, epochs=2, outer_range=0.3, inner_range=0.2)
    carry = states.begin(scene)
    for step in range(12):
        again = {name: tensor.clone() for name, tensor in carry.items()}
        following = [states.advance(scene, one, step, synthetic) for one in (carry, again)]
        assert following[0].keys() == following[1].keys()
        assert all(torch.equal(following[0][name], following[1][name]) for name in following[0])
        carry = following[0]
    for name, settings in (("cafe", {"outer_range": 0.3, "inner_range": 0.2}), ("idm", {"features": "map"})):
        method = tiny(name, **settings)
        assert distill(source, method, CONVNET, 2, candidates=1).k == 6
