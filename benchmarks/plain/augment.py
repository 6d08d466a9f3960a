"""Siamese augmentation image by image: sampling matrices are built from Python lists, one image at a time.

Every operation draws for each image; with `siamese` all images take what the first one drew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")


def uniform(x: Tensor, siamese: bool, *shape: int) -> Tensor:
    """Numbers in [0, 1), one row an image, from torch's global generator."""
    drawn = torch.rand(len(x), *shape, device=x.device, dtype=x.dtype)
    if siamese:
        drawn[:] = drawn[0].clone()
    return drawn


def augment(x: Tensor, siamese: bool, seed: int = -1, operations: tuple[str, ...] = OPERATIONS) -> Tensor:
    """One random operation, on all images. `seed` >= 0 repeats a draw, which makes two batches siamese."""
    if seed >= 0:
        torch.manual_seed(seed)
    chosen = operations[int(torch.randint(len(operations), ()))]
    for view in VIEWS[chosen]:
        x = view(x, siamese)
    return x.contiguous()


def brightness(x: Tensor, siamese: bool) -> Tensor:
    return x + (uniform(x, siamese, 1, 1, 1) - 0.5)


def saturation(x: Tensor, siamese: bool) -> Tensor:
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) * (uniform(x, siamese, 1, 1, 1) * 2) + mean


def contrast(x: Tensor, siamese: bool) -> Tensor:
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return (x - mean) * (uniform(x, siamese, 1, 1, 1) + 0.5) + mean


def flip(x: Tensor, siamese: bool) -> Tensor:
    return torch.where(uniform(x, siamese, 1, 1, 1) < 0.5, x.flip(3), x)


def scale(x: Tensor, siamese: bool, ratio: float = 1.2) -> Tensor:
    across = uniform(x, siamese) * (ratio - 1 / ratio) + 1 / ratio
    down = uniform(x, siamese) * (ratio - 1 / ratio) + 1 / ratio
    return resampled(x, [[[across[i], 0, 0], [0, down[i], 0]] for i in range(len(x))])


def rotate(x: Tensor, siamese: bool, degrees: float = 15.0) -> Tensor:
    angle = (uniform(x, siamese) - 0.5) * 2 * degrees / 180 * math.pi
    rows = [
        [[torch.cos(angle[i]), -torch.sin(angle[i]), 0], [torch.sin(angle[i]), torch.cos(angle[i]), 0]]
        for i in range(len(x))
    ]
    return resampled(x, rows)


def resampled(x: Tensor, matrices: list[list[list[Any]]]) -> Tensor:
    theta = torch.tensor(matrices, dtype=x.dtype, device=x.device)
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def crop(x: Tensor, siamese: bool, ratio: float = 0.125) -> Tensor:
    height, width = x.shape[2:]
    down, across = (int(side * ratio + 0.5) for side in (height, width))
    moves = [
        torch.floor(uniform(x, siamese, 1, 1) * (2 * reach + 1)).long() - reach for reach in (down, across)
    ]  # each (n, 1, 1)
    image, row, column = torch.meshgrid(*(torch.arange(side) for side in (len(x), height, width)), indexing="ij")
    row = torch.clamp(row + moves[0] + 1, 0, height + 1)
    column = torch.clamp(column + moves[1] + 1, 0, width + 1)
    return F.pad(x, [1, 1, 1, 1]).permute(0, 2, 3, 1)[image, row, column].permute(0, 3, 1, 2)


def cutout(x: Tensor, siamese: bool, ratio: float = 0.5) -> Tensor:
    height, width = x.shape[2:]
    size = int(height * ratio + 0.5), int(width * ratio + 0.5)
    image, row, column = torch.meshgrid(torch.arange(len(x)), *(torch.arange(part) for part in size), indexing="ij")
    places = [row, column]
    for axis, side in enumerate((height, width)):
        offset = torch.floor(uniform(x, siamese, 1, 1) * (side + (1 - size[axis] % 2))).long()
        places[axis] = torch.clamp(places[axis] + offset - size[axis] // 2, 0, side - 1)
    mask = torch.ones(len(x), height, width, dtype=x.dtype)
    mask[image, places[0], places[1]] = 0
    return x * mask.unsqueeze(1)


VIEWS: dict[str, tuple[Callable[[Tensor, bool], Tensor], ...]] = {
    "color": (brightness, saturation, contrast),
    "crop": (crop,),
    "cutout": (cutout,),
    "flip": (flip,),
    "scale": (scale,),
    "rotate": (rotate,),
}
