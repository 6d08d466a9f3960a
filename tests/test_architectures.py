"""Architectures are the literature's, differentiable twice, stackable, and fit for any image that they accept."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from limbeck.architectures import Architecture, Halving
from limbeck.errors import BadData, BadSetting, UnknownName
from limbeck.samples import Domain
from limbeck.streams import borrowed_global
from limbeck.variants import make, members

SMALL = [
    "mlp(width=5)",
    "mlp(width=5, depth=1, norm=batch)",
    "mlp(width=5, norm=layer, activation=gelu)",
    *(f"convnet(width=8, depth=2, norm={norm})" for norm in ("none", "batch", "layer", "instance", "group")),
    "convnet(width=4, depth=2, pooling=max, activation=leaky-relu)",
    "convnet(width=4, depth=1, pooling=none, activation=swish)",
    "lenet",
    "alexnet(width=2)",
    "alexnet(width=8, norm=group)",
    "vgg11(width=2)",
    "vgg11(width=2, norm=batch)",
    "resnet18(width=2, norm=layer)",
    "resnet18(width=2, norm=none)",
    "resnet18(width=2, norm=batch, downsampling=average)",
    "resnet18(width=2, stem=large, norm=batch)",
    "vit(width=8, depth=2, heads=2)",
]
DIGIT = Domain((1, 8, 8), 3, mirror=False)


def built(text: str, domain: Domain, seed: int = 0) -> nn.Module:
    with borrowed_global(seed, "init"):
        return make("architectures", text).build(domain)


def batch(domain: Domain, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *domain.shape, generator=generator, dtype=torch.double)
    return x, torch.randn(count, domain.classes, generator=generator, dtype=torch.double).softmax(1)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_small_variants_cover_every_architecture() -> None:
    assert {text.partition("(")[0] for text in SMALL} == set(members("architectures"))


@pytest.mark.parametrize(
    ("text", "shape", "count"),
    [
        ("convnet", (1, 28, 28), 317_706),
        ("convnet(width=32)", (1, 28, 28), 24_138),
        ("mlp", (1, 28, 28), 784 * 128 + 128 + 128 * 128 + 128 + 1290),
        ("lenet", (1, 28, 28), 61_706),
        ("vgg11", (3, 32, 32), 9_231_114),
        ("resnet18", (3, 32, 32), 11_173_962),
        ("resnet18(downsampling=average)", (3, 32, 32), 11_173_962 + 10 * 512 * 15),
        ("alexnet", (3, 32, 32), 9728 + 614_592 + 442_624 + 442_560 + 331_968 + 30_730),
    ],
)
def test_parameter_counts_are_those_of_the_published_networks(text: str, shape: tuple[int, ...], count: int) -> None:
    assert parameters(built(text, Domain(shape, 10))) == count


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "instance", "group"])
def test_convnet_is_the_formula_in_its_docstring(norm: str) -> None:
    network = built(f"convnet(width=8, depth=2, norm={norm})", DIGIT).double()
    x, _ = batch(DIGIT, 5)
    weights = list(network.parameters())
    with torch.no_grad():
        for weight in weights:
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    expected = x
    axes = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}
    for _ in range(2):
        expected = functional.conv2d(expected, weights.pop(0), weights.pop(0), padding=1)
        if norm != "none":
            scale, shift = (weights.pop(0) for _ in range(2))
            scale, shift = (w if norm == "layer" else w[:, None, None] for w in (scale, shift))
            split = expected.unflatten(1, (4, 2)) if norm == "group" else expected
            over = (2, 3, 4) if norm == "group" else axes[norm]
            centred = split - split.mean(over, keepdim=True)
            unit = centred / (centred.square().mean(over, keepdim=True) + 1e-5).sqrt()
            expected = unit.reshape(expected.shape) * scale + shift
        expected = expected.clamp(min=0).unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))
    expected = expected.flatten(1) @ weights.pop(0).T + weights.pop(0)
    assert not weights
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "text", ["convnet(width=4)", "lenet", "alexnet(width=2)", "vgg11(width=2)", "resnet18(width=2)"]
)
def test_small_grey_images_are_those_of_32_pixels_with_a_border_of_zeros(text: str) -> None:
    published, wide = built(text, Domain((1, 28, 28), 10)).double(), built(text, Domain((1, 32, 32), 10)).double()
    wide.load_state_dict(published.state_dict())
    x, _ = batch(Domain((1, 28, 28), 10), 2)
    torch.testing.assert_close(published(x), wide(functional.pad(x, (2, 2, 2, 2))))


def test_transformer_blocks_equal_torchs_own() -> None:
    network = built("vit(width=8, depth=1, heads=2, patch=2, expansion=3)", DIGIT).double()
    own = network[3]
    oracle = nn.TransformerEncoderLayer(8, 2, 24, 0.0, nn.GELU(), batch_first=True, norm_first=True).double()
    renamed = {
        "norm1": own.norm,
        "self_attn.out_proj": own.output,
        "norm2": own.feed[0],
        "linear1": own.feed[1],
        "linear2": own.feed[3],
    }
    state = {f"{name}.{key}": value for name, part in renamed.items() for key, value in part.state_dict().items()}
    state |= {f"self_attn.in_proj_{key}": value for key, value in own.queries_keys_values.state_dict().items()}
    oracle.load_state_dict(state)
    tokens = torch.randn(3, 16, 8, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    torch.testing.assert_close(own(tokens), oracle(tokens), rtol=1e-12, atol=1e-12)


def test_transformer_reads_patches_in_place_and_pads_to_whole_ones() -> None:
    network = built("vit(width=8, patch=4)", Domain((2, 9, 13), 3))
    x = torch.arange(2 * 9 * 13.0).reshape(1, 2, 9, 13)
    patches = network[0](x)
    assert patches.shape == (1, 3 * 4, 2 * 16)
    assert torch.equal(patches[0, 5].reshape(2, 4, 4), x[0, :, 4:8, 4:8])
    assert torch.equal(patches[0, 11].reshape(2, 4, 4), functional.pad(x[0, :, 8:, 12:], (0, 3, 0, 3)))


@pytest.mark.parametrize("text", SMALL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28), (2, 32, 16)], ids=str)
def test_every_weight_learns_whatever_the_images(text: str, shape: tuple[int, ...]) -> None:
    domain = Domain(shape, 3)
    network = built(text, domain).double()
    x, y = batch(domain, 4)
    before = x.clone()
    loss = functional.cross_entropy(network(x), y)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert torch.equal(x, before)
    # a bias before a norm has no effect, by construction; a weight without gradient means that a map was lost
    dead = [
        name
        for (name, parameter), gradient in zip(network.named_parameters(), gradients, strict=True)
        if parameter.ndim > 1 and not gradient.abs().sum() > 1e-9
    ]
    assert dead == []


@pytest.mark.parametrize("text", SMALL)
def test_logits_are_linear_in_the_features_before_the_last_linear_layer(text: str) -> None:
    network = built(text, DIGIT).double()
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    seen: list[Tensor] = []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, _ = batch(DIGIT, 4)
    logits = network(x)
    assert seen[0].ndim == 2
    torch.testing.assert_close(seen[0] @ last.weight.T + last.bias, logits)


@pytest.mark.parametrize("text", SMALL)
def test_gradients_of_the_loss_can_be_differentiated_by_the_images(text: str) -> None:
    """What gradient matching needs, d/dx <v, grad_theta loss>, against central differences in float64."""
    network = built(text, DIGIT, seed=3).double()
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    x, y = batch(DIGIT, 3)

    def inner(x: Tensor) -> Tensor:
        """Weight gradients, taken at fixed weights and projected on fixed random directions."""
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        loss = functional.cross_entropy(functional_call(network, (leaves, buffers), (x,)), y)
        gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        generator = torch.Generator().manual_seed(0)
        return torch.stack(
            [(g * torch.randn(g.shape, generator=generator, dtype=g.dtype)).sum() for g in gradients]
        ).sum()

    x.requires_grad_()
    (slope,) = torch.autograd.grad(inner(x), x)
    assert slope.norm() > 1e-3  # far above the tolerance
    assert torch.autograd.gradcheck(inner, x, eps=1e-6, atol=1e-8, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("text", SMALL)
@pytest.mark.parametrize("training", [True, False])
def test_stacked_networks_equal_the_loop_over_them(text: str, training: bool) -> None:
    """Gradients, gradients of matching losses and running statistics of three networks at once, each on its data."""
    networks = [built(text, DIGIT, seed).double().train(training) for seed in range(3)]
    weights, buffers = stack_module_state(networks)
    weights = {name: weight.detach() for name, weight in weights.items()}
    bare = copy.deepcopy(networks[0]).to("meta")
    x, y = (torch.stack(part) for part in zip(*(batch(DIGIT, 4, seed) for seed in range(3)), strict=True))

    def loss(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(bare, (weights, buffers), (x,)), y)

    def matched(x: Tensor, weights: dict[str, Tensor], buffers: dict[str, Tensor], y: Tensor) -> Tensor:
        return torch.stack([g.square().sum() for g in grad(loss)(weights, buffers, x, y).values()]).sum()

    updated = {name: buffer.clone() for name, buffer in buffers.items()}
    slopes = vmap(grad(loss))(weights, updated, x, y)
    second = vmap(grad(matched))(x, weights, {name: buffer.clone() for name, buffer in buffers.items()}, y)
    for index, network in enumerate(networks):
        image = x[index].clone().requires_grad_()
        named = dict(network.named_parameters())
        value = functional.cross_entropy(network(image), y[index])
        expected = torch.autograd.grad(value, list(named.values()), create_graph=True)
        for name, slope in zip(named, expected, strict=True):
            torch.testing.assert_close(slopes[name][index], slope.detach(), rtol=1e-8, atol=1e-10)
        (by_image,) = torch.autograd.grad(sum(slope.square().sum() for slope in expected), image)
        torch.testing.assert_close(second[index], by_image, rtol=1e-6, atol=1e-8)
        for name, buffer in network.named_buffers():
            torch.testing.assert_close(updated[name][index], buffer)


@pytest.mark.parametrize("text", SMALL)
def test_initial_weights_come_from_the_lent_seed_alone(text: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (built(text, DIGIT, seed) for seed in (1, 1, 2))
    make("architectures", text).flops(DIGIT)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert all(not torch.equal(a, c) for a, _, c in pairs if len(a.unique()) > 1)


@pytest.mark.parametrize("text", SMALL)
def test_no_layer_overwrites_or_drops(text: str) -> None:
    network = built(text, DIGIT)
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert not any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())


@pytest.mark.parametrize("text", SMALL)
def test_flops_are_those_that_torch_counts(text: str) -> None:
    architecture, domain = make("architectures", text), DIGIT
    with torch.device("meta"):
        network = architecture.build(domain).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.empty(2, *domain.shape))
    assert architecture.flops(domain) == counter.get_total_flops() // 2 > 0


def test_flops_are_two_for_each_multiply_and_add() -> None:
    mlp: Architecture = make("architectures", "mlp(width=100, depth=3)")
    assert mlp.flops(Domain((64,), 7)) == 2 * (64 * 100 + 2 * 100 * 100 + 100 * 7)
    convnet: Architecture = make("architectures", "convnet(width=32)")
    maps = 9 * (1 * 32 * 32**2 + 32 * 32 * 16**2 + 32 * 32 * 8**2)
    assert convnet.flops(Domain((1, 28, 28), 10)) == 2 * (maps + 32 * 4 * 4 * 10)
    lenet: Architecture = make("architectures", "lenet")
    dense = 400 * 120 + 120 * 84 + 84 * 10
    assert lenet.flops(Domain((3, 32, 32), 10)) == 2 * (25 * 3 * 6 * 28**2 + 25 * 6 * 16 * 10**2 + dense)
    vit: Architecture = make("architectures", "vit(width=8, depth=2, heads=2, patch=4, expansion=2)")
    tokens = 49
    block = tokens * (3 * 8 * 8 + 8 * 8 + 2 * 8 * 16) + 2 * tokens * tokens * 8
    assert vit.flops(Domain((1, 28, 28), 10)) == 2 * (tokens * 16 * 8 + 2 * block + 8 * 10)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_convnets_reach_down_to_digits(depth: int) -> None:
    network = built(f"convnet(width=4, depth={depth})", DIGIT)
    assert network[-1].in_features == 4 * (8 // 2**depth) ** 2


@pytest.mark.parametrize("name", sorted(set(members("architectures")) - {"mlp"}))
def test_image_networks_refuse_vectors_and_name_what_takes_them(name: str) -> None:
    with pytest.raises(BadData, match=r"64 features a sample\. Use mlp"):
        make("architectures", name).build(Domain((64,), 10))


@pytest.mark.parametrize(
    ("text", "side", "needed"),
    [("convnet(depth=4)", 15, 16), ("convnet(depth=3)", 7, 8), ("lenet", 3, 4), ("alexnet", 7, 8), ("vgg11", 1, 2)],
)
def test_images_too_small_are_refused_with_the_size_needed(text: str, side: int, needed: int) -> None:
    with pytest.raises(BadData, match=f"needs {needed}x{needed} or more"):
        make("architectures", text).build(Domain((1, 20, side), 10))
    logits = built(text, Domain((1, 20, needed), 10)).double()(torch.randn(2, 1, 20, needed, dtype=torch.double))
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("convnet(norm=group, width=6)", "4 divides"),
        ("vgg11(norm=group, width=2)", "4 divides"),
        ("vit(width=10, heads=4)", "4 heads"),
        ("convnet(activation=rleu)", "relu"),
        ("mlp(norm=instance)", "layer"),
        ("convnet(widht=3)", "Did you mean 'width'"),
        ("resnet", "Did you mean 'resnet18'"),
    ],
)
def test_settings_that_can_not_be_are_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises((BadSetting, UnknownName), match=reason):
        make("architectures", text)


@pytest.mark.parametrize("sides", [(8, 8), (6, 10), (7, 8), (5, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_halving_is_two_by_two_average_pooling(sides: tuple[int, int], dtype: torch.dtype) -> None:
    x = torch.randn(3, 2, *sides, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    values = Halving()(ours), nn.AvgPool2d(2)(theirs)
    tolerance = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(*values, rtol=tolerance, atol=tolerance)
    slopes = [
        torch.autograd.grad((value**3).sum(), inputs)[0] for value, inputs in zip(values, (ours, theirs), strict=True)
    ]
    torch.testing.assert_close(*slopes, rtol=4 * tolerance, atol=4 * tolerance)
