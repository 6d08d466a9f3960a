"""Distribution matching: do the synthetic samples look like the real ones to a network?"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate


class Distribution(Surrogate):
    """Distance between the class-wise distributions of features (Zhao & Bilen 2023).

    `mean`: sum over classes c of |mean f(real of c) - mean f(synthetic of c)|^2, with f the input of the network's
    last linear layer. All classes share one forward pass.
    """

    statistic: Literal["mean"] = "mean"

    @property
    def reads_labels(self) -> bool:
        return False

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        network, state = moment.dynamics.network, moment.state
        with torch.no_grad():
            parts = real.x.split(network.piece(real.x))
            target = torch.cat([network.features_and_logits(state.vector, state.buffers, x)[0] for x in parts])
        features, _ = network.features_and_logits(state.vector.detach(), state.buffers, synthetic.x)
        classes = synthetic.y.shape[1]
        held = torch.bincount(synthetic.group, minlength=classes) > 0
        difference = _class_means(features, synthetic.group, classes) - _class_means(target, real.group, classes)
        return (difference[held] ** 2).sum()


def _class_means(features: Tensor, group: Tensor, classes: int) -> Tensor:
    """Mean feature of each class (classes, features); zero for a class without samples."""
    members = torch.nn.functional.one_hot(group, classes).to(features.dtype)  # (n, classes)
    return members.T @ features / members.sum(0).clamp_min(1)[:, None]
