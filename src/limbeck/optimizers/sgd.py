"""Stochastic gradient descent."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from limbeck.optimizers import Moments, Optimizer, Rate, zeros


class SGD(Optimizer):
    """Gradient descent with momentum, Nesterov's variant and coupled weight decay, as `torch.optim.SGD`.

    g <- g + weight_decay * w;  m <- momentum * m + g (m = g at first);  w <- w - rate * (g + momentum * m | m | g).
    """

    lr: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    nesterov: bool = False

    def start(self, vector: Tensor) -> Moments:
        return zeros(vector, 1) if self.momentum else ()

    def update(
        self, vector: Tensor, gradient: Tensor, moments: Moments, rate: Rate, step: int
    ) -> tuple[Tensor, Moments]:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * vector
        if not self.momentum:
            return vector - rate * gradient, ()
        momentum = self.momentum * moments[0] + gradient
        direction = gradient + self.momentum * momentum if self.nesterov else momentum
        return vector - rate * direction, (momentum,)

    @property
    def gain(self) -> float:
        return 1 / (1 - self.momentum)

    @property
    def penalty(self) -> float:
        return self.weight_decay
