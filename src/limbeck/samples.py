"""Samples with soft labels, and the domain that they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

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


class Labelling(Protocol):
    """Whatever labels any view (n, *shape) of samples: (n, classes), rows sum to 1; differentiable in the view."""

    def __call__(self, x: Tensor, /) -> Tensor: ...

    def to(self, device: torch.device | str | None, dtype: torch.dtype | None) -> Self:
        """The same on a device and in a floating type."""


@dataclass(frozen=True)
class Samples:
    """Inputs with one soft label each; `group` is the class that a sample stands for, whatever its label says.

    With a `labeller` y is what it says of the samples as they stand, and every other view of them is labelled anew.
    """

    x: Tensor  # (n, *shape)
    y: Tensor  # (n, classes), rows sum to 1
    group: Tensor  # (n,) int64
    labeller: Labelling | None = None  # None: a view keeps its sample's label, as the augmentation mixes it

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> Samples:
        return Samples(self.x[index], self.y[index], self.group[index], self.labeller)

    def seen(self, view: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """A view of the samples and its labels: the labeller's, or else what the view makes of their own."""
        x, y = view(self.x, self.y)
        return (x, y) if self.labeller is None or x is self.x else (x, self.labeller(x))

    def by_class(self) -> dict[int, Samples]:
        """Each class's samples, by label; views, not copies, where the samples stand class by class."""
        labels, counts = torch.unique_consecutive(self.group, return_counts=True)
        found = labels.tolist()
        if len(set(found)) < len(found):
            return {label: self[(self.group == label).nonzero().flatten()] for label in sorted(set(found))}
        parts = zip(*(torch.split(part, counts.tolist()) for part in (self.x, self.y, self.group)), strict=True)
        own = (Samples(x, y, group, self.labeller) for x, y, group in parts)
        return dict(sorted(zip(found, own, strict=True)))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Samples:
        """The same samples on a device and in a floating type."""
        labeller = None if self.labeller is None else self.labeller.to(device, dtype)
        return Samples(self.x.to(device, dtype), self.y.to(device, dtype), self.group.to(device), labeller)

    @staticmethod
    def hard(x: Tensor, labels: Tensor, classes: int) -> Samples:
        """Samples with one-hot labels; x (n, *shape), labels (n,) int64."""
        return Samples(x, torch.nn.functional.one_hot(labels, classes).to(x.dtype), labels)

    @staticmethod
    def concatenated(parts: list[Samples]) -> Samples:
        """Several groups of samples that share their labeller, as one, in order."""
        x, y, group = (torch.cat([getattr(part, name) for part in parts]) for name in ("x", "y", "group"))
        return Samples(x, y, group, parts[0].labeller)
