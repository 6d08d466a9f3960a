"""Noise on the inputs."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation, Transform
from limbeck.samples import Domain


class Noise(Augmentation):
    """x' = x + sd z, z ~ N(0, I), drawn anew for every view; images or vectors.

    `sd` is in units of the prepared samples, whose standard deviation is near 1 a channel where they are standardised.
    In the mean over views it is, to second order in sd, a penalty on the slope of the network (Bishop 1995).
    """

    sd: float = Field(0.1, gt=0)

    def check(self, domain: Domain) -> None:
        """Any samples can be noisy."""

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw noise for `count` samples from `generator`."""
        noise = self.sd * torch.randn(count, *domain.shape, generator=generator)

        def views(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x + noise.to(x), y

        return views
