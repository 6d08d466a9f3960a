"""Augmentations: random views of samples, drawn apart from their application so that two batches can share a draw."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
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
                "Use the augmentation 'none'."
            )
