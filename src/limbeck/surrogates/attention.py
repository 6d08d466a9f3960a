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
    """Class-wise mean attention of all hidden layers but the last, and mean features (Sajedi et al. 2023).

    A layer's activations F (n, channels, places) give each sample the map a = sum over channels of |F|^`power`,
    scaled to norm 1. 100 (sum over layers and classes c of |mean a of c, real - synthetic|^2
    + `balance` sum over c of |mean f of c, real - synthetic|^2), f the input of the last linear layer, which stands for
    the last hidden layer. Of vectors, each unit is a place. The released code takes power 1; the paper, and we, 4.
    """

    power: float = Field(4.0, gt=0)
    balance: float = Field(0.01, ge=0)

    @property
    def reads_labels(self) -> bool:
        return False

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        target = real_means(moment, real, partial(self._seen, moment))
        own = [class_means(part, synthetic) for part in self._seen(moment, synthetic.x)]
        of_features, *of_attention = differences(own, target, synthetic)
        return SCALE * torch.stack([self.balance * of_features, *of_attention]).sum()

    def _seen(self, moment: Moment, x: Tensor) -> list[Tensor]:
        """The features, then the attention of each layer but the last."""
        network, vector, buffers = moment.dynamics.network, moment.state.vector.detach(), moment.state.buffers
        features, layers = network.features_and_activations(vector, buffers, x)
        return [features, *map(self._attention, layers[:-1])]

    def _attention(self, layer: Tensor) -> Tensor:
        """(n, places) of norm 1."""
        places = layer.flatten(2) if layer.dim() > 2 else layer[:, None]
        return torch.nn.functional.normalize((places.abs() ** self.power).sum(1), dim=1)
