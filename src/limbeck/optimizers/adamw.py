"""AdamW."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from limbeck.optimizers import Moments, Optimizer, Rate, adaptive_direction, adaptive_metric, descended, zeros


class AdamW(Optimizer):
    """Adaptive moments with decoupled weight decay, as `torch.optim.AdamW` (Loshchilov & Hutter 2019)."""

    lr: float = Field(1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    def start(self, vector: Tensor) -> Moments:
        return zeros(vector, 2)

    def update(
        self, vector: Tensor, gradient: Tensor, moments: Moments, rate: Rate, step: int
    ) -> tuple[Tensor, Moments]:
        direction, moments = adaptive_direction(gradient, moments, self.betas, self.epsilon, step)
        return descended(vector * (1 - rate * self.weight_decay), direction, rate), moments

    def metric(self, moments: Moments, step: int) -> Tensor:
        return adaptive_metric(moments, self.betas, self.epsilon, step)
