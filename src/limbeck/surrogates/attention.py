"""Attention matching: do the networks' layers look at the same places of the synthetic and the real samples?"""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate, class_means, differences, real_means

SCALE = 100.0  # of the whole, as in the released code: the published step sizes belong to it


class Attention(Surrogate):
    """Class-wise mean attention of every hidden layer, and mean logits (Sajedi et al. 2023).

    A layer's activations F (n, channels, places) give each sample the map a = sum over channels of |F|^`power`,
    scaled to norm 1. 100 (sum over layers and classes c of |mean a of c, real - synthetic|^2
    + `balance` sum over c of |mean logits of c, real - synthetic|^2). Of vectors, each unit is a place. The released
    code takes power 1; the paper, and we, 4.
    """

    power: float = Field(4.0, gt=0)
    balance: float = Field(0.01, ge=0)

    @property
    def reads_labels(self) -> bool:
        return False

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        target = real_means(moment, real, partial(self._seen, moment))
        own = [class_means(part, synthetic) for part in self._seen(moment, synthetic.x)]
        parts = differences(own, target, synthetic)
        return SCALE * (torch.stack(parts[:-1]).sum() + self.balance * parts[-1])

    def _seen(self, moment: Moment, x: Tensor) -> list[Tensor]:
        """Each layer's attention, then the logits."""
        layers, logits = moment.dynamics.network.activations(moment.state.vector.detach(), moment.state.buffers, x)
        return [*map(self._attention, layers), logits]

    def _attention(self, layer: Tensor) -> Tensor:
        """(n, places) of norm 1."""
        places = layer.flatten(2) if layer.dim() > 2 else layer[:, None]
        return torch.nn.functional.normalize((places.abs() ** self.power).sum(1), dim=1)
