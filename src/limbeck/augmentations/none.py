"""No augmentation."""

from __future__ import annotations

import torch

from limbeck.augmentations import Augmentation, Transform
from limbeck.samples import Domain


class NoAugmentation(Augmentation):
    """Samples as they are."""

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        return lambda x, y: (x, y)

    def check(self, domain: Domain) -> None:
        return
