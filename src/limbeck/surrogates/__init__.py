"""Surrogates: differentiable measures of how far a synthetic set is from the data at a state of the dynamics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.dynamics import Dynamics, State
from limbeck.samples import Samples
from limbeck.variants import Variant


@dataclass(frozen=True)
class Moment:
    """Where a surrogate looks: a state of a dynamics, where an expert went from it, and what else was learned.

    `learned` holds stored tensors that are not samples, such as `step_size`; `seed` names the randomness of an unroll.
    """

    dynamics: Dynamics
    state: State
    seed: int = 0
    target: Tensor | None = None  # (p,) an expert's parameters some epochs later
    learned: Mapping[str, Tensor] = field(default_factory=dict)


class Surrogate(Variant):
    """Settings of one measure; zero where the set is the data, unless its docstring says otherwise."""

    reads_real: ClassVar[bool] = True
    """Whether it compares with a batch of real samples."""
    siamese: ClassVar[bool] = True
    """Whether the two batches are compared in one shared view."""
    zero_within: ClassVar[float] = 1e-9
    """How near to zero it is at the data, as a fraction of its value at another set."""

    @property
    def zero_at_data(self) -> bool:
        """Whether it vanishes where the synthetic set is the real batch."""
        return True

    @property
    def exact_gradient(self) -> bool:
        """Whether its gradient is that of its value, and no approximation."""
        return True

    @property
    def reads_labels(self) -> bool:
        """Whether it depends on the synthetic labels, so that they can be learned."""
        return True

    @abstractmethod
    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        """The scalar measure, differentiable in the synthetic samples and the learned tensors."""


def real_features(
    moment: Moment, real: Samples, see: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
) -> tuple[Tensor, Tensor]:
    """The features and logits of real samples, without a graph, in pieces that stay in a cache; `see` makes others."""
    network, state = moment.dynamics.network, moment.state
    see = see or partial(network.features_and_logits, state.vector, state.buffers)
    with torch.no_grad():
        parts = [see(x) for x in real.x.split(network.piece(real.x))]
    features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
    return features, logits


def class_means(values: Tensor, samples: Samples) -> Tensor:
    """Mean of each class's rows (classes, d), of values (n, ...) flattened; zero for a class without samples."""
    return _class_sums(values, samples) / _counts(samples)[:, None].to(values.dtype)


def class_losses(logits: Tensor, samples: Samples) -> Tensor:
    """The sum over classes of the mean soft cross-entropy of each class's samples."""
    losses = -(samples.y * torch.log_softmax(logits, dim=1)).sum(1, keepdim=True)  # (n, 1)
    return class_means(losses, samples).sum()


def real_means(moment: Moment, real: Samples, see: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
    """Class means of all that `see` makes of real samples, without a graph, summed over pieces."""
    totals: list[Tensor] = []
    size = moment.dynamics.network.piece(real.x)
    with torch.no_grad():
        for start in range(0, len(real), size):
            part = real[start : start + size]
            sums = [_class_sums(values, part) for values in see(part.x)]
            totals = [total + own for total, own in zip(totals, sums, strict=True)] if totals else sums
    return [total / _counts(real)[:, None].to(total.dtype) for total in totals]


def _class_sums(values: Tensor, samples: Samples) -> Tensor:
    members = torch.nn.functional.one_hot(samples.group, samples.y.shape[1]).to(values.dtype)  # (n, classes)
    return members.T @ values.flatten(1)


def _counts(samples: Samples) -> Tensor:
    return torch.bincount(samples.group, minlength=samples.y.shape[1]).clamp_min(1)


def differences(synthetic: Sequence[Tensor], real: Sequence[Tensor], samples: Samples) -> list[Tensor]:
    """|synthetic - real|^2 over the classes that `samples` has, for each pair of class means (classes, d)."""
    held = torch.bincount(samples.group, minlength=samples.y.shape[1]) > 0
    return [((own - other)[held] ** 2).sum() for own, other in zip(synthetic, real, strict=True)]
