"""Images that are not in the middle."""

from __future__ import annotations

import torch
from pydantic import Field

from limbeck.domains import ImageShift, with_inputs
from limbeck.errors import NotApplicable
from limbeck.samples import Domain, Samples


class Shift(ImageShift):
    """Images moved by whole pixels, down and right where positive; what comes in repeats the border."""

    right: int = Field(1)
    down: int = Field(0)

    def check(self, domain: Domain) -> None:
        super().check(domain)
        if abs(self.down) >= domain.shape[1] or abs(self.right) >= domain.shape[2]:
            raise NotApplicable(f"{self.spec} moves images of {domain.shape[1]}x{domain.shape[2]} out of sight.")

    def apply(self, samples: Samples, domain: Domain) -> Samples:
        self.check(domain)
        x = samples.x
        for dim, move in ((2, self.down), (3, self.right)):
            index = (torch.arange(x.shape[dim]) - move).clamp(0, x.shape[dim] - 1)
            x = x.index_select(dim, index.to(x.device))
        return with_inputs(samples, x)
