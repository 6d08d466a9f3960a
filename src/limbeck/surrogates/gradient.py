"""Gradient matching: do the synthetic samples pull the parameters where the real ones do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from limbeck.dynamics import soft_cross_entropy
from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate

EPSILON = 1e-6  # added to the product of norms, as published
SMALL_MAP = 3 * 2**16  # numbers in a class's largest map up to which all classes are passed at once on a CPU
PADDING = 1.25  # times their samples that all classes may be made by filling up the smaller ones


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
        targets = self._real_gradients(moment, [others[label] for label in parts])
        if self.classes == "together":
            own = self._gradient(moment, list(parts.values()), differentiable=True)
            return self._distance(moment, own[None], targets.mean(0, keepdim=True))
        return self._distance(moment, self._gradients(moment, list(parts.values())), targets)

    def _gradients(self, moment: Moment, parts: Sequence[Samples]) -> Tensor:
        """The mean loss's gradient of each class (classes, p), with a graph."""
        if _side_by_side(moment, parts):
            return self._stacked_gradients(moment, parts, differentiable=True)
        return torch.stack([self._gradient(moment, [part], differentiable=True) for part in parts])

    def _real_gradients(self, moment: Moment, parts: Sequence[Samples]) -> Tensor:
        """The same (classes, p) without one, summed over pieces that stay in a cache: equal up to rounding."""
        if _side_by_side(moment, parts):
            return self._stacked_gradients(moment, parts, differentiable=False)
        totals = moment.state.vector.new_zeros(len(parts), *moment.state.vector.shape)
        for total, samples in zip(totals, parts, strict=True):
            size = moment.dynamics.network.piece(samples.x)
            for start in range(0, len(samples), size):
                part = samples[start : start + size]
                total += self._gradient(moment, [part], differentiable=False) * (len(part) / len(samples))
        return totals

    @staticmethod
    def _gradient(moment: Moment, parts: Sequence[Samples], differentiable: bool) -> Tensor:
        """The gradient (p,) of the mean over parts of each part's mean loss."""
        vector = moment.state.vector.detach().requires_grad_()
        with torch.enable_grad():
            logits = moment.dynamics.network.logits(vector, moment.state.buffers, torch.cat([part.x for part in parts]))
            pairs = zip(logits.split([len(part) for part in parts]), parts, strict=True)
            loss = torch.stack([soft_cross_entropy(own, part.y) for own, part in pairs]).mean()
            return torch.autograd.grad(loss, vector, create_graph=differentiable)[0]

    @staticmethod
    def _stacked_gradients(moment: Moment, parts: Sequence[Samples], differentiable: bool) -> Tensor:
        """Each part's gradient (parts, p): one copy of the network a part, all side by side.

        Smaller parts are filled up with samples without a label, which cost nothing: -(0 . log p) has no slope.
        """
        count, state, sizes = len(parts), moment.state, [len(part) for part in parts]
        vectors = state.vector.detach().repeat(count, 1).requires_grad_()
        buffers = {name: torch.stack([buffer] * count) for name, buffer in state.buffers.items()}
        x, y = (pad_sequence([getattr(part, name) for part in parts], batch_first=True) for name in ("x", "y"))
        filled = torch.tensor([max(sizes) / size for size in sizes], dtype=x.dtype, device=x.device)
        with torch.enable_grad():
            losses = soft_cross_entropy(moment.dynamics.network.stacked_logits(vectors, buffers, x), y)
            loss = (losses * filled).sum()
            return torch.autograd.grad(loss, vectors, create_graph=differentiable)[0]

    def _distance(self, moment: Moment, synthetic: Tensor, real: Tensor) -> Tensor:
        """The sum over classes of the distance of gradients, each (classes, p)."""
        network = moment.dynamics.network
        names = network.hidden_weights() if self.weights == "hidden" else list(network.shapes)
        own, others = ([network.unflatten(each)[name] for name in names] for each in (synthetic, real))
        if self.distance == "rows":
            rows = [(s.flatten(0, 1), r.flatten(0, 1)) for s, r in zip(own, others, strict=True) if s.dim() > 2]
            return torch.stack([_one_minus_cosine(s.flatten(1), r.flatten(1)).sum() for s, r in rows]).sum()
        first, second = (torch.cat([tensor.flatten(1) for tensor in tensors], 1) for tensors in (own, others))
        if self.distance == "squared":
            return ((first - second) ** 2).sum()
        if self.distance == "l1":
            return (first - second).abs().sum()
        return _one_minus_cosine(first, second).sum()


def _side_by_side(moment: Moment, parts: Sequence[Samples]) -> bool:
    """Whether the classes' gradients are quicker together than one after the other: where calls outweigh arithmetic."""
    network, x, sizes = moment.dynamics.network, parts[0].x, [len(part) for part in parts]
    if len(parts) == 1 or len(parts) * max(sizes) > PADDING * sum(sizes) or not network.is_known:
        return False
    return x.device.type == "cpu" and max(sizes) * network.largest_map(x[:1]) <= SMALL_MAP


def _one_minus_cosine(first: Tensor, second: Tensor) -> Tensor:
    norms = _norm(first) * second.norm(dim=1)
    return 1 - (first * second).sum(1) / (norms + EPSILON)


def _norm(rows: Tensor) -> Tensor:
    # A row of zeros (a dead unit) has no direction: without the floor its norm's derivative is not a number.
    return (rows * rows).sum(1).clamp_min(1e-30).sqrt()
