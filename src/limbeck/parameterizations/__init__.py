"""Parameterizations: how a synthetic set is stored, and how it unfolds into training samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.variants import Variant

Tensors = dict[str, Tensor]
Labels = Literal["hard", "soft"]
NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class Parameterization(Variant):
    """Settings of a storage form. Every tensor of stored samples that is of floating type may be learned."""

    content: ClassVar[str] = "pixels"
    """The stored tensor that a method's `lr_pixels` moves; with `logits` the only ones with a row for each sample."""
    trial: ClassVar[Mapping[str, Any]] = {}
    """Settings under which the conformance suite tries the form."""

    @property
    def copies(self) -> int:
        """Training samples that one stored sample unfolds into."""
        return 1

    @property
    def unfolding(self) -> str:
        """The form's text in a set: what unfolding needs of it, and no place on the maker's disk."""
        return self.spec

    def check(self, domain: Domain) -> None:
        """Raise `NotApplicable` where samples of this domain can't be stored in this form."""
        return

    def shared(self, source: Source) -> Tensors:
        """Tensors stored once for all samples, fitted to the training split and never learned; none for most forms."""
        return {}

    @abstractmethod
    def fold(self, start: Samples, domain: Domain, shared: Mapping[str, Tensor] = NOTHING) -> Tensors:
        """The stored tensors whose unfolding is nearest to the given samples: one stored for each `copies` in a row."""

    @abstractmethod
    def unfold(self, tensors: Mapping[str, Tensor], group: Tensor, domain: Domain) -> Samples:
        """Training samples, differentiable in the stored tensors; `group` (stored,) is each stored sample's class.

        `tensors` holds those of the samples and those that they share.
        """


def folded_labels(labels: Labels, start: Samples, domain: Domain) -> Tensors:
    """What is stored of labels: nothing, or `logits` (stored, classes) whose softmax is nearest to the samples' own."""
    if labels == "hard":
        return {}
    # A certain label starts at 90 % for its class, which keeps every logit where softmax still has a slope.
    certain = (start.y > 0).sum(1, keepdim=True) == 1
    y = torch.where(certain, 0.9 * start.y + 0.1 / domain.classes, start.y)
    return {"logits": torch.log(y.clamp_min(1e-6))}


def unfolded_labels(
    labels: Labels, tensors: Mapping[str, Tensor], group: Tensor, domain: Domain, dtype: torch.dtype
) -> Tensor:
    """Labels (stored, classes): one-hot of the class, or the softmax of the stored logits."""
    if labels == "soft":
        return torch.softmax(tensors["logits"], dim=1)
    return torch.nn.functional.one_hot(group, domain.classes).to(dtype)
