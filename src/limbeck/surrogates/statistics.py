"""Statistics matching: does a trained network see what it was trained on?"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.dynamics import soft_cross_entropy
from limbeck.errors import NotApplicable
from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate


class Statistics(Surrogate):
    """A teacher's loss on the set, and how far its batch norms are from their running statistics (Yin et al. 2023).

    l(teacher(x), y) + `weight` * sum over batch norms of |running mean - mean(x)| + |running variance - var(x)|, with
    Euclidean norms, not squared, and mean and variance of each channel over the whole set and all places. The first
    batch norm counts `first` times. The teacher is the network at the state, in evaluation mode.

    Raises `NotApplicable` where the network has no batch norm.
    """

    reads_real = False

    weight: float = Field(0.01, ge=0)
    first: float = Field(1.0, ge=0)

    @property
    def zero_at_data(self) -> bool:
        return False  # the teacher's loss remains

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        logits, distances = self._seen(moment, synthetic.x)
        total = torch.stack(distances).sum() + (self.first - 1) * torch.stack(distances[:2]).sum()
        return soft_cross_entropy(logits, synthetic.y) + self.weight * total

    @staticmethod
    def _seen(moment: Moment, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The teacher's logits, and each batch norm's distance between its running statistics and those of the set."""
        buffers, distances = moment.state.buffers, []
        module = moment.dynamics.network.module

        def compare(norm: Any, inputs: tuple[Tensor]) -> None:
            flat = inputs[0].transpose(0, 1).flatten(1)  # (channels, n * places)
            distances.append((norm.running_mean - flat.mean(1)).norm())
            distances.append((norm.running_var - flat.var(1, correction=0)).norm())

        norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
        hooks = [norm.register_forward_pre_hook(compare) for norm in norms]
        try:
            logits = moment.dynamics.network.logits(moment.state.vector.detach(), buffers, x)
        finally:
            for hook in hooks:
                hook.remove()
        if not distances:
            raise NotApplicable(
                f"{moment.dynamics.configuration.architecture.spec} has no batch norm whose statistics could be "
                "matched. Use an architecture with norm=batch."
            )
        return logits, distances
