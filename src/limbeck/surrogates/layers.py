"""Layer-wise feature alignment: do all layers see the synthetic samples as they see the real ones?"""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate, class_means, differences, real_features, real_means


class Layers(Surrogate):
    """Class-wise mean activations of every layer, and centres that tell the real samples apart (Wang et al. 2022).

    Sum over layers l of w_l sum over classes c of |mean f_l of c, real - synthetic|^2, plus `centre` times the same of
    f, the input of the last linear layer, plus `discrimination` times the sum over real samples of the cross-entropy of
    <f, centre of c> over the classes, the centres being f's class-wise synthetic means. The layers count from the last:
    f itself, where it is no activation but made of one (pooled), then the flattened activations from the last to the
    first; w are the `weights` in turn, the last one repeated.
    """

    weights: tuple[float, ...] = Field((1.0, 1.0, 0.1, 0.1), min_length=1)
    centre: float = Field(1.0, ge=0)
    discrimination: float = Field(0.01, ge=0)

    @property
    def zero_at_data(self) -> bool:
        return self.discrimination == 0

    @property
    def reads_labels(self) -> bool:
        return False

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        target = real_means(moment, real, partial(self._seen, moment))
        own = [class_means(layer, synthetic) for layer in self._seen(moment, synthetic.x)]
        centres, *parts = differences(own, target, synthetic)
        weights = [self.weights[min(place, len(self.weights) - 1)] for place in range(len(parts))]
        total = torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
        total = total + self.centre * centres
        return total + self.discrimination * self._told_apart(moment, synthetic, real) if self.discrimination else total

    @staticmethod
    def _seen(moment: Moment, x: Tensor) -> list[Tensor]:
        """The input of the last linear layer, and all layers from the last to the first."""
        network, vector, buffers = moment.dynamics.network, moment.state.vector.detach(), moment.state.buffers
        features, layers = network.features_and_activations(vector, buffers, x)
        pooled = features.shape != layers[-1].flatten(1).shape  # or else it is the last activation itself
        return [features, *([features] if pooled else []), *reversed(layers)]

    @staticmethod
    def _told_apart(moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        network, state = moment.dynamics.network, moment.state
        features, _ = real_features(moment, real)
        own, _ = network.features_and_logits(state.vector.detach(), state.buffers, synthetic.x)
        logits = features @ class_means(own, synthetic).T  # (n, classes)
        return torch.nn.functional.cross_entropy(logits, real.group, reduction="sum")
