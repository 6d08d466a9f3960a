"""Schedules: how long a training lasts, on how large batches, and how its step size changes."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from limbeck.variants import Variant


class Schedule(Variant):
    """Training length in steps (the same on a synthetic set and on the full data), batch size, and rate shape."""

    steps: int = Field(300, gt=0)
    batch: int = Field(256, gt=0)

    @abstractmethod
    def factor(self, step: int) -> float:
        """What the optimizer's `lr` is multiplied by at a step in [0, steps)."""

    def restarts(self, step: int) -> bool:
        """Whether the optimizer's moments start anew before this step."""
        return False
