"""Noise on the inputs."""

from __future__ import annotations

import torch
from pydantic import Field

from limbeck.domains import EvaluationDomain, with_inputs
from limbeck.samples import Domain, Samples
from limbeck.streams import stream


class GaussianNoise(EvaluationDomain):
    """x + sd z with z ~ N(0, I), one fixed draw for each sample; sd in units of the prepared samples.

    Standardised samples have a standard deviation near 1 a channel, so sd is about the noise-to-signal ratio.
    """

    sd: float = Field(0.5, gt=0)
    seed: int = 0

    def apply(self, samples: Samples, domain: Domain) -> Samples:
        noise = torch.randn(samples.x.shape, generator=stream(self.seed, "domain noise"))
        return with_inputs(samples, samples.x + self.sd * noise.to(samples.x))
