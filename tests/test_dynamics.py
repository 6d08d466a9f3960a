"""Training as arithmetic on one vector is the training that torch.optim does on the module."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from limbeck.dynamics import Dynamics, batches, error_and_loss, errors_and_losses, soft_cross_entropy, train
from limbeck.errors import Diverged, NotApplicable
from limbeck.network import Network
from limbeck.replicates import train_many
from limbeck.samples import Domain, Samples
from limbeck.streams import derive, stream

IMAGES = Domain((2, 8, 8), 3)
VECTORS = Domain((5,), 3)
NETWORKS = {
    "mlp(width=6, depth=1)": VECTORS,
    "mlp(width=6, depth=2, norm=batch)": VECTORS,
    "convnet(width=4, depth=2)": IMAGES,
    "convnet(width=4, depth=2, norm=batch)": IMAGES,
}


def soft_samples(domain: Domain, count: int = 10, seed: int = 0, dtype: torch.dtype = torch.float64) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *domain.shape, generator=generator, dtype=dtype)
    y = torch.softmax(2 * torch.randn(count, domain.classes, generator=generator, dtype=dtype), 1)
    return Samples(x, y, y.argmax(1))


def module_loop(
    dynamics: Dynamics,
    samples: Samples,
    seed: int,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
) -> nn.Module:
    """The same training written as everybody writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(derive(seed, "init"), "network"))
        module = dynamics.configuration.architecture.build(dynamics.domain).to(dynamics.dtype)
    module.train()
    rule = optimizer(list(module.parameters()))
    rates = schedule(rule)
    loss = nn.CrossEntropyLoss()
    steps, batch = dynamics.configuration.schedule.steps, dynamics.configuration.schedule.batch
    for step, index in enumerate(batches(seed, len(samples), batch, steps)):
        x, y = samples.x[index], samples.y[index]
        draw = dynamics.configuration.augmentation.draw(len(x), dynamics.domain, stream(seed, "augment", step))
        x, y = draw(x, y)
        rule.zero_grad()
        loss(module(x), y).backward()
        rule.step()
        rates.step()
    return module


def flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("batch", [4, 256])
def test_training_equals_a_torch_optim_loop_on_the_module(network: str, batch: int) -> None:
    domain = NETWORKS[network]
    views = "siamese" if domain.is_image else "none"
    spec = f"{network}/sgd(lr=0.05, momentum=0.9, weight_decay=0.001)/{views}/cosine(steps=12, batch={batch})"
    dynamics = Dynamics(spec, domain, dtype=torch.float64)
    samples = soft_samples(domain)
    theirs = module_loop(
        dynamics,
        samples,
        3,
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.001),
        lambda rule: torch.optim.lr_scheduler.CosineAnnealingLR(rule, T_max=12),
    )
    ours = train(dynamics, samples, 3).state
    torch.testing.assert_close(ours.vector, flat(theirs), rtol=1e-10, atol=1e-12)
    buffers = dict(theirs.named_buffers())
    assert ours.buffers.keys() == buffers.keys()
    for name, value in buffers.items():
        torch.testing.assert_close(ours.buffers[name], value, rtol=1e-10, atol=1e-12)
    theirs.eval()
    torch.testing.assert_close(dynamics.predict(ours, samples.x), theirs(samples.x), rtol=1e-9, atol=1e-10)


def test_the_literatures_schedule_equals_a_loop_with_a_fresh_optimizer_after_its_drop() -> None:
    spec = "mlp(width=6, depth=1)/sgd(lr=0.1, momentum=0.9)/step(steps=10, restart=true)"
    dynamics = Dynamics(spec, VECTORS, dtype=torch.float64)
    samples = soft_samples(VECTORS)
    module = dynamics.configuration.architecture.build(VECTORS).double()
    start = dynamics.restarted(flat(module))
    rule = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for step in range(10):
        if step == 6:
            rule = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
        rule.zero_grad()
        nn.CrossEntropyLoss()(module(samples.x), samples.y).backward()
        rule.step()
    ours = train(dynamics, samples, 0, start=start).state
    torch.testing.assert_close(ours.vector, flat(module), rtol=1e-10, atol=1e-12)


def test_soft_cross_entropy_is_that_of_torch_and_the_usual_one_on_hard_labels() -> None:
    samples = soft_samples(VECTORS)
    logits = soft_samples(VECTORS, seed=1).y.log() * 3
    assert soft_cross_entropy(logits, samples.y).item() == pytest.approx(
        nn.functional.cross_entropy(logits, samples.y).item(), rel=1e-12
    )
    hard = Samples.hard(samples.x, samples.group, 3)
    assert soft_cross_entropy(logits, hard.y).item() == pytest.approx(
        nn.functional.cross_entropy(logits, samples.group).item(), rel=1e-12
    )


# float32: one rounding is 6e-8, and 12 steps at this step size spread it to under 1e-4 of the largest entry. The large
# epsilon is part of the promise: a bias before a norm has no slope but rounding, which Adam would scale to whole steps.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("optimizer", ["sgd(lr=0.05, weight_decay=0.01)", "adamw(lr=0.005, epsilon=1e-3)"])
@pytest.mark.parametrize("network", NETWORKS)
def test_stacked_training_equals_one_after_the_other(
    network: str, optimizer: str, dtype: torch.dtype, tolerance: float
) -> None:
    domain = NETWORKS[network]
    views = "siamese" if domain.is_image else "none"
    dynamics = Dynamics(f"{network}/{optimizer}/{views}/cosine(steps=12, batch=4)", domain, dtype=dtype)
    sets = [soft_samples(domain, seed=number, dtype=dtype) for number in range(3)]
    seeds = [11, 5, 8]
    alone = train_many(dynamics, sets, seeds, how="loop")
    stacked = train_many(dynamics, sets, seeds, how="stacked")
    for one, other in zip(alone, stacked, strict=True):
        assert one.seed == other.seed
        assert one.state.step == other.state.step == 12
        scale = float(one.state.vector.abs().max())
        torch.testing.assert_close(other.state.vector, one.state.vector, rtol=0, atol=tolerance * scale)
        assert other.state.buffers.keys() == one.state.buffers.keys()
        for name, value in one.state.buffers.items():
            torch.testing.assert_close(other.state.buffers[name], value, rtol=tolerance, atol=tolerance)
    assert not torch.allclose(alone[0].state.vector, alone[1].state.vector)


def test_any_choice_of_how_gives_one_network_a_seed_on_shared_samples() -> None:
    dynamics = Dynamics("mlp(width=6)/cosine(steps=5)", VECTORS)
    samples = soft_samples(VECTORS, dtype=torch.float32)
    for seeds in ([4], [4, 9]):
        trained = train_many(dynamics, samples, seeds)
        assert [run.seed for run in trained] == seeds
        alone = train(dynamics, samples, 4).state.vector
        torch.testing.assert_close(trained[0].state.vector, alone, rtol=1e-4, atol=1e-5)
    assert train_many(dynamics, samples, []) == []


def test_sets_of_different_sizes_are_trained_one_after_the_other() -> None:
    dynamics = Dynamics("mlp(width=6)/cosine(steps=5)", VECTORS)
    sets = [soft_samples(VECTORS, count, dtype=torch.float32) for count in (4, 9)]
    trained = train_many(dynamics, sets, [1, 2])
    assert torch.equal(trained[1].state.vector, train(dynamics, sets[1], 2).state.vector)


def test_batches_are_everything_where_it_fits_and_else_shuffled_passes_without_repeats() -> None:
    assert list(batches(0, 10, 10, 3)) == [slice(None)] * 3
    drawn = [set(index.tolist()) for index in batches(0, 23, 5, 12) if isinstance(index, Tensor)]
    assert [len(index) for index in drawn] == [5] * 12
    for first in range(0, 12, 4):  # four whole batches a pass
        assert len(set.union(*drawn[first : first + 4])) == 20
    exact = torch.stack([index for index in batches(0, 20, 5, 8) if isinstance(index, Tensor)]).view(2, 20)
    assert torch.equal(exact.sort(1).values, torch.arange(20).expand(2, 20))
    assert not torch.equal(exact[0], exact[1])


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_network() -> None:
    spec = "convnet(width=4, depth=1)/adam/siamese/cosine(steps=5, batch=4)"
    samples = soft_samples(IMAGES, dtype=torch.float32)
    first, second, third = (train(Dynamics(spec, IMAGES), samples, seed).state.vector for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def global_generators() -> tuple[object, ...]:
    """The states of the generators that nothing of ours may use."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


def test_training_touches_no_global_generator_and_obeys_none() -> None:
    spec = "convnet(width=4, depth=1)/sgd/siamese/cosine(steps=3, batch=4)"
    samples = soft_samples(IMAGES, dtype=torch.float32)
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = global_generators()
        dynamics = Dynamics(spec, IMAGES)
        results.append(train(dynamics, samples, 7).state.vector)
        train_many(dynamics, samples, [1, 2], how="stacked")
        assert global_generators() == before
    assert torch.equal(*results)


def test_training_leaves_its_start_and_its_samples_as_they_were() -> None:
    dynamics = Dynamics("convnet(width=4, depth=1, norm=batch)/cosine(steps=3)", IMAGES)
    samples = soft_samples(IMAGES, dtype=torch.float32)
    start, kept = dynamics.initial(1), dynamics.initial(1)
    pixels = samples.x.clone()
    train(dynamics, samples, 1, start=start)
    dynamics.step(dynamics.restarted(start.vector), samples.x, samples.y, differentiable=True)
    assert torch.equal(start.vector, kept.vector)
    assert not start.vector.requires_grad
    assert all(torch.equal(start.buffers[name], value) for name, value in kept.buffers.items())
    assert torch.equal(samples.x, pixels)
    fresh = dynamics.restarted(start.vector).buffers
    assert all(torch.equal(fresh[name], value) for name, value in kept.buffers.items())


def test_the_trajectory_is_recorded_from_the_first_state_to_the_last() -> None:
    dynamics = Dynamics("mlp(width=4)/sgd(lr=0.1)/cosine(steps=4)", VECTORS)
    samples = soft_samples(VECTORS, dtype=torch.float32)
    seen: list[tuple[int, Tensor]] = []
    trained = train(dynamics, samples, 2, on_step=lambda state: seen.append((state.step, state.vector)))
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert torch.equal(seen[0][1], dynamics.initial(derive(2, "init")).vector)
    assert torch.equal(seen[-1][1], trained.state.vector)


def test_error_counts_wrong_classes_and_loss_is_the_mean_cross_entropy() -> None:
    dynamics = Dynamics("mlp(depth=0)", VECTORS, dtype=torch.float64)
    samples = soft_samples(VECTORS, 600)
    state = dynamics.initial(0)
    logits = samples.x @ state.vector[:15].view(3, 5).T + state.vector[15:]
    error, loss = error_and_loss(dynamics, state, samples)
    assert error == pytest.approx(float((logits.argmax(1) != samples.group).double().mean()), abs=1e-12)
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, samples.y)), rel=1e-10)


def test_several_states_are_tested_together_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.first_block.WORTH", 0)
    monkeypatch.setattr("limbeck.network.PIECE_BYTES", 4 * 32 * 8 * 8)  # several pieces, whose patches all states read
    domain = Domain((1, 8, 8), 3)
    dynamics, samples = Dynamics("convnet(width=32, depth=2)", domain), soft_samples(domain, 11, dtype=torch.float32)
    states = [dynamics.initial(seed) for seed in range(3)]
    together = errors_and_losses(dynamics, states, samples)
    assert together == [error_and_loss(dynamics, state, samples) for state in states]
    assert len(set(together)) == 3


def test_a_parameter_that_is_shared_is_lent_in_all_its_places() -> None:
    def tied() -> nn.Module:
        first, second = nn.Linear(5, 5), nn.Linear(5, 5)
        second.weight = first.weight
        return nn.Sequential(first, nn.Sequential(nn.Tanh(), second), nn.BatchNorm1d(5), nn.Linear(5, 3))

    network, x = Network(tied, torch.float64, 1), torch.randn(7, 5, dtype=torch.float64)
    own = [(name, tensor, tensor.clone()) for name, tensor in network.module.state_dict(keep_vars=True).items()]
    for training in (True, False, True):
        vector, buffers = network.initial(3)
        vector, reference = vector.requires_grad_(), {name: buffer.clone() for name, buffer in buffers.items()}
        ours = network.logits(vector, buffers, x, training)
        network.module.train(training)
        expected = functional_call(network.module, (network.unflatten(vector), reference), (x,))
        slopes = [torch.autograd.grad(each.square().sum(), vector)[0] for each in (ours, expected)]
        torch.testing.assert_close([ours, slopes[0], buffers], [expected, slopes[1], reference], rtol=0, atol=0)
    for name, tensor, before in own:  # and what the module itself holds is in its place again, unchanged
        assert network.module.state_dict(keep_vars=True)[name] is tensor
        assert torch.equal(tensor, before)


def test_features_are_what_the_last_linear_layer_reads() -> None:
    network = Network(lambda: Dynamics("convnet(width=4, depth=1)", IMAGES).configuration.architecture.build(IMAGES))
    vector, buffers = network.initial(0)
    x = soft_samples(IMAGES, dtype=torch.float32).x
    features, logits = network.features_and_logits(vector, buffers, x)
    weight, bias = list(network.unflatten(vector).values())[-2:]
    torch.testing.assert_close(features @ weight.T + bias, logits)
    headless = Network(lambda: nn.Sequential(nn.Conv2d(2, 3, 8), nn.Flatten()))
    with pytest.raises(NotApplicable, match="no linear layer"):
        headless.features_and_logits(*headless.initial(0), x)


@pytest.mark.parametrize("how", ["loop", "stacked"])
def test_a_training_that_leaves_the_finite_range_is_an_error_that_names_its_rate(how: str) -> None:
    dynamics = Dynamics("mlp(width=6)/sgd(lr=1e30)/cosine(steps=9)", VECTORS)
    samples = soft_samples(VECTORS, dtype=torch.float32)
    with pytest.raises(Diverged, match=r"1e\+30"):
        train_many(dynamics, samples, [1, 2], how=how)  # type: ignore[arg-type]


def test_samples_by_class_are_the_same_whether_they_stand_together_or_not() -> None:
    samples = soft_samples(VECTORS, 12)
    together = samples[samples.group.argsort(stable=True)]
    assert together.by_class().keys() == samples.by_class().keys() == set(samples.group.tolist())
    for label, part in samples.by_class().items():
        assert bool((part.group == label).all())
        for name in ("x", "y", "group"):
            assert torch.equal(getattr(part, name), getattr(together.by_class()[label], name))


@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_do_not_depend_on_the_pieces_that_samples_pass_in(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = NETWORKS[network]
    samples = soft_samples(domain, 11)
    dynamics = Dynamics(network, domain, dtype=torch.float64)
    whole = dynamics.predict(dynamics.initial(0), samples.x)
    assert dynamics.network.piece(samples.x) > 11
    monkeypatch.setattr("limbeck.network.PIECE_BYTES", 3 * 8 * 4 * max(64, samples.x[0].numel()))
    assert dynamics.network.piece(samples.x) <= 11 or "mlp" in network
    torch.testing.assert_close(dynamics.predict(dynamics.initial(0), samples.x), whole, rtol=1e-12, atol=1e-14)
