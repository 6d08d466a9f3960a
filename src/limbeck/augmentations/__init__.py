"""Augmentations: random views of samples, drawn apart from their application so that two batches can share a draw."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from scipy.special import betaincinv
from torch import Tensor

from limbeck.errors import NotApplicable
from limbeck.samples import Domain
from limbeck.variants import Variant

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(n, *shape) samples and (n, classes) soft labels to the same, differentiably in both."""


class Augmentation(Variant):
    """Settings of a random view."""

    @abstractmethod
    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw random parameters for `count` samples; the result applies them.

        With `count=1` one set of parameters serves every sample of whatever batch the transform is given, which makes
        the views of two batches siamese (Zhao & Bilen 2021). All numbers are drawn on the CPU from `generator`.
        """

    def check(self, domain: Domain) -> None:
        """Raise `NotApplicable` where the domain has no such views."""
        if not domain.is_image:
            raise NotApplicable(
                f"{self.variant_name()} is a view of images; this source has vectors of {domain.shape[0]} features. "
                "Use mixup, noise or none."
            )


def translated(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move images (n, channels, height, width) by whole pixels, zeros coming in: out[i, j] = x[i - down, j - right].

    `down` and `right` (count,) int64 lie on the CPU; `count` is 1, one move for all images, or n.
    """
    height, width = x.shape[-2:]
    reach = int(torch.stack([down.abs().max(), right.abs().max()]).max())
    padded = torch.nn.functional.pad(x, (reach,) * 4)
    if len(down) == 1:
        top, left = reach - int(down), reach - int(right)
        return padded[..., top : top + height, left : left + width]
    rows = torch.arange(height) + reach - down[:, None]  # (n, height)
    columns = torch.arange(width) + reach - right[:, None]  # (n, width)
    index = (rows[:, :, None] * (width + 2 * reach) + columns[:, None, :]).flatten(1).to(x.device)
    # one gather over the flattened map is three times faster than indexing with rows and columns
    index = index[:, None].expand(-1, x.shape[1], -1)
    return padded.flatten(2).gather(2, index).unflatten(2, (height, width))


def mirrored(x: Tensor, chosen: Tensor) -> Tensor:
    """Turn the chosen images (n, channels, height, width) left to right; `chosen` (1,) or (n,) bool on the CPU."""
    if len(chosen) == 1:
        return x.flip(-1) if bool(chosen) else x
    return torch.where(chosen.to(x.device)[:, None, None, None], x.flip(-1), x)


def drawn_partners(count: int, generator: torch.Generator) -> Callable[[int], Tensor]:
    """With whom each sample is mixed: from the length of a batch to places (length,) int64 in it.

    A random permutation of `count` samples; with `count=1` the sample a random number of places further, in a batch of
    any length.
    """
    turn = torch.rand((), generator=generator, dtype=torch.float64)
    order = torch.randperm(count, generator=generator)

    def partners(length: int) -> Tensor:
        if count > 1:
            return order
        return (torch.arange(length) + 1 + int(turn * (length - 1))) % length

    return partners


def beta_quantiles(u: Tensor, shape: float) -> Tensor:
    """The quantiles of Beta(shape, shape) at probabilities u, of u's shape: how uniform draws become shares."""
    return torch.from_numpy(betaincinv(shape, shape, u.numpy()))


def rounded(pixels: float) -> int:
    """The nearest whole number of pixels; halves go up, as in the published code and unlike Python's `round`."""
    return math.floor(pixels + 0.5)


def random_moves(count: int, side: int, fraction: float, generator: torch.Generator) -> Tensor:
    """Moves (count,) int64, uniform on the whole pixels up to a fraction of the side either way."""
    reach = rounded(fraction * side)
    return torch.randint(-reach, reach + 1, (count,), generator=generator)
