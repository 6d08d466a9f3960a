"""Optimizers as pure functions of flat parameter vectors, differentiable in all that they are given.

The vector's last dimension is the parameters'; leading dimensions are networks trained side by side. torch.optim is
the oracle: equal in float64.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from limbeck.variants import Variant

Moments = tuple[Tensor, ...]
Rate = float | Tensor


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


def zeros(vector: Tensor, count: int) -> Moments:
    """`count` moments at zero."""
    return tuple(torch.zeros_like(vector) for _ in range(count))


def adaptive_direction(
    gradient: Tensor, moments: Moments, betas: tuple[float, float], epsilon: float, step: int
) -> tuple[Tensor, Moments]:
    """The bias-corrected direction m_hat / (sqrt(v_hat) + epsilon) and the new moments (Kingma & Ba 2015).

    The square root is taken of v + 1e-38, which changes no value that float32 can tell from zero and keeps the
    derivative of a coordinate whose gradient is exactly zero finite, so that unrolling through a step is safe.
    """
    first, second = betas
    mean = first * moments[0] + (1 - first) * gradient
    square = second * moments[1] + (1 - second) * gradient * gradient
    scale = (square + 1e-38).sqrt() / (1 - second ** (step + 1)) ** 0.5
    return mean / (1 - first ** (step + 1)) / (scale + epsilon), (mean, square)
