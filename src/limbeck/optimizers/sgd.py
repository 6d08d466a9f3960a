"""Stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.errors import Diverged
from limbeck.optimizers import Moments, Optimizer, Rate, descended, zeros


class SGD(Optimizer):
    """Gradient descent with momentum, Nesterov's variant and coupled weight decay, as `torch.optim.SGD`.

    g <- g + weight_decay * w;  m <- momentum * m + g (m = g at first);  w <- w - rate * (g + momentum * m | m | g).

    With `rate=learned` a set that learned a step size (mtt, tesla, ftd, datm) is trained with that in the place of
    `lr`, as Cazenavette et al. (CVPR 2022) judge theirs; other sets and the full data with `lr`.
    """

    later: ClassVar[frozenset[str]] = frozenset({"rate"})

    lr: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    nesterov: bool = False
    rate: Literal["given", "learned"] = "given"

    def start(self, vector: Tensor) -> Moments:
        return zeros(vector, 1) if self.momentum else ()

    def update(
        self, vector: Tensor, gradient: Tensor, moments: Moments, rate: Rate, step: int
    ) -> tuple[Tensor, Moments]:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * vector
        if not self.momentum:
            return descended(vector, gradient, rate), ()
        momentum = torch.add(gradient, moments[0], alpha=self.momentum)
        direction = gradient + self.momentum * momentum if self.nesterov else momentum
        return descended(vector, direction, rate), (momentum,)

    def with_step_size(self, step_size: float | None) -> SGD:
        if self.rate == "given" or step_size is None:
            return self
        if not step_size > 0:
            raise Diverged(
                f"the set learned a step size of {step_size:g}, which trains nothing. Lower its lr_step_size."
            )
        return self.with_settings(lr=step_size, rate="given")

    @property
    def gain(self) -> float:
        return 1 / (1 - self.momentum)

    @property
    def penalty(self) -> float:
        return self.weight_decay
