"""Mixup."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation, Transform, beta_quantiles, drawn_partners
from limbeck.samples import Domain


class Mixup(Augmentation):
    """Samples and their labels are mixed in pairs: x'_i = l x_i + (1 - l) x_j, y'_i = l y_i + (1 - l) y_j.

    l ~ Beta(alpha, alpha) (Zhang et al. 2018); images or vectors. With `count=n` each sample draws its own l and the
    partners j are a random permutation; Zhang et al. draw one l a batch, which has the same expectation and more noise.
    With `count=1` all samples share one l, and i is mixed with the sample a random number of places further.
    """

    alpha: float = Field(0.2, gt=0)

    def check(self, domain: Domain) -> None:
        """Any samples can be mixed."""

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw shares and partners for `count` samples from `generator`."""
        kept = beta_quantiles(torch.rand(count, generator=generator, dtype=torch.float64), self.alpha)  # (count,)
        partners = drawn_partners(count, generator)

        def views(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            partner = partners(len(x)).to(x.device)
            return _mixed(x, x[partner], kept), _mixed(y, y[partner], kept)

        return views


def _mixed(own: Tensor, other: Tensor, kept: Tensor) -> Tensor:
    """l own + (1 - l) other, with l (n,) or (1,) along the first dimension."""
    return other + kept.to(own).view(-1, *[1] * (own.ndim - 1)) * (own - other)
