"""Surrogates: differentiable measures of how far a synthetic set is from the data at a state of the dynamics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from limbeck.dynamics import Dynamics, State
from limbeck.samples import Samples
from limbeck.variants import Variant


@dataclass(frozen=True)
class Moment:
    """Where a surrogate looks: a state of a dynamics, where an expert went from it, and what else was learned.

    `learned` holds stored tensors that are not samples, such as `step_size`; `seed` names the randomness of an unroll.
    """

    dynamics: Dynamics
    state: State
    seed: int = 0
    target: Tensor | None = None  # (p,) an expert's parameters some epochs later
    learned: Mapping[str, Tensor] = field(default_factory=dict)


class Surrogate(Variant):
    """Settings of one measure; zero where the set is the data, unless its docstring says otherwise."""

    reads_real: ClassVar[bool] = True
    """Whether it compares with a batch of real samples."""
    siamese: ClassVar[bool] = True
    """Whether the two batches are compared in one shared view."""
    zero_within: ClassVar[float] = 1e-9
    """How near to zero it is at the data, as a fraction of its value at another set."""

    @property
    def zero_at_data(self) -> bool:
        """Whether it vanishes where the synthetic set is the real batch."""
        return True

    @property
    def exact_gradient(self) -> bool:
        """Whether its gradient is that of its value, and no approximation."""
        return True

    @property
    def reads_labels(self) -> bool:
        """Whether it depends on the synthetic labels, so that they can be learned."""
        return True

    @abstractmethod
    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        """The scalar measure, differentiable in the synthetic samples and the learned tensors."""
