"""Step decay."""

from __future__ import annotations

from pydantic import Field

from limbeck.schedules import Schedule


class Step(Schedule):
    """The rate falls by `decay` at each of the given fractions of the training.

    The literature's evaluation of condensed sets is `step(steps=1001, decay=0.1, at=[0.5], restart=true)`: one drop
    half-way, with a fresh optimizer that forgets its momentum (Zhao et al. 2021).
    """

    decay: float = Field(0.1, gt=0, le=1)
    at: tuple[float, ...] = (0.5,)
    restart: bool = False

    def factor(self, step: int) -> float:
        return float(self.decay ** sum(step >= self._boundary(fraction) for fraction in self.at))

    def restarts(self, step: int) -> bool:
        return self.restart and any(step == self._boundary(fraction) for fraction in self.at)

    def _boundary(self, fraction: float) -> int:
        return int(self.steps * fraction) + 1
