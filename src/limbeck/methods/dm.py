"""DM: distribution matching."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from limbeck.methods import Matching
from limbeck.states.initial import Initial
from limbeck.surrogates.distribution import Distribution


class DM(Matching):
    """Match class-wise mean features under freshly initialised networks (Zhao & Bilen, WACV 2023).

    The paper takes 20000 steps with batches of 256 real samples a class; fewer steps are the usual economy here, and
    `steps` says how many.
    """

    paper: ClassVar[str] = "zhao2023dm"
    surrogate_name: ClassVar[str] = "distribution(mean)"
    states_name: ClassVar[str] = "initial"
    cost: ClassVar[str] = "forward of batch_real x classes, forward and backward of k"

    steps: int = Field(20000, gt=0)

    def surrogate(self) -> Distribution:
        return Distribution()

    def states(self, per_class: int) -> Initial:
        return Initial()
