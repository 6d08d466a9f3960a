"""Constant step size."""

from __future__ import annotations

from limbeck.schedules import Schedule


class Constant(Schedule):
    """The optimizer's own rate at every step."""

    def factor(self, step: int) -> float:
        return 1.0
