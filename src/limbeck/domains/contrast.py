"""Images of another contrast and brightness."""

from __future__ import annotations

from pydantic import Field

from limbeck.domains import ImageShift, with_inputs
from limbeck.samples import Domain, Samples


class Contrast(ImageShift):
    """m + factor (x - m) + brightness, with m the mean of the image; in units of the prepared samples."""

    factor: float = Field(0.5, gt=0)
    brightness: float = 0.0

    def apply(self, samples: Samples, domain: Domain) -> Samples:
        self.check(domain)
        mean = samples.x.mean((1, 2, 3), keepdim=True)
        return with_inputs(samples, mean + self.factor * (samples.x - mean) + self.brightness)
