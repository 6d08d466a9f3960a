"""Distribution matching: do the synthetic samples look like the real ones to a network?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from limbeck.dynamics import soft_cross_entropy
from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate, class_means, differences, real_features


class Distribution(Surrogate):
    """Distance between the class-wise distributions of features (Zhao & Bilen 2023).

    `mean`: sum over classes c of |mean f(real of c) - mean f(synthetic of c)|^2, with f the input of the network's
    last linear layer. All classes share one forward pass. To it `calibration` adds its product with the network's
    accuracy on the real samples and the mean cross-entropy of the synthetic ones (Zhao et al. 2023).
    """

    statistic: Literal["mean"] = "mean"
    calibration: float = Field(0.0, ge=0)

    @property
    def zero_at_data(self) -> bool:
        return self.calibration == 0

    @property
    def reads_labels(self) -> bool:
        return self.calibration > 0

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        network, state = moment.dynamics.network, moment.state
        target, answers = real_features(moment, real)
        features, logits = network.features_and_logits(state.vector.detach(), state.buffers, synthetic.x)
        (distance,) = differences([class_means(features, synthetic)], [class_means(target, real)], synthetic)
        if not self.calibration:
            return distance
        accuracy = (answers.argmax(1) == real.group).to(distance.dtype).mean()
        return distance + self.calibration * accuracy * soft_cross_entropy(logits, synthetic.y)
