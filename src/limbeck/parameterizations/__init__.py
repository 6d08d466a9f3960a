"""Parameterizations: how a synthetic set is stored, and how it unfolds into training samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from limbeck.samples import Domain, Samples
from limbeck.variants import Variant

Tensors = dict[str, Tensor]


class Parameterization(Variant):
    """Settings of a storage form. Every stored tensor of floating type may be learned."""

    trial: ClassVar[Mapping[str, Any]] = {}
    """Settings under which the conformance suite tries the form."""

    @property
    def copies(self) -> int:
        """Training samples that one stored sample unfolds into."""
        return 1

    def check(self, domain: Domain) -> None:
        """Raise `NotApplicable` where samples of this domain can't be stored in this form."""
        return

    @abstractmethod
    def fold(self, start: Samples, domain: Domain) -> Tensors:
        """The stored tensors whose unfolding is nearest to the given samples: one stored for each `copies` in a row."""

    @abstractmethod
    def unfold(self, tensors: Tensors, group: Tensor, domain: Domain) -> Samples:
        """Training samples, differentiable in the stored tensors; `group` (stored,) is each stored sample's class."""
