"""CutMix."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation, Transform, beta_quantiles, drawn_partners
from limbeck.samples import Domain


class CutMix(Augmentation):
    """A rectangle of each image is replaced by that of another, and the labels are mixed by area.

    x'_i = x_i outside a rectangle and x_j inside; y'_i = (1 - r) y_i + r y_j, with r the fraction of pixels that lie
    in the rectangle. Its sides are sqrt(1 - l) of the image's, l ~ Beta(beta, beta), its centre is uniform, and the
    border clips it (Yun et al. 2019). An image is mixed with the given `probability`.

    With `count=n` each image draws its own rectangle and the partners j are a random permutation; Yun et al. draw one
    rectangle a batch, which has the same expectation and more noise. With `count=1` all images share one rectangle,
    and i is mixed with the sample a random number of places further, in whatever batch the transform is given.
    """

    beta: float = Field(1.0, gt=0)
    probability: float = Field(0.5, ge=0, le=1)

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw rectangles and partners for `count` images from `generator`. Raises `NotApplicable` for vectors."""
        self.check(domain)
        inside = self._rectangles(count, domain, generator)  # (count, 1, height, width)
        fraction = inside.double().mean((2, 3))  # (count, 1)
        partners = drawn_partners(count, generator)

        def views(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            partner = partners(len(x)).to(x.device)
            part = fraction.to(y)
            return torch.where(inside.to(x.device), x[partner], x), y + part * (y[partner] - y)

        return views

    def _rectangles(self, count: int, domain: Domain, generator: torch.Generator) -> Tensor:
        """Masks (count, 1, height, width), all false where an image is not mixed."""
        u = torch.rand(4, count, generator=generator, dtype=torch.float64)
        kept = beta_quantiles(u[0], self.beta)  # l
        mixed = u[1] < self.probability
        bands = []
        for side, place in zip(domain.shape[1:], u[2:], strict=True):
            half = (1 - kept).sqrt() * side / 2
            centre = place * side
            pixel = torch.arange(side) + 0.5
            bands.append((pixel - centre[:, None]).abs() < half[:, None])  # (count, side)
        return (bands[0][:, None, :, None] & bands[1][:, None, None, :]) & mixed[:, None, None, None]
