"""The first block of a ConvNet as one product: the same function, in fewer passes over its largest maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Self
from weakref import ref

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
        self._kept: tuple[ref[Tensor], int, Patches] | None = None

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
            ) if norm.num_groups == first.out_channels >= 3 * first.weight[0].numel():
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
        x = halved_first_map(self._patches(x, first), first, norm)
        for layer in others:
            x = layer(x)
        return x

    def _patches(self, x: Tensor, first: Any) -> Patches:
        """Those of the samples, kept while the same ones come: a set is passed whole at every step of a training."""
        if x.requires_grad:
            return Patches.of(x, first)
        if self._kept is None or self._kept[0]() is not x or self._kept[1] != x._version:
            self._kept = ref(x), x._version, Patches.of(x, first)
        return self._kept[2]


@dataclass(frozen=True)
class Patches:
    """What each place of a convolution reads, with a one below, and the moments of it."""

    values: Tensor  # (n, taps + 1, positions): the four places in a window of 2x2 first, then the windows
    moments: Tensor  # (n, taps + 1, taps + 1)
    sides: tuple[int, int]  # of the halved map

    @classmethod
    def of(cls, x: Tensor, first: Any) -> Patches:
        """Padded images are moved to mean zero: the norm does not see it, and nothing cancels in the moments."""
        (down, right), (tall, wide) = first.padding, first.kernel_size
        padded = functional.pad(x, (right, right, down, down))
        seen = (padded - padded.mean((2, 3), keepdim=True)).unfold(2, tall, 1).unfold(3, wide, 1)
        height, width = seen.shape[2] // 2, seen.shape[3] // 2
        windows = seen.unflatten(3, (width, 2)).unflatten(2, (height, 2))  # (n, channels, i, 2, j, 2, tall, wide)
        windows = windows.permute(0, 1, 6, 7, 3, 5, 2, 4)
        taps = windows.shape[1:4]
        values = x.new_empty(len(x), taps.numel() + 1, 4 * height * width)
        values[:, -1] = 1
        values[:, :-1].unflatten(1, taps).unflatten(4, windows.shape[4:]).copy_(windows)
        return cls(values, values @ values.mT / values.shape[2], (height, width))


def halved_first_map(patches: Patches, first: Any, norm: Any) -> Tensor:
    """Means over 2x2 windows of ReLU(norm(first(x))), (n, channels, height / 2, width / 2)."""
    mean = patches.moments[:, :-1, -1]  # (n, taps)
    covariance = patches.moments[:, :-1, :-1] - mean[:, :, None] * mean[:, None, :]
    weights = first.weight.flatten(1)  # (channels, taps)
    scale = norm.weight * torch.rsqrt((covariance @ weights.T * weights.T).sum(1) + norm.eps)  # (n, channels)
    shift = norm.bias - scale * (mean @ weights.T)
    own = torch.cat([scale[:, :, None] * weights, shift[:, :, None]], 2) / 4  # a mean of four
    return _RectifiedSum.apply(own, patches.values).unflatten(2, patches.sides)


class _RectifiedSum(torch.autograd.Function):
    """sum_q ReLU(W_i P_iq) over the four quarters q of the positions, for every sample i; twice differentiable.

    W (n, channels, taps), P (n, taps, 4 * windows), the result (n, channels, windows).
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor, patches: Tensor) -> Tensor:
        ctx.save_for_backward(weights, patches)
        total = weights.new_empty(*weights.shape[:2], patches.shape[2] // 4)
        for product, into in _products(weights, patches, total):
            _sum_of_quarters(product.relu_(), into)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return _Slopes.apply(slope, *ctx.saved_tensors, *ctx.needs_input_grad)


class _Slopes(torch.autograd.Function):
    """From the slope g (n, channels, windows) of the sum those of W and P: G P^T and W^T G, with G = g where W P > 0.

    One that is not asked for is None.
    """

    @staticmethod
    def forward(ctx: Any, slope: Tensor, weights: Tensor, patches: Tensor, for_weights: bool, for_patches: bool) -> Any:
        ctx.save_for_backward(slope, weights, patches)
        ctx.set_materialize_grads(False)
        of_weights = _turned(weights) if for_weights else None
        of_patches = torch.empty_like(patches) if for_patches else None
        rest = _spread(slope), weights, patches, of_weights, of_patches
        for product, given, w, p, into_weights, into_patches in _products(weights, patches, *rest):
            passed = _where_positive(given, product, product)
            if into_weights is not None:
                torch.bmm(p, passed.mT, out=into_weights)
            if into_patches is not None:
                torch.bmm(w.mT, passed, out=into_patches)
        return None if of_weights is None else of_weights.mT, of_patches

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, along_weights: Tensor | None, along_patches: Tensor | None) -> Any:
        """From slopes A at G P^T and B at W^T G: g's is A P + W B where W P > 0, W's is G B^T, P's is A^T G."""
        slope, weights, patches = ctx.saved_tensors
        needed, first, second = ctx.needs_input_grad[:3], along_weights, along_patches
        of_slope = torch.zeros_like(slope) if needed[0] else None
        of_weights = _turned(weights) if needed[1] and second is not None else None
        of_patches = torch.empty_like(patches) if needed[2] and first is not None else None
        if first is None and second is None:
            return of_slope, None, None, None, None
        rest = _spread(slope), weights, patches, first, second, of_slope, of_weights, of_patches
        for product, given, w, p, a, b, into_slope, into_weights, into_patches in _products(weights, patches, *rest):
            if into_slope is not None:
                parts = [] if a is None else [a @ p]
                parts += [] if b is None else [w @ b]
                pulled = parts[0] if len(parts) == 1 else parts[0].add_(parts[1])
                _sum_of_quarters(_where_positive(pulled, product, pulled), into_slope)
            passed = _where_positive(given, product, product)
            if into_weights is not None:
                torch.bmm(b, passed.mT, out=into_weights)
            if into_patches is not None:
                torch.bmm(a.mT, passed, out=into_patches)
        return of_slope, None if of_weights is None else of_weights.mT, of_patches, None, None


def _products(weights: Tensor, patches: Tensor, *others: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """For a few samples after the other their products W_i P_i, made in one piece of memory, and their parts of others.

    All are split beforehand: cutting a piece out of every tensor for its own takes as long as what is done with it.
    """
    size = max(1, CHUNK // (weights.shape[1] * patches.shape[2]))
    room = weights.new_empty(min(size, len(weights)), weights.shape[1], patches.shape[2])
    split = [repeat(None) if each is None else each.split(size) for each in others]
    for w, p, *parts in zip(weights.split(size), patches.split(size), *split, strict=False):
        yield torch.bmm(w, p, out=room[: len(w)]), *parts


def _turned(weights: Tensor) -> Tensor:
    """Room for slopes of the weights, their last dimensions turned: P G^T takes half as long as G P^T."""
    return weights.new_empty(len(weights), weights.shape[2], weights.shape[1])


def _sum_of_quarters(values: Tensor, out: Tensor) -> None:
    """(n, channels, 4 * windows) to (n, channels, windows); three sums are quicker than one along a dimension."""
    first, second, third, fourth = values.unflatten(2, (4, -1)).unbind(2)
    torch.add(first, second, out=out).add_(third).add_(fourth)


def _spread(slope: Tensor) -> Tensor:
    """What each of the four quarters is given, (n, channels, windows) as (n, channels, 4, windows)."""
    return slope[:, :, None].expand(-1, -1, 4, -1)


def _where_positive(slope: Tensor, sign: Tensor, out: Tensor) -> Tensor:
    """`slope` where `sign` is positive and else zero, written to `out`, which may be either."""
    quarters = (2, (4, -1))
    slope = slope if slope.dim() == 4 else slope.unflatten(*quarters)
    into = out.unflatten(*quarters)
    torch.ops.aten.threshold_backward.grad_input(slope, sign.unflatten(*quarters), 0, grad_input=into)
    return out
