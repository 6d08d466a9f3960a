"""Random flip and crop."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation, Transform, mirrored, random_moves, translated
from limbeck.samples import Domain


class FlipCrop(Augmentation):
    """Each image is mirrored with probability 1/2 and moved by whole pixels, zeros coming in.

    The standard training views of small images (He et al. 2016): pad by `reach` of each side (4 pixels of 32) and
    crop at random, which is a move by up to that many pixels. `flip=auto` leaves the mirror out where a mirrored image
    is another class. With `count=1` one draw serves every image of every batch.
    """

    reach: float = Field(0.125, ge=0, le=1)
    flip: Literal["auto", "yes", "no"] = "auto"

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw moves and mirrors for `count` images from `generator`. Raises `NotApplicable` for vectors."""
        self.check(domain)
        _, height, width = domain.shape
        down, right = (random_moves(count, side, self.reach, generator) for side in (height, width))
        flips = domain.mirror if self.flip == "auto" else self.flip == "yes"
        turned = (torch.rand(count, generator=generator) < 0.5) & flips

        def views(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            moved = translated(x, down, right)
            return (mirrored(moved, turned) if flips else moved), y

        return views
