"""The first block of a ConvNet as one product: the same function, in fewer passes over its largest maps."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from limbeck.architectures import Halving

WORTH = 2**18  # numbers in the block's map from which fewer passes make up for more calls
CHUNK = 2**17  # numbers of the map that are made at a time: with what is made of them they stay in a second-level cache


class FirstBlock(nn.Module):
    """A network of [convolution -> instance norm -> ReLU -> 2x2 mean -> ...], its first four layers taken at once.

    On images of few channels the first map is the largest thing that a network makes and costs little to compute: it is
    bound by the passes over memory. A convolution is a product of patches P (channels * 9, positions) with weights W,
    so the mean over positions of a channel w is w m, m the mean patch, and its variance w C w^T, C the patches'
    covariance. Instance norm with scale s and shift b is then known before the map is: with centred patches,

        norm(W P) = [s W / sqrt(w C w^T + eps), b] [P - m, 1]^T,

    one product a sample, of which each piece is rectified and averaged while it is in a cache, and made again on the
    way back. The convolution's bias, which the norm takes away, has a slope of exactly zero. Layers and parameters are
    those of the network itself, under its names.
    """

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        for name, layer in network.named_children():
            self.add_module(name, layer)

    @classmethod
    def of(cls, network: nn.Module) -> Self | None:
        """The same network, or None where it does not begin with such a block."""
        if type(network) is not nn.Sequential or len(network) < 4:
            return None
        match tuple(network)[:4]:
            case (
                nn.Conv2d(stride=(1, 1), dilation=(1, 1), groups=1, padding_mode="zeros", padding=tuple()) as first,
                nn.GroupNorm(affine=True) as norm,
                nn.ReLU(),
                Halving(),
            ) if norm.num_groups == first.out_channels >= 3 * _taps(first):
                return cls(network)
        return None

    def pays(self, x: Tensor) -> bool:
        """Whether it is quicker than layer by layer: on a CPU, for several samples, where the map is large."""
        if x.device.type != "cpu" or x.dim() != 4 or len(x) == 1:
            return False
        first: Any = next(self.children())
        window = zip(x.shape[2:], first.padding, first.kernel_size, strict=True)
        height, width = (side + 2 * border - size + 1 for side, border, size in window)
        return height % 2 == width % 2 == 0 and len(x) * first.out_channels * height * width >= WORTH

    def forward(self, x: Tensor) -> Tensor:
        first, norm, _, _, *others = self.children()
        x = halved_first_map(x, first, norm)
        for layer in others:
            x = layer(x)
        return x


def halved_first_map(x: Tensor, first: Any, norm: Any) -> Tensor:
    """Means over 2x2 windows of ReLU(norm(first(x))), (n, channels, height / 2, width / 2)."""
    patches, (height, width) = _patches(x, first)  # (n, taps, positions)
    patches = functional.pad(patches, (0, 0, 0, 1), value=1.0)
    moments = patches @ patches.mT / patches.shape[2]  # (n, taps + 1, taps + 1)
    mean = moments[:, :-1, -1]  # (n, taps)
    covariance = moments[:, :-1, :-1] - mean[:, :, None] * mean[:, None, :]
    weights = first.weight.flatten(1)  # (channels, taps)
    scale = norm.weight * torch.rsqrt((covariance @ weights.T * weights.T).sum(1) + norm.eps)  # (n, channels)
    shift = norm.bias - scale * (mean @ weights.T)
    own = torch.cat([scale[:, :, None] * weights, shift[:, :, None]], 2) / 4  # a mean of four
    return _RectifiedSum.apply(own, patches).unflatten(2, (height, width))


def _taps(first: nn.Conv2d) -> int:
    return first.weight[0].numel()


def _patches(x: Tensor, first: Any) -> tuple[Tensor, tuple[int, int]]:
    """What each place of the convolution reads (n, taps, positions), and the sides of the halved map.

    Positions run over the four places in a window of 2x2 first, then over the windows. Each padded image is moved to
    mean zero, which the norm does not see and which keeps the moments of its patches free of cancellation.
    """
    (down, right), (tall, wide) = first.padding, first.kernel_size
    padded = functional.pad(x, (right, right, down, down))
    seen = (padded - padded.mean((2, 3), keepdim=True)).unfold(2, tall, 1).unfold(3, wide, 1)
    height, width = seen.shape[2] // 2, seen.shape[3] // 2
    windows = seen.unflatten(3, (width, 2)).unflatten(2, (height, 2))  # (n, channels, i, 2, j, 2, tall, wide)
    return windows.permute(0, 1, 6, 7, 3, 5, 2, 4).flatten(4).flatten(1, 3), (height, width)


class _RectifiedSum(torch.autograd.Function):
    """sum_q ReLU(W_i P_iq) over the four quarters q of the positions, for every sample i; twice differentiable.

    W (n, channels, taps), P (n, taps, 4 * windows), the result (n, channels, windows).
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, patches: Tensor) -> Tensor:
        ctx.save_for_backward(weights, patches)
        total = weights.new_empty(*weights.shape[:2], patches.shape[2] // 4)
        for own, product in _products(weights, patches):
            torch.sum(product.relu_().unflatten(2, (4, -1)), 2, out=total[own])
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weights, patches = ctx.saved_tensors
        spread = slope[:, :, None].expand(-1, -1, 4, -1)
        for_weights, for_patches = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a graph is asked for: all at once, of operations that have one
            sign = (weights.detach() @ patches.detach()).unflatten(2, (4, -1))
            passed = torch.ops.aten.threshold_backward(spread, sign, 0).flatten(2)
            return (
                passed @ patches.mT if for_weights else None,
                weights.mT @ passed if for_patches else None,
            )
        of_weights = torch.empty_like(weights) if for_weights else None
        of_patches = torch.empty_like(patches) if for_patches else None
        room = None
        for own, product in _products(weights, patches):
            sign = product.unflatten(2, (4, -1))
            room = torch.empty_like(sign) if room is None else room
            passed = room[: len(sign)]
            torch.ops.aten.threshold_backward.grad_input(spread[own], sign, 0, grad_input=passed)
            if of_weights is not None:
                torch.bmm(passed.flatten(2), patches[own].mT, out=of_weights[own])
            if of_patches is not None:
                torch.bmm(weights[own].mT, passed.flatten(2), out=of_patches[own])
        return of_weights, of_patches


def _products(weights: Tensor, patches: Tensor) -> Any:
    """Slices of the samples and their products W_i P_i, in one piece of memory."""
    size = max(1, CHUNK // (weights.shape[1] * patches.shape[2]))
    room = weights.new_empty(min(size, len(weights)), weights.shape[1], patches.shape[2])
    for start in range(0, len(weights), size):
        own = slice(start, start + size)
        yield own, torch.bmm(weights[own], patches[own], out=room[: len(weights[own])])
