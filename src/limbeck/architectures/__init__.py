"""Network architectures: a settings class that builds a `torch.nn.Module` for a domain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from limbeck.errors import BadData, own_frames, place
from limbeck.samples import Domain
from limbeck.variants import Variant, resolve_function

Norm = Literal["none", "batch", "layer", "instance", "group"]
Activation = Literal["relu", "leaky-relu", "sigmoid", "tanh", "swish", "gelu", "softplus"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
}
GROUPS = 4  # of norm="group", as in the literature's pool of ConvNets


class Architecture(Variant):
    """A network's settings. Its features are the input of its last linear layer."""

    @abstractmethod
    def build(self, domain: Domain) -> nn.Module:
        """A freshly initialised network from samples (n, *shape) to logits (n, classes).

        Draws from torch's global generator, as module constructors do; `dynamics` lends it one with a seed.
        """

    def flops(self, domain: Domain) -> int:
        """Floating-point operations of one forward pass of one sample, counted on torch's own operators."""
        with torch.random.fork_rng(devices=[]):
            network = self.build(domain).eval()
        for layer in network.modules():
            if isinstance(layer, Halving):
                layer.as_product = False  # a mean has no multiplications
        with _Counter() as counter, torch.no_grad():
            network(torch.zeros(2, *domain.shape))
        return counter.total // 2


class _Counter(TorchDispatchMode):
    """The operations of all that runs within, by torch's own formulas.

    Its `FlopCounterMode` counts the same, by module too, but imports the compiler first, as the meta device does: a
    second for every process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.total += int(formula(*args, **(kwargs or {}), out_val=made))
        return made


class OwnArchitecture(Architecture):
    """A network of the user's own: `package.module:function(setting=value)`.

    The function is called as `function(shape, classes, **settings)` and returns a `torch.nn.Module`.
    """

    function: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def spec(self) -> str:
        inner = ", ".join(f"{key}={value}" for key, value in self.settings)
        return self.function + (f"({inner})" if inner else "")

    @property
    def full_spec(self) -> str:
        return self.spec

    def build(self, domain: Domain) -> nn.Module:
        network = resolve_function(self.function)(domain.shape, domain.classes, **dict(self.settings))
        if not isinstance(network, nn.Module):
            raise BadData(f"{self.function} returned {type(network).__name__}; it must return a torch.nn.Module.")
        if (self.spec, domain) not in TRIED:
            _try(self.spec, network, domain)
            TRIED.add((self.spec, domain))
        return network


TRIED: set[tuple[str, Domain]] = set()
"""Networks of the user's own that were called once, so that a mistake shows before hours of work."""


def _try(name: str, network: nn.Module, domain: Domain) -> None:
    """Raise `BadData` unless the network makes logits (2, classes) of samples (2, *shape)."""
    training, shape = network.training, (2, *domain.shape)
    like = next(network.parameters(), torch.empty(0))  # a network may be built in another type, or on a GPU
    try:
        with torch.no_grad():
            logits = network.eval()(torch.zeros(shape, dtype=like.dtype, device=like.device))
    except Exception as error:  # whatever it raises
        frames = own_frames(error)
        where = f" ({place(frames[-1])}: {frames[-1].line})" if frames else ""
        raise BadData(f"the network of {name} can't be called on samples {shape}: {error}{where}. Mend it.") from error
    network.train(training)
    made = tuple(getattr(logits, "shape", ())) or type(logits).__name__
    if made != (2, domain.classes):
        raise BadData(
            f"the network of {name} makes {made} of samples {shape}; it must make logits {(2, domain.classes)}, one "
            "a class."
        )


def from_function(name: str, settings: dict[str, Any]) -> OwnArchitecture:
    """The architecture that a function of the user's own builds; the function is imported here, to fail early."""
    resolve_function(name)
    return OwnArchitecture(function=name, settings=tuple(settings.items()))


def need_images(architecture: Architecture, domain: Domain, smallest: int = 1) -> tuple[int, int, int]:
    """The domain's (channels, height, width). Raises `BadData` for vectors and for images that are too small."""
    if not domain.is_image:
        raise BadData(
            f"{architecture.variant_name()} reads images; this source has {domain.shape[0]} features a sample. Use mlp."
        )
    channels, height, width = domain.shape
    if min(height, width) < smallest:
        raise BadData(
            f"{architecture.spec} halves {height}x{width} images to nothing; it needs {smallest}x{smallest} or more. "
            "Lower its depth or use another architecture."
        )
    return channels, height, width


def norm_layer(norm: Norm, channels: int, height: int, width: int) -> nn.Module:
    """What normalises a map (channels, height, width), with learned scale and shift.

    `instance` normalises each channel of each sample (Ulyanov et al. 2016) and is written as as many groups as
    channels, `group` four groups (Wu & He 2018), `layer` the whole map with a scale for every entry (Ba et al. 2016),
    `batch` each channel over the mini-batch, with running statistics (Ioffe & Szegedy 2015).
    """
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.LayerNorm([channels, height, width])
        case "instance":
            return nn.GroupNorm(channels, channels)
        case "group":
            return nn.GroupNorm(GROUPS, channels)
        case "none":
            return nn.Identity()


class Halving(nn.AvgPool2d):
    """2x2 average pooling at stride 2, as `nn.AvgPool2d(2)` up to rounding and several times faster on a CPU.

    There torch averages window by window; here two rows of a map of even sides are one vector (2 width,) and pooling is
    its product with a constant matrix (2 width, width / 2), forwards, backwards and twice differentiated.
    """

    def __init__(self) -> None:
        super().__init__(2)
        self.as_product = True

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if not self.as_product or x.device.type != "cpu" or height % 2 or width % 2:
            return super().forward(x)
        rows = x.reshape(*x.shape[:-2], height // 2, 2 * width)
        return rows @ _halving(width, x.dtype)


@cache
def _halving(width: int, dtype: torch.dtype) -> Tensor:
    """(2 width, width / 2): 1/4 where column j of either row goes to column j // 2."""
    one_row = np.kron(np.eye(width // 2), np.ones((2, 1)))
    return torch.from_numpy(0.25 * np.tile(one_row, (2, 1))).to(dtype)


def check_groups(norm: Norm, width: int) -> None:
    """Raise `ValueError`, for pydantic to report, where the channels can't be split into equal groups."""
    if norm == "group" and width % GROUPS:
        raise ValueError(f"norm=group needs a width that {GROUPS} divides, not {width}")


def first_padding(domain: Domain, usual: int) -> int:
    """Zero padding of a first convolution: two pixels more for one-channel 28x28 images, which makes them 32x32.

    The literature's networks are made for 32x32 and take the images of the MNIST family in this way.
    """
    return usual + 2 if domain.shape == (1, 28, 28) else usual
