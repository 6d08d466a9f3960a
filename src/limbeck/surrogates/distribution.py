"""Distribution matching: do the synthetic samples look like the real ones to a network?"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor

from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate, class_losses, class_means, differences, real_features


class Distribution(Surrogate):
    """Distance between the class-wise distributions of features (Zhao & Bilen 2023).

    `mean`: sum over classes c of |mean f(real of c) - mean f(synthetic of c)|^2, with f the input of the network's
    last linear layer, or with `features=map` the outputs of its last activation functions, which pooling has not
    averaged yet. All classes share one forward pass. To it `calibration` adds its product with the network's
    accuracy on the real samples and the sum over classes of the synthetic samples' mean cross-entropy (Zhao et al.
    2023).
    """

    statistic: Literal["mean"] = "mean"
    calibration: float = Field(0.0, ge=0)
    features: Literal["pooled", "map"] = "pooled"

    @property
    def zero_at_data(self) -> bool:
        return self.calibration == 0

    @property
    def reads_labels(self) -> bool:
        return self.calibration > 0

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        target, answers = real_features(moment, real, partial(self._seen, moment))
        features, logits = self._seen(moment, synthetic.x)
        (distance,) = differences([class_means(features, synthetic)], [class_means(target, real)], synthetic)
        if not self.calibration:
            return distance
        accuracy = (answers.argmax(1) == real.group).to(distance.dtype).mean()
        return distance + self.calibration * accuracy * class_losses(logits, synthetic)

    def _seen(self, moment: Moment, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, d) and logits."""
        network, vector, buffers = moment.dynamics.network, moment.state.vector.detach(), moment.state.buffers
        if self.features == "pooled":
            return network.features_and_logits(vector, buffers, x)
        layers, logits = network.activations(vector, buffers, x)
        return layers[-1].flatten(1), logits
