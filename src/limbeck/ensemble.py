"""Many networks of one structure as one: their layers side by side, in one call each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from limbeck.architectures import ACTIVATIONS, Halving

Named = Mapping[str, Tensor]
"""Parameters or buffers by name, each with a leading dimension of networks."""
Layer = Callable[[Tensor, Named, Named, bool], Tensor]
"""What a layer makes of maps (n, networks * channels, height, width) or vectors (networks, n, features)."""

ELEMENTWISE = (nn.Identity, *(type(make()) for make in ACTIVATIONS.values()))
POOLINGS = (Halving, nn.AvgPool2d, nn.MaxPool2d)


class Ensemble:
    """Several networks of one `nn.Sequential` as a function of their stacked parameters.

    Maps of all networks are the channels of one map: a convolution is one with as many groups as networks (with one
    group where all read the same images), an instance norm is one with more channels. Linear layers are one batched
    matrix product. This is what `torch.func.vmap` of the network computes, up to rounding, at a fraction of its calls.
    """

    def __init__(self, layers: list[Layer], flat: bool) -> None:
        self._layers = layers
        self._flat = flat  # whether images are read as vectors

    @classmethod
    def of(cls, module: nn.Module) -> Ensemble | None:
        """The ensemble of a network, or None where a layer is not known here."""
        if type(module) is not nn.Sequential:
            return None
        layers = [_layer(name, layer) for name, layer in module.named_children()]
        known = [layer for layer in layers if layer]
        return cls(known, isinstance(module[0], nn.Flatten)) if len(known) == len(layers) else None

    def logits(self, parameters: Named, buffers: Named, x: Tensor, shared: bool, training: bool = False) -> Tensor:
        """Logits (networks, n, classes) on samples (n, *shape) that all share, or (networks, n, *shape).

        In training mode, running statistics in `buffers` are updated in place.
        """
        networks = len(next(iter(parameters.values())))
        if self._flat:
            x = x.flatten(1 if shared else 2)
        if x.dim() >= 4:
            x = x if shared else x.transpose(0, 1).flatten(1, 2)
        elif shared:
            x = x.expand(networks, *x.shape)
        for layer in self._layers:
            x = layer(x, parameters, buffers, training)
        return x


def _layer(name: str, layer: nn.Module) -> Layer | None:
    match layer:
        case nn.Conv2d(groups=1, padding_mode="zeros", bias=Tensor()):
            return _convolution(name, layer)
        case nn.GroupNorm(affine=True):
            return _group_norm(name, layer)
        case nn.BatchNorm2d(affine=True, track_running_stats=True, momentum=float()):
            return _batch_norm(name, layer)
        case nn.Linear(bias=Tensor()):
            return _linear(name)
        case nn.Flatten(start_dim=1, end_dim=-1):
            return _flatten
        case _ if type(layer) in ELEMENTWISE or type(layer) in POOLINGS:
            return lambda x, parameters, buffers, training: layer(x)
    return None


def _convolution(name: str, layer: nn.Conv2d) -> Layer:
    def apply(x: Tensor, parameters: Named, buffers: Named, training: bool) -> Tensor:
        weight, bias = (parameters[f"{name}.{part}"].flatten(0, 1) for part in ("weight", "bias"))
        groups = x.shape[1] // layer.in_channels  # 1 where all networks read the same images
        return functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, groups)

    return apply


def _group_norm(name: str, layer: nn.GroupNorm) -> Layer:
    def apply(x: Tensor, parameters: Named, buffers: Named, training: bool) -> Tensor:
        weight, bias = (parameters[f"{name}.{part}"] for part in ("weight", "bias"))
        groups = layer.num_groups * len(weight)
        return functional.group_norm(x, groups, weight.flatten(), bias.flatten(), layer.eps)

    return apply


def _batch_norm(name: str, layer: nn.BatchNorm2d) -> Layer:
    def apply(x: Tensor, parameters: Named, buffers: Named, training: bool) -> Tensor:
        weight, bias = (parameters[f"{name}.{part}"].flatten() for part in ("weight", "bias"))
        mean, variance = (buffers[f"{name}.running_{part}"].view(-1) for part in ("mean", "var"))
        if training:
            buffers[f"{name}.num_batches_tracked"].add_(1)
        return functional.batch_norm(x, mean, variance, weight, bias, training, layer.momentum or 0.0, layer.eps)

    return apply


def _linear(name: str) -> Layer:
    def apply(x: Tensor, parameters: Named, buffers: Named, training: bool) -> Tensor:
        weight, bias = (parameters[f"{name}.{part}"] for part in ("weight", "bias"))
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))

    return apply


def _flatten(x: Tensor, parameters: Named, buffers: Named, training: bool) -> Tensor:
    """Maps (n, networks * channels, height, width) to vectors (networks, n, features); vectors as they are."""
    if x.dim() == 3:
        return x
    networks = len(next(iter(parameters.values())))
    return x.view(len(x), networks, -1).transpose(0, 1)
