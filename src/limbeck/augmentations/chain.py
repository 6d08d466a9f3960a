"""Several augmentations, one after another."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation, Transform
from limbeck.samples import Domain
from limbeck.variants import make


class Chain(Augmentation):
    """The views of each augmentation in turn, all drawn anew: `chain(of=[siamese, cutmix])`.

    So are sets judged by Kim et al. (ICML 2022) and those who follow them: siamese views without cutout, then CutMix.
    """

    of: tuple[str, ...] = Field(("siamese", "cutmix"), min_length=1)

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw from every part, in order. Raises `NotApplicable` where the domain has no such views."""
        draws = [part.draw(count, domain, generator) for part in self._parts()]

        def views(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            for draw in draws:
                x, y = draw(x, y)
            return x, y

        return views

    def check(self, domain: Domain) -> None:
        for part in self._parts():
            part.check(domain)

    def _parts(self) -> list[Augmentation]:
        return [make("augmentations", text) for text in self.of]
