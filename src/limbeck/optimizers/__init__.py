"""Optimizers as pure functions of flat parameter vectors, differentiable in all that they are given.

The vector's last dimension is the parameters'; leading dimensions are networks trained side by side. torch.optim is
the oracle: equal in float64.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import Field
from torch import Tensor

from limbeck.variants import Variant

Moments = tuple[Tensor, ...]
Rate = float | Tensor

TINY = 1.2e-38  # the least that float32 holds in full: sums with a smaller number take a processor ten times as long


class Optimizer(Variant):
    """Settings of an update rule."""

    lr: float

    @abstractmethod
    def start(self, vector: Tensor) -> Moments:
        """The moments before the first step."""

    @abstractmethod
    def update(
        self, vector: Tensor, gradient: Tensor, moments: Moments, rate: Rate, step: int
    ) -> tuple[Tensor, Moments]:
        """One step: the new vector and moments. `step` counts from 0 since the moments were started."""

    def with_step_size(self, step_size: float | None) -> Optimizer:
        """The rule for a set that learned this step size, or none: the same, unless its settings ask for that one."""
        return self

    def metric(self, moments: Moments, step: int) -> Tensor | float:
        """Diagonal P of the norm |h|_P that the update of step `step` descends in; `moments` are those after it.

        The update is theta - rate * gain * d / P with d a smoothed gradient. 1 where descent is Euclidean.
        """
        return 1.0

    @property
    def gain(self) -> float:
        """How many times rate / P a step takes a gradient that never changes: 1 / (1 - momentum) with heavy balls."""
        return 1.0

    @property
    def penalty(self) -> float:
        """The c of c |theta|^2 / 2 in the objective that is descended; decay that is decoupled from it counts not."""
        return 0.0


class Clipped(Optimizer):
    """A rule whose gradient is shortened to at most `factor` times the running mean of its length (Feng et al. 2024).

    g <- g * min(1, factor * m / |g|), then m <- decay * m + (1 - decay) * |g|; m = |g| at first. The shortened length
    enters the mean, so that one explosion does not make room for the next; there m is moved first, and by |g| as it is.
    """

    rule: Optimizer
    lr: float
    factor: float = Field(2.0, gt=0)
    decay: float = Field(0.9, ge=0, lt=1)

    def start(self, vector: Tensor) -> Moments:
        return (torch.zeros((), dtype=vector.dtype, device=vector.device), *self.rule.start(vector))

    def update(
        self, vector: Tensor, gradient: Tensor, moments: Moments, rate: Rate, step: int
    ) -> tuple[Tensor, Moments]:
        length = gradient.norm()
        usual = moments[0] if step else length
        kept = torch.minimum(length, self.factor * usual)
        gradient = gradient * (kept / length.clamp_min(1e-30))
        vector, rest = self.rule.update(vector, gradient, moments[1:], rate, step)
        return vector, (self.decay * usual + (1 - self.decay) * kept, *rest)


def zeros(vector: Tensor, count: int) -> Moments:
    """`count` moments at zero."""
    return tuple(torch.zeros_like(vector) for _ in range(count))


def adaptive_metric(moments: Moments, betas: tuple[float, float], epsilon: float, step: int) -> Tensor:
    """P = sqrt(v_hat) + epsilon of adaptive moments, after the update of step `step`."""
    return (moments[1] + TINY).sqrt() / (1 - betas[1] ** (step + 1)) ** 0.5 + epsilon


def adaptive_direction(
    gradient: Tensor, moments: Moments, betas: tuple[float, float], epsilon: float, step: int
) -> tuple[Tensor, Moments]:
    """The bias-corrected direction m_hat / (sqrt(v_hat) + epsilon) and the new moments (Kingma & Ba 2015).

    The square root is taken of v + TINY, which changes no value that float32 can tell from zero and keeps the
    derivative of a coordinate whose gradient is exactly zero finite, so that unrolling through a step is safe.
    """
    first, second = betas
    mean = torch.lerp(moments[0], gradient, 1 - first)
    square = (second * moments[1]).addcmul_(gradient, gradient, value=1 - second)
    # both corrections as one factor of the quotient: a vector is passed over as seldom as can be
    correction = (1 - second ** (step + 1)) ** 0.5
    scale = (square + TINY).sqrt_() + epsilon * correction
    return (mean / scale).mul_(correction / (1 - first ** (step + 1))), (mean, square)


def descended(vector: Tensor, direction: Tensor, rate: Rate) -> Tensor:
    """vector - rate * direction, in one pass where the rate is a number."""
    if isinstance(rate, Tensor):
        return vector - rate * direction
    return torch.sub(vector, direction, alpha=rate)
