"""Adam."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from limbeck.optimizers import Moments, Optimizer, Rate, adaptive_direction, adaptive_metric, descended, zeros


class Adam(Optimizer):
    """Adaptive moments with weight decay added to the gradient, as `torch.optim.Adam` (Kingma & Ba 2015)."""

    lr: float = Field(1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)

    def start(self, vector: Tensor) -> Moments:
        return zeros(vector, 2)

    def update(
        self, vector: Tensor, gradient: Tensor, moments: Moments, rate: Rate, step: int
    ) -> tuple[Tensor, Moments]:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * vector
        direction, moments = adaptive_direction(gradient, moments, self.betas, self.epsilon, step)
        return descended(vector, direction, rate), moments

    def metric(self, moments: Moments, step: int) -> Tensor:
        return adaptive_metric(moments, self.betas, self.epsilon, step)

    @property
    def penalty(self) -> float:
        return self.weight_decay
