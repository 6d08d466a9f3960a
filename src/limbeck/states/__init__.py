"""States: where along which dynamics a surrogate is taken.

What a walk has to remember between outer steps is a dict of tensors (`carry`), which the checkpoint saves as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.samples import Samples
from limbeck.surrogates import Moment
from limbeck.variants import Variant

Carry = dict[str, Tensor]
Experts = Callable[[int], Tensor]
"""The trajectory (checkpoints, p) of the expert with a number."""


@dataclass(frozen=True)
class Scene:
    """What a walk may use: the dynamics, the real training samples, the seed, and where experts are to be had."""

    dynamics: Dynamics
    train: Samples
    seed: int
    experts: Experts | None = None

    @cached_property
    def members(self) -> tuple[Tensor, ...]:
        """The training samples' indices of each class: real data do not change, so they are looked up once."""
        return tuple((self.train.group == label).nonzero().flatten() for label in range(self.train.y.shape[1]))


class States(Variant):
    """Settings of a walk through states."""

    trial: ClassVar[Mapping[str, Any]] = {}
    """Settings under which the conformance suite walks, beside those it makes small itself."""

    def begin(self, scene: Scene) -> Carry:
        """What is remembered before the first outer step."""
        return {}

    @abstractmethod
    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        """The state of outer step `step`; the same for the same arguments."""

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        """What is remembered after the synthetic set was updated at outer step `step`."""
        return carry


@dataclass(frozen=True)
class ExpertPlan:
    """The experts that a walk needs: how many, trained under which configuration, for how many epochs."""

    configuration: Configuration
    epochs: int
    count: int
