"""Parameterizations: how a synthetic set is stored, and how it unfolds into training samples."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from limbeck.samples import Domain, Samples
from limbeck.variants import Variant

Tensors = dict[str, Tensor]


class Parameterization(Variant):
    """Settings of a storage form. Every stored tensor of floating type may be learned."""

    @abstractmethod
    def fold(self, start: Samples, domain: Domain) -> Tensors:
        """The stored tensors whose unfolding is nearest to the given samples, one stored sample for each."""

    @abstractmethod
    def unfold(self, tensors: Tensors, group: Tensor, domain: Domain) -> Samples:
        """Training samples, differentiable in the stored tensors; `group` (stored,) is each stored sample's class."""
