"""DataDAM: attention matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from limbeck.methods import Matching
from limbeck.states.initial import Initial
from limbeck.surrogates.attention import Attention


class DataDAM(Matching):
    """Match class-wise attention maps and features under freshly initialised networks (Sajedi et al., ICCV 2023).

    Attention is that of all layers but the last, whose features are compared as in DM. Power, balance, 8000 steps and
    the step size are the paper's; it halves the networks' rate along the way, which has no meaning for networks that
    are not trained.
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
    revision: Literal[2] = 2  # of the objective: sets made before were of another one (decision 0101)

    def surrogate(self) -> Attention:
        return Attention(power=self.power, balance=self.balance)

    def states(self, per_class: int) -> Initial:
        return Initial()
