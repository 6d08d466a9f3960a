"""Gradient matching: do the synthetic samples pull the parameters where the real ones do?"""

from __future__ import annotations

from collections.abc import Sequence
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
    norm parameters) count nothing. `cosine` is one global 1 - cos; `squared` is |g^S - g^T|^2 and `l1` |g^S - g^T|_1.
    With `weights=hidden` only weight tensors below the last linear layer count (Kim et al. 2022: of a ConvNet, the
    convolutions). The distance of each class is summed; with `classes=together` the gradients' mean over the classes
    is compared instead (Lee et al. 2022), so that what they have in common is not counted once a class.
    """

    zero_within: ClassVar[float] = 0.05  # EPSILON leaves 1 - cos above zero where a row is of its size

    distance: Literal["rows", "cosine", "squared", "l1"] = "rows"
    weights: Literal["all", "hidden"] = "all"
    classes: Literal["apart", "together"] = "apart"

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        parts, others = synthetic.by_class(), real.by_class()
        targets = {label: self._real_gradient(moment, others[label]) for label in parts}
        if self.classes == "together":
            own = self._gradient(moment, list(parts.values()), differentiable=True)
            return self._distance(moment, own, torch.stack(list(targets.values())).mean(0))
        total = synthetic.x.new_zeros(())
        for label, part in parts.items():
            own = self._gradient(moment, [part], differentiable=True)
            total = total + self._distance(moment, own, targets[label])
        return total

    def _real_gradient(self, moment: Moment, samples: Samples) -> Tensor:
        """The mean loss's gradient (p,), summed over pieces that stay in a cache: the same sum in another order."""
        total = torch.zeros_like(moment.state.vector)
        size = moment.dynamics.network.piece(samples.x)
        for start in range(0, len(samples), size):
            part = samples[start : start + size]
            total += self._gradient(moment, [part], differentiable=False) * (len(part) / len(samples))
        return total

    @staticmethod
    def _gradient(moment: Moment, parts: Sequence[Samples], differentiable: bool) -> Tensor:
        """The gradient (p,) of the mean over parts of each part's mean loss."""
        vector = moment.state.vector.detach().requires_grad_()
        with torch.enable_grad():
            logits = moment.dynamics.network.logits(vector, moment.state.buffers, torch.cat([part.x for part in parts]))
            pairs = zip(logits.split([len(part) for part in parts]), parts, strict=True)
            loss = torch.stack([soft_cross_entropy(own, part.y) for own, part in pairs]).mean()
            return torch.autograd.grad(loss, vector, create_graph=differentiable)[0]

    def _distance(self, moment: Moment, synthetic: Tensor, real: Tensor) -> Tensor:
        network = moment.dynamics.network
        names = network.hidden_weights() if self.weights == "hidden" else list(network.unflatten(real))
        own, others = ([network.unflatten(vector)[name] for name in names] for vector in (synthetic, real))
        if self.distance == "rows":
            rows = [(s.flatten(1), r.flatten(1)) for s, r in zip(own, others, strict=True) if s.dim() > 1]
            return torch.stack([_one_minus_cosine(s, r).sum() for s, r in rows]).sum()
        first, second = (torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (own, others))
        if self.distance == "squared":
            return ((first - second) ** 2).sum()
        if self.distance == "l1":
            return (first - second).abs().sum()
        return _one_minus_cosine(first[None], second[None]).sum()


def _one_minus_cosine(first: Tensor, second: Tensor) -> Tensor:
    norms = _norm(first) * second.norm(dim=1)
    return 1 - (first * second).sum(1) / (norms + EPSILON)


def _norm(rows: Tensor) -> Tensor:
    # A row of zeros (a dead unit) has no direction: without the floor its norm's derivative is not a number.
    return (rows * rows).sum(1).clamp_min(1e-30).sqrt()
