"""One stored image is several training images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.errors import NotApplicable
from limbeck.parameterizations import NOTHING, Labels, Parameterization, Tensors, folded_labels, unfolded_labels
from limbeck.samples import Domain, Samples


class Tiles(Parameterization):
    """Images cut into `factor` x `factor` tiles, each enlarged to a whole training image (Kim et al. 2022).

    The storage of one image so holds factor^2 training images of lower resolution; enlarging is bilinear,
    U x V^T with fixed matrices of interpolation weights, and folding its least-squares inverse. A stored image has one
    label for all its tiles, learned with `labels=soft`.
    """

    factor: int = Field(2, ge=1)
    labels: Labels = "hard"

    @property
    def copies(self) -> int:
        return self.factor**2

    def check(self, domain: Domain) -> None:
        if self.factor == 1:
            return
        if not domain.is_image:
            raise NotApplicable(
                f"tiles are parts of images; this source has vectors of {domain.shape[0]} features. Use factor=1."
            )
        if any(side % self.factor for side in domain.shape[1:]):
            fit = [f for f in range(1, 9) if all(side % f == 0 for side in domain.shape[1:])]
            raise NotApplicable(
                f"{domain.shape[1]}x{domain.shape[2]} images can't be cut into {self.factor}x{self.factor} equal "
                f"tiles. Use a factor of {', '.join(map(str, fit))}."
            )

    def fold(self, start: Samples, domain: Domain, shared: Mapping[str, Tensor] = NOTHING) -> Tensors:
        x = start.x
        if self.factor > 1:
            rows, columns = (_enlarging(side, self.factor, x.dtype, x.device) for side in domain.shape[1:])
            x = torch.linalg.pinv(rows) @ x @ torch.linalg.pinv(columns).T  # (stored * copies, c, h / f, w / f)
            x = x.unflatten(0, (-1, self.factor, self.factor))  # (stored, down, right, c, h / f, w / f)
            x = x.permute(0, 3, 1, 4, 2, 5).flatten(2, 3).flatten(3, 4)
        y = start.y.unflatten(0, (-1, self.copies)).mean(1)
        stored = Samples(x, y, start.group[:: self.copies])
        return {"pixels": x.clone(), **folded_labels(self.labels, stored, domain)}

    def unfold(self, tensors: Mapping[str, Tensor], group: Tensor, domain: Domain) -> Samples:
        x = tensors["pixels"]
        if self.factor > 1:
            rows, columns = (_enlarging(side, self.factor, x.dtype, x.device) for side in domain.shape[1:])
            x = x.unflatten(3, (self.factor, -1)).unflatten(2, (self.factor, -1))
            x = rows @ x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2) @ columns.T  # (stored * copies, c, h, w)
        y = unfolded_labels(self.labels, tensors, group, domain, x.dtype)
        return Samples(x, y.repeat_interleave(self.copies, 0), group.repeat_interleave(self.copies, 0))


@lru_cache(maxsize=8)
def _enlarging(side: int, factor: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The bilinear weights (side, side / factor) that enlarge one axis, pixel centres aligned as in torch."""
    impulses = torch.eye(side // factor, dtype=torch.float64)[:, None]  # (small, 1, small)
    enlarged = functional.interpolate(impulses, size=side, mode="linear", align_corners=False)
    return enlarged[:, 0].T.to(device, dtype)
