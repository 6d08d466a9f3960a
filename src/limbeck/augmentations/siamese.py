"""Differentiable siamese augmentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.augmentations import Augmentation, Transform, mirrored, random_moves, rounded, translated
from limbeck.errors import NotApplicable
from limbeck.samples import Domain

Operation = Literal["color", "crop", "cutout", "flip", "scale", "rotate"]
View = Callable[[Tensor], Tensor]

# The published ranges (Zhao & Bilen 2021).
CROP = 0.125  # furthest move, as a fraction of the side
CUTOUT = 0.5  # side of the square, as a fraction of the side
SCALE = 1.2  # largest factor; the smallest is its inverse
ROTATION_DEGREES = 15.0


class Siamese(Augmentation):
    """Differentiable siamese augmentation (DSA): one operation a draw, its parameters shared by batches on demand.

    Each draw takes one of `operations` at random (the paper's mode S) and, with u ~ U[0, 1) anew each time,

    - color: x + (u - 1/2), then m + 2u (x - m) with m the mean over channels (no change to one channel), then
      m + (u + 1/2)(x - m) with m the mean of the image;
    - crop: a move by up to 12.5 % of each side in whole pixels, zeros coming in;
    - cutout: a square of half the side, its centre anywhere in the image, set to zero;
    - flip: left to right with probability 1/2; `flip=auto` leaves it out where a mirrored image is another class;
    - scale: rows and columns by factors from U[1/1.2, 1.2], bilinear;
    - rotate: by U[-15, 15] degrees, bilinear.

    Images are in normalised units, where zero is the mean of the data. With `count=1` one set of parameters serves
    every image of every batch given to the transform (matching); with `count=n` each image has its own (training).

    Source: Zhao & Bilen, "Dataset condensation with differentiable siamese augmentation", ICML 2021. Trajectory
    matching (Cazenavette et al. 2022) samples with `align_corners=true`. Images that are not square are rotated
    without shear, which the published code does not do.
    """

    operations: tuple[Operation, ...] = Field(("color", "crop", "cutout", "flip", "scale", "rotate"), min_length=1)
    flip: Literal["auto", "yes", "no"] = "auto"
    align_corners: bool = False

    def draw(self, count: int, domain: Domain, generator: torch.Generator) -> Transform:
        """Draw an operation, and its parameters for `count` images, from `generator`.

        Raises `NotApplicable` for vectors, and where the domain leaves no operation.
        """
        self.check(domain)
        operations = self._operations(domain)
        operation = operations[int(torch.randint(len(operations), (1,), generator=generator))]
        _, height, width = domain.shape
        match operation:
            case "color":
                view = _color(torch.rand(3, count, generator=generator))
            case "crop":
                down, right = (random_moves(count, side, CROP, generator) for side in (height, width))
                view = partial(translated, down=down, right=right)
            case "cutout":
                view = _cutout(count, height, width, generator)
            case "flip":
                view = partial(mirrored, chosen=torch.rand(count, generator=generator) < 0.5)
            case "scale":
                factors = 1 / SCALE + (SCALE - 1 / SCALE) * torch.rand(2, count, generator=generator)
                view = _linear_map(_scaling(*factors), self.align_corners)
            case "rotate":
                degrees = ROTATION_DEGREES * (2 * torch.rand(count, generator=generator) - 1)
                border = int(self.align_corners)  # [-1, 1] spans the outermost centres, one pixel less than the image
                aspect = (height - border) / (width - border)
                view = _linear_map(_rotation(degrees, aspect), self.align_corners)
        return lambda x, y: (view(x), y)

    def check(self, domain: Domain) -> None:
        super().check(domain)
        if not self._operations(domain):
            raise NotApplicable(
                "siamese has only flip to draw from, and mirrored images of this source change their class. "
                "Add operations, or write flip=yes."
            )

    def _operations(self, domain: Domain) -> tuple[Operation, ...]:
        flips = domain.mirror if self.flip == "auto" else self.flip == "yes"
        return tuple(operation for operation in self.operations if flips or operation != "flip")


def _color(u: Tensor) -> View:
    """Brightness, saturation, contrast; u (3, count)."""

    def view(x: Tensor) -> Tensor:
        brightness, saturation, contrast = u.to(x)[..., None, None, None]  # each (count, 1, 1, 1)
        x = x + (brightness - 0.5)
        if x.shape[1] > 1:
            x = torch.lerp(x.mean(1, keepdim=True), x, 2 * saturation)
        return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, contrast + 0.5)

    return view


def _cutout(count: int, height: int, width: int, generator: torch.Generator) -> View:
    """A rectangle of zeros, drawn by its centre and clipped by the border."""
    kept = []
    for side in (height, width):
        size = rounded(CUTOUT * side)
        # a square of even size has its centre between pixels: side + 1 places, the borders included
        start = torch.randint(side + (size + 1) % 2, (count, 1), generator=generator) - size // 2
        place = torch.arange(side)
        kept.append((place < start) | (place >= start + size))  # (count, side)
    keep = kept[0][:, None, :, None] | kept[1][:, None, None, :]  # (count, 1, height, width)
    return lambda x: x * keep.to(x)


def _linear_map(theta: Tensor, align_corners: bool) -> View:
    """Resample at p' = theta p, with p = (x, y) in [-1, 1]^2 from the image's centre; theta (count, 2, 2)."""

    def view(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        across, down = theta.to(x)[:, None, None].unbind(-1)  # the columns, each (count, 1, 1, 2)
        columns = across * _places(width, align_corners).to(x)[:, None]  # (count, 1, width, 2)
        rows = down * _places(height, align_corners).to(x)[:, None, None]  # (count, height, 1, 2)
        # affine_grid makes the same grid by a batched matrix product, several times slower on a CPU
        grid = (columns + rows).expand(len(x), -1, -1, -1)
        return functional.grid_sample(x, grid, align_corners=align_corners)

    return view


def _places(side: int, align_corners: bool) -> Tensor:
    """Pixel centres on [-1, 1], whose ends are the outermost centres (`align_corners`) or the image's border."""
    if align_corners:
        return torch.linspace(-1, 1, side, dtype=torch.float64)
    return (2 * torch.arange(side, dtype=torch.float64) + 1) / side - 1


def _scaling(x_factor: Tensor, y_factor: Tensor) -> Tensor:
    """(count, 2, 2) matrices that stretch the sampling grid by two factors (count,)."""
    return torch.stack([x_factor, y_factor], -1).diag_embed()


def _rotation(degrees: Tensor, aspect: float) -> Tensor:
    """(count, 2, 2) matrices that turn the sampling grid; `aspect` = height / width undoes its unit-square frame."""
    cosine, sine = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    entries = torch.stack([cosine, -sine * aspect, sine / aspect, cosine], -1)
    return entries.unflatten(-1, (2, 2))
