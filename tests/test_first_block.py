"""The first block as one product computes what its layers compute: values, slopes and slopes of slopes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from limbeck import first_block
from limbeck.dynamics import Dynamics, soft_cross_entropy
from limbeck.first_block import FirstBlock, _RectifiedSum
from limbeck.samples import Domain

MADE_FOR = {
    "convnet(width=27)": Domain((1, 28, 28), 3),  # padded to 32x32
    "convnet(width=27, depth=2)": Domain((1, 8, 12), 3),
    "convnet(width=54, depth=1)": Domain((2, 6, 6), 3),
}
LEFT_ALONE = [
    "convnet(width=27, norm=batch)", "convnet(width=28, norm=group)", "convnet(width=27, activation=gelu)",
    "convnet(width=27, pooling=max)", "convnet(width=26)", "mlp", "lenet", "vgg11", "resnet18",
]  # fmt: skip


@pytest.fixture(autouse=True)
def at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_block, "WORTH", 0)
    monkeypatch.setattr(first_block, "CHUNK", 3 * 27 * 32 * 32)  # several pieces, the last one smaller


def taken(module: nn.Module, dynamics: Dynamics, x: Tensor) -> list[Tensor]:
    """Logits, and the slopes of the loss in parameters and samples and of the first one's square."""
    network, pixels = dynamics.network, x.clone().requires_grad_()
    # scales and shifts away from one and zero
    vector = dynamics.initial(1).vector
    vector = (
        vector + 0.1 * torch.randn(vector.shape, generator=torch.Generator().manual_seed(2)).to(x)
    ).requires_grad_()
    y = nn.functional.one_hot(torch.arange(len(x)) % 3, 3).to(x)
    logits = functional_call(module, network.unflatten(vector), (pixels,))
    first = torch.autograd.grad(soft_cross_entropy(logits, y), [vector, pixels], create_graph=True)
    second = torch.autograd.grad((first[0] ** 2).sum() + (first[1] ** 3).sum(), [vector, pixels], retain_graph=True)
    with torch.enable_grad():  # without a graph of the slope, which is another way through the block
        alone = torch.autograd.grad(soft_cross_entropy(logits, y), [vector, pixels])
    return [part.detach() for part in (logits, *first, *second, *alone)]


@pytest.mark.parametrize("text", MADE_FOR)
def test_one_product_equals_layer_by_layer_twice_differentiated(text: str) -> None:
    dynamics = Dynamics(text, MADE_FOR[text], dtype=torch.float64)
    module = dynamics.network.module
    quick = FirstBlock.of(module)
    assert quick is not None
    x = 0.7 + torch.randn(7, *MADE_FOR[text].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert quick.pays(x)
    for ours, layers in zip(taken(quick, dynamics, x), taken(module, dynamics, x), strict=True):
        assert (ours - layers).norm() < 1e-9 * layers.norm()


def test_in_float32_values_and_slopes_are_equal_within_a_thousandth() -> None:
    dynamics = Dynamics("convnet(width=32)", Domain((1, 28, 28), 3))
    module = dynamics.network.module
    quick = FirstBlock.of(module)
    assert quick is not None
    # an image of a constant, one of a gradient and a bright one: the norm's variances are small there
    x = torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    x[0], x[1], x[2] = 0.5, torch.linspace(0, 1, 28), x[2] / 10 + 2
    for ours, layers in zip(taken(quick, dynamics, x), taken(module, dynamics, x), strict=True):
        assert (ours - layers).norm() < 1e-3 * layers.norm()


def test_the_slope_of_a_bias_that_the_norm_takes_away_is_zero() -> None:
    dynamics = Dynamics("convnet(width=32)", Domain((1, 28, 28), 3))
    vector = dynamics.initial(0).vector.requires_grad_()
    x, y = torch.randn(4, 1, 28, 28), torch.eye(3)[torch.arange(4) % 3]
    slope = dynamics.network.unflatten(dynamics.gradient(vector, {}, x, y))
    assert not slope["0.bias"].any()
    assert slope["0.weight"].any()


def test_the_sum_of_rectified_products_has_the_slopes_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(4)
    weights = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    patches = torch.randn(3, 5, 8, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(_RectifiedSum.apply, (weights, patches))
    assert torch.autograd.gradgradcheck(_RectifiedSum.apply, (weights, patches))


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_networks_that_begin_otherwise_are_left_alone(text: str) -> None:
    assert FirstBlock.of(Dynamics(text, Domain((1, 28, 28), 3)).network.module) is None


def test_odd_maps_small_ones_and_single_samples_go_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = FirstBlock.of(Dynamics("convnet(width=32, depth=1)", Domain((1, 9, 9), 3)).network.module)
    assert quick is not None
    assert not quick.pays(torch.zeros(4, 1, 9, 9))
    assert quick.pays(torch.zeros(4, 1, 10, 10))
    assert not quick.pays(torch.zeros(1, 1, 10, 10))
    monkeypatch.setattr(first_block, "WORTH", 4 * 32 * 10 * 10 + 1)
    assert not quick.pays(torch.zeros(4, 1, 10, 10))


def test_features_activations_and_single_slopes_are_those_of_the_layers() -> None:
    domain = Domain((1, 8, 8), 3)
    dynamics = Dynamics("convnet(width=32, depth=2)", domain, dtype=torch.float64)
    network, vector = dynamics.network, dynamics.initial(0).vector
    x = torch.randn(4, *domain.shape, dtype=torch.float64)
    features, logits = network.features_and_logits(vector, {}, x)
    layers = network.activations(vector, {}, x)
    head = network.unflatten(vector)
    torch.testing.assert_close(layers[1], logits, rtol=1e-10, atol=1e-12)
    assert [layer.shape[1:] for layer in layers[0]] == [(32, 8, 8), (32, 4, 4)]
    torch.testing.assert_close(features @ head["9.weight"].T + head["9.bias"], logits, rtol=1e-10, atol=1e-12)
    each = vmap(jacrev(lambda v, one: network.logits(v, {}, one[None])[0, 0]), (None, 0))(vector, x)
    leaf = vector.clone().requires_grad_()
    (first,) = torch.autograd.grad(network.logits(leaf, {}, x)[2, 0], leaf)
    torch.testing.assert_close(each[2], first, rtol=1e-9, atol=1e-11)


def test_the_patches_that_are_kept_are_those_of_the_samples_that_come() -> None:
    domain = Domain((1, 8, 8), 3)
    dynamics = Dynamics("convnet(width=32, depth=2)", domain, dtype=torch.float64)
    network, vector = dynamics.network, dynamics.initial(0).vector
    generator = torch.Generator().manual_seed(0)
    for again in range(3):  # the last tensor may lie where the one before it lay
        x = torch.randn(4, *domain.shape, dtype=torch.float64, generator=generator)
        for _ in range(2):
            expected = functional_call(network.module, network.unflatten(vector), (x,))
            torch.testing.assert_close(network.logits(vector, {}, x), expected, rtol=1e-10, atol=1e-12)
            x += again + 0.5 * x  # in place
