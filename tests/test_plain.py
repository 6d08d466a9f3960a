"""What limbeck is timed against computes what limbeck computes: the same losses, gradients and trained networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.augmentations.siamese import _linear_map, _rotation, _scaling
from limbeck.dynamics import Dynamics, error_and_loss, train
from limbeck.samples import Domain, Samples
from limbeck.surrogates import Moment, Surrogate
from limbeck.surrogates.distribution import Distribution
from limbeck.surrogates.gradient import Gradient
from limbeck.surrogates.trajectory import Trajectory
from plain import augment, dc, dm, mtt
from plain.data import RealImages, epoch, loader
from plain.evaluate import evaluate
from plain.network import MLP, ConvNet

DOMAIN = Domain((1, 28, 28), 3)
PER_CLASS = 2
REAL = 150  # with networks this narrow several pieces a class would need more: the surrogates' pieces are made small


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.network.PIECE_BYTES", 2**20)


def network_and_moment(configuration: str = "convnet(width=4)") -> tuple[nn.Module, Moment]:
    """The plain network with our initialisation, in float64."""
    dynamics = Dynamics(configuration, DOMAIN, dtype=torch.float64)
    state = dynamics.initial(3)
    width = 27 if "27" in configuration else 4
    module = (MLP(DOMAIN.shape, 3) if "mlp" in configuration else ConvNet(DOMAIN.shape, 3, width)).double()
    nn.utils.vector_to_parameters(state.vector.clone(), module.parameters())
    return module, Moment(dynamics, state)


def images(per_class: int, seed: int) -> Samples:
    x = torch.randn(3 * per_class, *DOMAIN.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Samples.hard(x, torch.arange(3).repeat_interleave(per_class), 3)


def ours(surrogate: Surrogate, moment: Moment, synthetic: Samples, real: Samples) -> tuple[Tensor, Tensor]:
    """Value and pixel gradient of a surrogate."""
    pixels = synthetic.x.clone().requires_grad_()
    value = surrogate.value(moment, Samples(pixels, synthetic.y, synthetic.group), real)
    return value.detach(), torch.autograd.grad(value, pixels)[0]


def assert_same(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(first[0], second[0], rtol=1e-10, atol=1e-12, check_dtype=False)
    assert second[1].norm() > 0
    assert (first[1] - second[1]).norm() < 1e-10 * second[1].norm()


def test_one_pass_over_all_classes_in_pieces_equals_distribution_matching_class_by_class() -> None:
    module, moment = network_and_moment()
    synthetic, real = images(PER_CLASS, 0), images(REAL, 1)
    pixels = synthetic.x.clone().requires_grad_()
    parts = list(zip(real.x.split(REAL), pixels.split(PER_CLASS), strict=True))
    value = dm.matching_loss(module, parts)
    plain = value.detach(), torch.autograd.grad(value, pixels)[0]
    assert_same(ours(Distribution(), moment, synthetic, real), plain)


@pytest.mark.parametrize("network", ["convnet(width=4)", "convnet(width=27)"])  # the wider one's first block is fused
def test_gradients_in_pieces_equal_gradient_matching_class_by_class(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.first_block.WORTH", 0)
    module, moment = network_and_moment(network)
    synthetic, real = images(PER_CLASS, 0), images(REAL, 1)
    pixels = synthetic.x.clone().requires_grad_()
    parts = enumerate(zip(real.x.split(REAL), pixels.split(PER_CLASS), strict=True))
    value = torch.stack([dc.matching_loss(module, *pair, label) for label, pair in parts]).sum()
    plain = value.detach(), torch.autograd.grad(value, pixels)[0]
    assert_same(ours(Gradient(), moment, synthetic, real), plain)


def test_the_adjoint_equals_trajectory_matching_in_one_graph() -> None:
    module, moment = network_and_moment("convnet(width=4)/sgd(momentum=0)/constant")
    synthetic = images(PER_CLASS, 0)
    target = moment.dynamics.initial(8).vector
    rate = torch.tensor(0.05, dtype=torch.float64)
    moment = Moment(moment.dynamics, moment.state, target=target, learned={"step_size": rate})
    pixels = synthetic.x.clone().requires_grad_()
    value = mtt.matching_loss(module, moment.state.vector, target, pixels, synthetic.group, rate, steps=5)
    plain = value.detach(), torch.autograd.grad(value, pixels)[0]
    assert_same(ours(Trajectory(synthetic_steps=5), moment, synthetic, synthetic), plain)


@pytest.mark.parametrize("network", ["convnet(width=4)", "mlp"])
def test_training_and_testing_equal_a_loop_over_a_data_loader(network: str) -> None:
    module, moment = network_and_moment(f"{network}/sgd(lr=0.05)/cosine(steps=8)")
    samples, held_out = images(5, 2), images(REAL, 1)
    trained = train(moment.dynamics, samples, 0, start=moment.state).state
    tests = [(held_out.x, held_out.group)]
    rule = lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)  # noqa: E731
    ((loss, error),) = evaluate(module, (samples.x, samples.group), tests, rule, epochs=8)
    reached = nn.utils.parameters_to_vector(module.parameters()).detach()
    torch.testing.assert_close(trained.vector, reached, rtol=1e-8, atol=1e-10)
    assert error_and_loss(moment.dynamics, trained, held_out) == pytest.approx((error, loss), rel=1e-8)


def test_a_step_of_each_method_lowers_its_own_loss() -> None:
    real, synthetic = images(20, 1), images(PER_CLASS, 0)
    held = RealImages(real.x.float(), real.group, 3)
    torch.manual_seed(0)
    for match in (dm.step, dc.match):
        module = ConvNet(DOMAIN.shape, 3, width=4)
        pixels = synthetic.x.float().clone().requires_grad_()
        optimizer = torch.optim.SGD([pixels], lr=0.1)
        losses = [match(module, held, pixels, optimizer, PER_CLASS, batch=20, siamese=False) for _ in range(12)]
        assert losses[-1] < losses[0]


def test_following_the_set_is_training_on_it() -> None:
    module, moment = network_and_moment("convnet(width=4)/sgd(lr=0.05, momentum=0)/constant(steps=4)")
    samples = images(5, 2)
    dc.follow(module, samples.x, samples.group, epochs=4, lr=0.05)
    reached = nn.utils.parameters_to_vector(module.parameters()).detach()
    expected = train(moment.dynamics, samples, 0, start=moment.state).state.vector
    torch.testing.assert_close(reached, expected, rtol=1e-8, atol=1e-10)
    loss, right = epoch(module, loader(samples.x, samples.group, shuffle=False))
    assert 0 <= right <= 1
    assert loss > 0


def test_the_views_image_by_image_are_those_of_one_grid() -> None:
    x = images(2, 5).x
    theta = torch.rand(len(x), 2, dtype=torch.float64) + 0.5
    lists = [[[float(a), 0, 0], [0, float(b), 0]] for a, b in theta]
    torch.testing.assert_close(augment.resampled(x, lists), _linear_map(_scaling(*theta.T), False)(x))
    degrees = torch.linspace(-15, 15, len(x), dtype=torch.float64)
    turned = _rotation(degrees, 1.0)
    lists = [[[*(float(entry) for entry in row), 0] for row in matrix] for matrix in turned]
    torch.testing.assert_close(augment.resampled(x, lists), _linear_map(turned, False)(x))


def test_siamese_views_share_a_draw_and_others_do_not() -> None:
    same = images(1, 7).x[:1].expand(6, -1, -1, -1)
    for operation in augment.OPERATIONS:
        views = augment.augment(same, True, 4, (operation,))
        assert torch.allclose(views, views[:1].expand_as(views))
        assert torch.equal(augment.augment(same, True, 4, (operation,)), views)
        several = augment.augment(same, False, 4, (operation,))
        assert not torch.allclose(several, several[:1].expand_as(several))
