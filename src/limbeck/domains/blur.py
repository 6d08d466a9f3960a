"""Images out of focus."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.domains import ImageShift, with_inputs
from limbeck.samples import Domain, Samples


class Blur(ImageShift):
    """Each channel convolved with a normal density of standard deviation `sd` pixels, cut at 3 sd, borders repeated."""

    sd: float = Field(1.0, gt=0)

    def apply(self, samples: Samples, domain: Domain) -> Samples:
        self.check(domain)
        reach = max(1, math.ceil(3 * self.sd))
        places = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = torch.exp(-(places**2) / (2 * self.sd**2))
        weights = (weights / weights.sum()).to(samples.x)
        return with_inputs(samples, _along(_along(samples.x, weights, 2), weights, 3))


def _along(x: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Convolve images (n, channels, height, width) with weights (2 reach + 1,) along one side."""
    reach = len(weights) // 2
    kernel = weights.view(-1, 1) if dim == 2 else weights.view(1, -1)
    # replicate padding may not exceed the image, so a wide blur of a small image repeats the border row by row
    index = torch.arange(-reach, x.shape[dim] + reach).clamp(0, x.shape[dim] - 1)
    padded = x.index_select(dim, index.to(x.device))
    channels = x.shape[1]
    return functional.conv2d(padded, kernel.expand(channels, 1, *kernel.shape), groups=channels)
