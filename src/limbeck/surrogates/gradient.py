"""Gradient matching: do the synthetic samples pull the parameters where the real ones do?"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from limbeck.dynamics import soft_cross_entropy
from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate

EPSILON = 1e-6  # added to the product of norms, as published


class Gradient(Surrogate):
    """Distance between the loss gradients of real and synthetic samples, class by class (Zhao et al. 2021).

    `rows` sums 1 - cos(g_r^S, g_r^T) over the output rows r of every weight tensor; one-dimensional tensors (biases,
    norm parameters) count nothing. `cosine` is one global 1 - cos; `squared` is |g^S - g^T|^2 and `l1` |g^S - g^T|_1
    over all parameters. The distance of each class is summed.
    """

    zero_within: ClassVar[float] = 0.05  # EPSILON leaves 1 - cos above zero where a row is of its size

    distance: Literal["rows", "cosine", "squared", "l1"] = "rows"

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        total = synthetic.x.new_zeros(())
        others = real.by_class()
        for label, own in synthetic.by_class().items():
            target = self._real_gradient(moment, others[label])
            total = total + self._distance(moment, self._gradient(moment, own, differentiable=True), target)
        return total

    def _real_gradient(self, moment: Moment, samples: Samples) -> Tensor:
        """The mean loss's gradient (p,), summed over pieces that stay in a cache: the same sum in another order."""
        total = torch.zeros_like(moment.state.vector)
        size = moment.dynamics.network.piece(samples.x)
        for start in range(0, len(samples), size):
            part = samples[start : start + size]
            total += self._gradient(moment, part, differentiable=False) * (len(part) / len(samples))
        return total

    @staticmethod
    def _gradient(moment: Moment, samples: Samples, differentiable: bool) -> Tensor:
        vector = moment.state.vector.detach().requires_grad_()
        with torch.enable_grad():
            logits = moment.dynamics.network.logits(vector, moment.state.buffers, samples.x)
            loss = soft_cross_entropy(logits, samples.y)
            return torch.autograd.grad(loss, vector, create_graph=differentiable)[0]

    def _distance(self, moment: Moment, synthetic: Tensor, real: Tensor) -> Tensor:
        if self.distance == "squared":
            return ((synthetic - real) ** 2).sum()
        if self.distance == "l1":
            return (synthetic - real).abs().sum()
        if self.distance == "cosine":
            return _one_minus_cosine(synthetic[None], real[None]).sum()
        network = moment.dynamics.network
        pairs = zip(network.unflatten(synthetic).values(), network.unflatten(real).values(), strict=True)
        rows = [(s.flatten(1), r.flatten(1)) for s, r in pairs if s.dim() > 1]
        return torch.stack([_one_minus_cosine(s, r).sum() for s, r in rows]).sum()


def _one_minus_cosine(first: Tensor, second: Tensor) -> Tensor:
    norms = _norm(first) * second.norm(dim=1)
    return 1 - (first * second).sum(1) / (norms + EPSILON)


def _norm(rows: Tensor) -> Tensor:
    # A row of zeros (a dead unit) has no direction: without the floor its norm's derivative is not a number.
    return (rows * rows).sum(1).clamp_min(1e-30).sqrt()
