"""The surrogates of gradient and distribution matching, against closed forms and direct sums."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.distillation import distill
from limbeck.dynamics import Dynamics
from limbeck.errors import BadData, BadSetting, Diverged, NotApplicable
from limbeck.parameterizations.tiles import Tiles
from limbeck.real_batches import nearest_to_centres, random_batch, representative_batch
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.states import Scene
from limbeck.states.real_path import RealPath
from limbeck.surrogates import Moment
from limbeck.surrogates.attention import Attention
from limbeck.surrogates.characteristic import Characteristic, initial_sampler, sampled
from limbeck.surrogates.distribution import Distribution
from limbeck.surrogates.gradient import EPSILON, Gradient, _side_by_side
from limbeck.surrogates.kernel_mean import KernelMean
from limbeck.surrogates.layers import Layers
from limbeck.testing.blobs import blobs

DOMAIN = Domain((6,), 3)
LINEAR = "mlp(depth=0)/sgd(lr=0.1)/none/constant(batch=64)"
DEEP = "mlp(width=5, depth=2, activation=softplus)/sgd(lr=0.1)/none/constant(batch=64)"
SMALL = "mlp(width=8)/sgd(lr=0.1)/none/constant(steps=3, batch=16)"


def drawn(counts: tuple[int, ...], seed: int, domain: Domain = DOMAIN) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    group = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    x = torch.randn(len(group), *domain.shape, generator=generator, dtype=torch.float64)
    return Samples.hard(x + group.reshape(-1, *[1] * len(domain.shape)), group, domain.classes)


def moment(configuration: str = LINEAR, domain: Domain = DOMAIN, **facts: Any) -> Moment:
    dynamics = Dynamics(configuration, domain, dtype=torch.float64)
    return Moment(dynamics, dynamics.initial(4), 9, **facts)


def linear_gradient(at: Moment, samples: Samples) -> Tensor:
    """(p - y) outer (x, 1), averaged: the gradient of softmax regression, by hand (classes, features + 1)."""
    weights = at.dynamics.network.unflatten(at.state.vector)
    logits = samples.x @ weights["1.weight"].T + weights["1.bias"]
    residual = torch.softmax(logits, 1) - samples.y
    return residual.T @ torch.cat([samples.x, torch.ones(len(samples), 1, dtype=torch.float64)], 1) / len(samples)


def by_class(samples: Samples) -> list[Samples]:
    return [samples[samples.group == label] for label in range(3)]


@pytest.mark.parametrize("distance", ["rows", "squared", "l1", "cosine"])
def test_gradient_matching_on_softmax_regression_is_the_closed_form(distance: Any) -> None:
    at, synthetic, real = moment(), drawn((2, 1, 3), 0), drawn((7, 5, 6), 1)
    expected = 0.0
    for own, other in zip(by_class(synthetic), by_class(real), strict=True):
        s, r = linear_gradient(at, own), linear_gradient(at, other)
        match distance:
            case "rows":
                s, r = s[:, :-1], r[:, :-1]  # the bias is one-dimensional
                cosines = (s * r).sum(1) / (s.norm(dim=1) * r.norm(dim=1) + EPSILON)
                expected += float((1 - cosines).sum())
            case "squared":
                expected += float(((s - r) ** 2).sum())
            case "l1":
                expected += float((s - r).abs().sum())
            case "cosine":
                expected += float(1 - (s * r).sum() / (s.norm() * r.norm() + EPSILON))
    assert float(Gradient(distance=distance).value(at, synthetic, real)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("distance", ["rows", "squared", "l1", "cosine"])
@pytest.mark.parametrize(
    "network", ["convnet(width=4, depth=2)", "convnet(width=4, depth=1, norm=batch)", "mlp(width=6)"]
)
@pytest.mark.parametrize("counts", [(6, 6, 6), (6, 5, 7)])
def test_classes_side_by_side_equal_one_after_the_other(
    network: str, distance: Any, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = Domain((1, 8, 8), 3)
    at, real = moment(network, domain), drawn(counts, 1, domain)
    surrogate, found = Gradient(distance=distance), []
    at = replace(at, state=replace(at.state, buffers={k: v + 0.5 for k, v in at.state.buffers.items()}))
    for largest in (2**40, 0):
        monkeypatch.setattr("limbeck.surrogates.gradient.SMALL_MAP", largest)
        synthetic = drawn((2, 2, 2), 0, domain)
        pixels = synthetic.x.requires_grad_()
        assert _side_by_side(at, list(real.by_class().values())) == bool(largest)
        value = surrogate.value(at, synthetic, real)
        found.append((value.detach(), *torch.autograd.grad(value, pixels)))
    for together, apart in zip(*found, strict=True):
        assert apart.norm() > 0
        assert (together - apart).norm() < 1e-9 * apart.norm()
    assert not _side_by_side(at, list(drawn((9, 2, 2), 1, domain).by_class().values()))  # mostly filling


def test_classes_together_compare_the_mean_of_their_gradients() -> None:
    at, synthetic, real = moment(), drawn((2, 1, 3), 0), drawn((7, 5, 6), 1)
    means = [torch.stack([linear_gradient(at, part) for part in by_class(s)]).mean(0) for s in (synthetic, real)]
    expected = float(((means[0] - means[1]) ** 2).sum())
    value = Gradient(distance="squared", classes="together").value(at, synthetic, real)
    assert float(value) == pytest.approx(expected, rel=1e-10)


def test_hidden_weights_leave_out_biases_norms_and_the_last_layer() -> None:
    network = Dynamics("convnet(width=4, depth=2, norm=layer)", Domain((1, 8, 8), 3)).network
    assert network.hidden_weights() == ["0.weight", "4.weight"]
    with pytest.raises(NotApplicable, match="no hidden"):
        Gradient(weights="hidden").value(moment(), drawn((2, 2, 2), 0), drawn((2, 2, 2), 1))


def test_mean_matching_on_a_linear_model_is_that_of_class_means_and_zero_at_them() -> None:
    at, synthetic, real = moment(), drawn((2, 1, 3), 0), drawn((7, 5, 6), 1)
    means = [[part.x.mean(0) for part in by_class(samples)] for samples in (synthetic, real)]
    expected = sum(float(((s - r) ** 2).sum()) for s, r in zip(*means, strict=True))
    assert float(Distribution().value(at, synthetic, real)) == pytest.approx(expected, rel=1e-10)
    best = Samples.hard(torch.stack(means[1]), torch.arange(3), 3)
    assert float(Distribution().value(at, best, real)) == pytest.approx(0, abs=1e-20)


def test_calibration_weighs_cross_entropy_by_accuracy_on_the_real_samples() -> None:
    at, synthetic, real = moment(DEEP), drawn((2, 1, 3), 0), drawn((7, 5, 6), 1)
    plain, calibrated = (float(Distribution(calibration=c).value(at, synthetic, real)) for c in (0.0, 2.0))
    logits = at.dynamics.predict(at.state, real.x)
    accuracy = float((logits.argmax(1) == real.group).double().mean())
    each = torch.nn.functional.cross_entropy(
        at.dynamics.predict(at.state, synthetic.x), synthetic.group, reduction="none"
    )
    own = each[:2].mean() + each[2] + each[3:].mean()  # the released code takes the classes one after the other
    assert calibrated - plain == pytest.approx(2 * accuracy * float(own), rel=1e-10)
    assert accuracy > 0


def test_calibration_under_the_expert_counts_every_class_alike() -> None:
    at = moment(DEEP)
    at = replace(at, target=at.state.vector + 0.3)
    synthetic, real = drawn((2, 1, 3), 0), drawn((4, 5, 6), 1)
    plain, calibrated = (Characteristic(frequencies=8, calibration=c).value(at, synthetic, real) for c in (0.0, 2.0))
    said = at.dynamics.network.logits(at.state.vector + 0.3, {}, synthetic.x)
    each = torch.nn.functional.cross_entropy(said, synthetic.group, reduction="none")
    expected = 2 * (each[:2].mean() + each[2] + each[3:].mean())
    assert float(calibrated - plain) == pytest.approx(float(expected), rel=1e-8)


def test_kernel_mean_matching_is_the_direct_double_sum() -> None:
    at, synthetic, real = moment(DEEP), drawn((2, 1, 3), 0), drawn((4, 5, 6), 1)
    surrogate = KernelMean(bandwidths=(0.5, 2.0))
    features = [at.dynamics.network.features_and_logits(at.state.vector, {}, s.x)[0].numpy() for s in (synthetic, real)]
    expected = 0.0
    for label in range(3):
        s, r = features[0][synthetic.group == label], features[1][real.group == label]
        distances = [np.sum((a - b) ** 2) for i, a in enumerate(r) for j, b in enumerate(r) if i != j]
        typical = np.mean(distances)

        def k(a: Any, b: Any, typical: Any = typical) -> float:
            return float(np.mean([np.exp(-np.sum((a - b) ** 2) / (w * typical)) for w in surrogate.bandwidths]))

        for one, other, sign in ((r, r, 1), (s, s, 1), (s, r, -2)):
            expected += sign * float(np.mean([k(a, b) for a in one for b in other]))
    assert float(surrogate.value(at, synthetic, real)) == pytest.approx(expected, rel=1e-8)


def test_the_characteristic_function_of_gaussian_samples_is_a_gaussian() -> None:
    """|Phi| = exp(-s^2 |t|^2 / 2), the phase <t, mean>: the distance of two Gaussians, in closed form."""
    generator = torch.Generator().manual_seed(0)
    frequencies = torch.randn(8, 2, generator=generator, dtype=torch.float64)
    shift, spread = torch.tensor([0.4, -0.3], dtype=torch.float64), 1.5
    n = 200_000
    first = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    second = shift + spread * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    norms = [(-(s**2) * (frequencies**2).sum(1) / 2).exp() for s in (1.0, spread)]
    phase = 2 * norms[0] * norms[1] * (1 - (frequencies @ shift).cos())
    for amplitude in (0.0, 0.5, 1.0):
        expected = 300 * (amplitude * (norms[0] - norms[1]) ** 2 + (1 - amplitude) * phase).sqrt().mean()
        value = Characteristic(amplitude=amplitude).distance(first, second, frequencies)
        assert float(value) == pytest.approx(float(expected), abs=300 * 4 / math.sqrt(n))


def test_learned_frequencies_are_raised_where_the_set_is_lowered() -> None:
    size = 5
    sampler = initial_sampler(size).requires_grad_()
    at = moment(DEEP, learned={"sampler": sampler})
    synthetic, real = drawn((2, 1, 3), 0), drawn((4, 5, 6), 1)
    surrogate = Characteristic(frequencies=64, sampling="learned")
    value = surrogate.value(at, synthetic, real)
    (uphill,) = torch.autograd.grad(value, sampler)
    with torch.no_grad():
        moved = moment(DEEP, learned={"sampler": sampler - 1e-4 * uphill / uphill.norm()})
        assert float(surrogate.value(moved, synthetic, real)) > float(value)
    noise = torch.randn(6, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert sampled(sampler.detach(), noise).abs().max() <= 1


def maps_of(at: Moment, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The rectified maps of a ConvNet of two blocks without norms, and its pooled last map, by torch's functions."""
    first, first_bias, second, second_bias, *_ = at.dynamics.network.unflatten(at.state.vector).values()
    maps = []
    for weight, bias in ((first, first_bias), (second, second_bias)):
        x = torch.relu(torch.nn.functional.conv2d(x, weight, bias, padding=1))
        maps.append(x)
        x = torch.nn.functional.avg_pool2d(x, 2)
    return maps, x.flatten(1)


BLOCKS = "convnet(width=2, depth=2, norm=none)"
PICTURES = Domain((2, 4, 4), 3)


def test_attention_is_of_all_layers_but_the_last_and_the_last_is_compared_as_it_is() -> None:
    at = moment(BLOCKS, PICTURES)
    synthetic, real = drawn((1, 1, 1), 0, PICTURES), drawn((1, 1, 1), 1, PICTURES)

    def energy(x: Tensor) -> Tensor:
        a = (x**4).sum(1).flatten(1)
        return a / a.norm(dim=1, keepdim=True)

    (own, features), (others, targets) = maps_of(at, synthetic.x), maps_of(at, real.x)
    expected = ((energy(own[0]) - energy(others[0])) ** 2).sum() + 0.01 * ((features - targets) ** 2).sum()
    assert float(Attention().value(at, synthetic, real)) == pytest.approx(100 * float(expected), rel=1e-9)


def test_layers_are_weighted_from_the_last_and_centres_told_apart() -> None:
    at = moment(BLOCKS, PICTURES)
    synthetic, real = drawn((1, 1, 1), 0, PICTURES), drawn((2, 2, 2), 1, PICTURES)
    (own, features), (others, targets) = maps_of(at, synthetic.x), maps_of(at, real.x)
    means = [layer.unflatten(0, (3, 2)).mean(1) for layer in (targets, *reversed(others))]
    apart = [float(((s - r) ** 2).sum()) for s, r in zip((features, *reversed(own)), means, strict=True)]
    value = Layers(weights=(3.0, 0.5), centre=0.0, discrimination=0.0).value(at, synthetic, real)
    assert float(value) == pytest.approx(3 * apart[0] + 0.5 * (apart[1] + apart[2]), rel=1e-10)
    centred = Layers(weights=(3.0, 0.5), centre=2.0, discrimination=0.0).value(at, synthetic, real)
    assert float(centred - value) == pytest.approx(2 * apart[0], rel=1e-10)
    told = torch.nn.functional.cross_entropy(targets @ features.T, real.group, reduction="sum")
    whole = Layers(weights=(3.0, 0.5), centre=0.0, discrimination=0.1).value(at, synthetic, real)
    assert float(whole - value) == pytest.approx(0.1 * float(told), rel=1e-10)


def test_where_nothing_is_pooled_the_last_layer_is_the_features_and_counts_once() -> None:
    at, synthetic, real = moment(DEEP), drawn((1, 1, 1), 0), drawn((1, 1, 1), 1)
    network = at.dynamics.network
    (first, last), (other, end) = (network.activations(at.state.vector, {}, part.x)[0] for part in (synthetic, real))
    value = Layers(weights=(3.0, 0.5), centre=0.0, discrimination=0.0).value(at, synthetic, real)
    expected = 3 * ((last - end) ** 2).sum() + 0.5 * ((first - other) ** 2).sum()
    assert float(value) == pytest.approx(float(expected), rel=1e-10)


def test_tiles_are_enlarged_as_torch_does_it_and_folded_by_least_squares() -> None:
    domain = Domain((3, 8, 12), 3)
    form = Tiles(factor=2)
    stored = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unfolded = form.unfold({"pixels": stored}, torch.arange(3), domain)
    corner = torch.nn.functional.interpolate(stored[1:2, :, :4, 6:], size=(8, 12), mode="bilinear", align_corners=False)
    assert torch.allclose(unfolded.x[5:6], corner)  # of the second image, the tile at the top right
    start = drawn((4, 4, 4), 0, domain)
    folded = form.fold(start, domain)["pixels"].requires_grad_()
    again = form.unfold({"pixels": folded}, torch.arange(3), domain)
    (slope,) = torch.autograd.grad(((again.x - start.x) ** 2).sum(), folded)
    assert slope.abs().max() < 1e-10  # at the minimum
    with pytest.raises(NotApplicable, match="factor of 1, 2, 4"):
        Tiles(factor=3).check(domain)


def test_a_set_in_tiles_pays_for_its_stored_samples_alone() -> None:
    source = blobs((1, 8, 8), [20] * 3)
    configuration = "convnet(width=4, depth=1)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"
    plain, tiled = (distill(source, f"dm(steps=1, factor={f})", configuration, 2, candidates=1) for f in (1, 2))
    assert (plain.k, tiled.k) == (6, 6)
    assert (len(plain.samples()), len(tiled.samples())) == (6, 24)
    assert plain.bytes == tiled.bytes == 6 * (64 * 4 + 8)
    soft = distill(source, "dc(steps=1, factor=2, labels=soft)", configuration, 2, candidates=1)
    assert soft.bytes == tiled.bytes + 6 * 3 * 4
    assert soft.samples().y.unique(dim=0).shape[0] <= 6


def test_bytes_are_those_of_the_tensors_in_the_file(tmp_path: Any) -> None:
    made = distill(blobs((6,), [20] * 3), "dc(steps=1, labels=soft)", SMALL, 2, candidates=1)
    path = made.save(tmp_path) / "set.safetensors"
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size - 8 - header == made.bytes


def test_too_few_images_for_tiles_are_refused_with_the_number_needed() -> None:
    configuration = "convnet(width=4, depth=1)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"
    with pytest.raises(BadData, match=r"4 samples each.*factor=1"):
        distill(blobs((1, 8, 8), [20] * 3), "dm(steps=1, factor=2)", configuration, 6)


def test_a_factor_asked_for_is_refused_for_vectors_and_a_default_one_left_out() -> None:
    source = blobs((6,), [20] * 3)
    with pytest.raises(NotApplicable, match=r"vectors of 6.*Methods that can run here: .*dm"):
        distill(source, "idm(steps=1, factor=3)", SMALL, 2)
    made = distill(source, "idm(steps=1)", SMALL, 2, candidates=1)
    assert made.method == "idm(steps=1)"
    assert made.parameterization == "pixels"


def test_labels_that_no_surrogate_reads_are_not_learned_in_silence() -> None:
    with pytest.raises(BadSetting, match="labels=hard"):
        distill(blobs((6,), [20] * 3), "dm(steps=1, labels=soft)", SMALL, 2)


def test_learned_labels_move_and_stay_of_their_class() -> None:
    made = distill(blobs((6,), [20] * 3), "dc(steps=3, labels=soft, lr_labels=1.0)", SMALL, 2, candidates=1)
    start = 0.9 * torch.eye(3)[made.group] + 0.1 / 3
    assert (made.samples().y - start).abs().max() > 1e-4
    assert (made.samples().y.argmax(1) == made.group).all()


@pytest.mark.parametrize("name", ["dm", "dc", "m3d"])
def test_a_step_size_that_diverges_ends_with_the_step_the_value_and_advice(name: str) -> None:
    with pytest.raises(Diverged, match=r"at step \d+: the surrogate was .*Lower its step sizes \(now pixels 1e\+38"):
        distill(blobs((6,), [20] * 3), f"{name}(steps=30, lr_pixels=1e38)", SMALL, 2, candidates=1)


def test_representative_batches_hold_one_sample_of_every_cluster() -> None:
    """Five tight clouds of very unequal sizes: k-means takes one of each, chance the large one five times."""
    centres = 10 * torch.eye(5, dtype=torch.float64)
    sizes = torch.tensor([200, 5, 5, 5, 5])
    noise = 0.01 * torch.randn(220, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cloud = torch.arange(5).repeat_interleave(sizes)
    chosen = nearest_to_centres(centres[cloud] + noise, 5, 0)
    assert sorted(cloud[chosen].tolist()) == [0, 1, 2, 3, 4]


def test_representative_batches_are_renewed_by_the_clock_and_random_ones_each_step() -> None:
    source: Source = blobs((6,), [60] * 3)
    scene = Scene(Dynamics(SMALL, source.domain), source.train, 3)
    batches = [representative_batch(scene, 8, step, every=2) for step in range(4)]
    assert torch.equal(batches[0].x, batches[1].x)
    assert not torch.equal(batches[1].x, batches[2].x)
    assert torch.equal(batches[2].x, batches[3].x)
    assert (torch.bincount(batches[0].group) <= 8).all()
    assert not torch.equal(random_batch(scene, 8, 0).x, random_batch(scene, 8, 1).x)
    assert torch.bincount(random_batch(scene, 8, 0).group).tolist() == [8, 8, 8]


def test_the_real_path_trains_on_real_samples_and_renews_the_oldest_of_its_queue() -> None:
    source = blobs((6,), [60] * 3)
    scene = Scene(Dynamics(SMALL, source.domain, dtype=torch.float64), source.train, 3)
    states = RealPath(networks=2, renew=3, trained=1, passes=20)
    carry = states.begin(scene)
    fresh = carry["0.vector"]
    loss = [_loss(scene, fresh)]
    for step in range(3):
        carry = states.advance(scene, carry, step, source.train)
        loss.append(_loss(scene, carry["0.vector"]))
    assert max(loss[1:]) < loss[0] / 2
    assert "1.vector" in carry
    for step in range(3, 6):
        carry = states.advance(scene, carry, step, source.train)
    assert torch.equal(carry["0.vector"], scene.dynamics.initial(_seed(scene, 6)).vector)


def _seed(scene: Scene, step: int) -> int:
    from limbeck.streams import derive

    return derive(scene.seed, "state", step)


def _loss(scene: Scene, vector: Tensor) -> float:
    train = scene.train.to(dtype=torch.float64)
    return float(scene.dynamics.loss(vector, {}, train.x, train.y))
