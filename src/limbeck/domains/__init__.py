"""Evaluation domains: what a network that was trained under a configuration is tested on.

A distribution shift is part of the configuration: its gap is that of training on the set against training on the full
data, both tested on shifted samples. Training never sees the domain.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from limbeck.errors import NotApplicable
from limbeck.samples import Domain, Samples
from limbeck.variants import Variant


class EvaluationDomain(Variant):
    """Settings of a shift of held-out samples, as prepared for the network; the same samples every time."""

    @abstractmethod
    def apply(self, samples: Samples, domain: Domain) -> Samples:
        """The held-out samples as this domain shows them."""

    def shown(self, samples: Samples, domain: Domain) -> Samples:
        """Every one of the samples as this domain shows it, none left out: what predictions are compared on."""
        return self.apply(samples, domain)

    def check(self, domain: Domain) -> None:
        """Raise `NotApplicable` where the domain's samples can't be shifted in this way."""


class ImageShift(EvaluationDomain):
    """A shift of images only."""

    def check(self, domain: Domain) -> None:
        if not domain.is_image:
            raise NotApplicable(
                f"{self.variant_name()} shifts images; this source has {domain.shape[0]} features a sample. "
                "Use gaussian-noise or imbalance, or leave the domain out."
            )


def with_inputs(samples: Samples, x: Tensor) -> Samples:
    """The same labels with other inputs, (n, *shape)."""
    return Samples(x, samples.y, samples.group)
