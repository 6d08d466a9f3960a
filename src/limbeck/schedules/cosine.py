"""Cosine decay."""

from __future__ import annotations

import math

from pydantic import Field

from limbeck.schedules import Schedule


class Cosine(Schedule):
    """Half a cosine from 1 to `final` over the training (Loshchilov & Hutter 2017), after a linear warm-up."""

    final: float = Field(0.0, ge=0, le=1)
    warmup: int = Field(0, ge=0)

    def factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))
