"""DataDAM: attention matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from limbeck.methods import Matching
from limbeck.states.initial import Initial
from limbeck.surrogates.attention import Attention


class DataDAM(Matching):
    """Match class-wise attention maps of all layers under freshly initialised networks (Sajedi et al., ICCV 2023).

    Power, balance, 8000 steps and the step size are the paper's; it halves the networks' rate along the way, which has
    no meaning for networks that are not trained. In 20 s of a core on Fashion-MNIST at 1 a class it does not beat
    `k-means` (docs/results/methods.md).
    """

    paper: ClassVar[str] = "sajedi2023datadam"
    surrogate_name: ClassVar[str] = "attention"
    states_name: ClassVar[str] = "initial"
    cost: ClassVar[str] = "forward of batch_real x classes, forward and backward of k"
    trial: ClassVar[Mapping[str, Any]] = {"lr_pixels": 0.01}

    steps: int = Field(8000, gt=0)
    batch_real: int = Field(128, gt=0)
    power: float = Field(4.0, gt=0)
    balance: float = Field(0.01, ge=0)

    def surrogate(self) -> Attention:
        return Attention(power=self.power, balance=self.balance)

    def states(self, per_class: int) -> Initial:
        return Initial()
