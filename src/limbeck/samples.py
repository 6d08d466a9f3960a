"""Samples with soft labels, and the domain that they come from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Domain:
    """What a network has to know of its data: the shape of one sample and the number of classes.

    `mirror` says whether a left-right mirrored image keeps its class (true of clothes, false of digits).
    """

    shape: tuple[int, ...]  # (channels, height, width) or (features,)
    classes: int
    mirror: bool = True

    @property
    def is_image(self) -> bool:
        """Whether samples are images (channels, height, width), not vectors (features,)."""
        return len(self.shape) == 3


@dataclass(frozen=True)
class Samples:
    """Inputs with one soft label each; `group` is the class that a sample stands for, whatever its label says."""

    x: Tensor  # (n, *shape)
    y: Tensor  # (n, classes), rows sum to 1
    group: Tensor  # (n,) int64

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> Samples:
        return Samples(self.x[index], self.y[index], self.group[index])

    def by_class(self) -> dict[int, Samples]:
        """Each class's samples, by label; views, not copies, where the samples stand class by class."""
        labels, counts = torch.unique_consecutive(self.group, return_counts=True)
        found = labels.tolist()
        if len(set(found)) < len(found):
            return {label: self[(self.group == label).nonzero().flatten()] for label in sorted(set(found))}
        parts = zip(*(torch.split(part, counts.tolist()) for part in (self.x, self.y, self.group)), strict=True)
        return dict(sorted(zip(found, (Samples(*part) for part in parts), strict=True)))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Samples:
        """The same samples on a device and in a floating type."""
        return Samples(self.x.to(device, dtype), self.y.to(device, dtype), self.group.to(device))

    @staticmethod
    def hard(x: Tensor, labels: Tensor, classes: int) -> Samples:
        """Samples with one-hot labels; x (n, *shape), labels (n,) int64."""
        return Samples(x, torch.nn.functional.one_hot(labels, classes).to(x.dtype), labels)

    @staticmethod
    def concatenated(parts: list[Samples]) -> Samples:
        """Several groups of samples as one, in order."""
        return Samples(*(torch.cat([getattr(part, name) for part in parts]) for name in ("x", "y", "group")))
