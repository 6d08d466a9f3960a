"""LeNet-5."""

from __future__ import annotations

from typing import Literal

from torch import nn

from limbeck.architectures import ACTIVATIONS, Activation, Architecture, Halving, first_padding, need_images
from limbeck.samples import Domain

SMALL = 16  # below it, two unpadded 5x5 convolutions and two poolings leave nothing


class LeNet(Architecture):
    """LeNet-5: two 5x5 convolutions (6 and 16 channels), each with 2x2 pooling, then 120, 84 and the classes.

    As in the dataset condensation literature (Zhao et al. 2021) after LeCun et al. 1998: ReLU and max pooling,
    28x28 images padded to 32x32. Images below 16 pixels a side, which the paper does not know, keep their size in
    both convolutions.
    """

    activation: Activation = "relu"
    pooling: Literal["max", "average"] = "max"

    def build(self, domain: Domain) -> nn.Module:
        channels, height, width = need_images(self, domain, 4)
        kept = 2 if min(height, width) < SMALL else 0
        layers: list[nn.Module] = []
        for outputs, padding in ((6, first_padding(domain, kept)), (16, kept)):
            layers += [
                nn.Conv2d(channels, outputs, 5, padding=padding),
                ACTIVATIONS[self.activation](),
                nn.MaxPool2d(2) if self.pooling == "max" else Halving(),
            ]
            channels = outputs
            height, width = ((side + 2 * padding - 4) // 2 for side in (height, width))
        layers.append(nn.Flatten())
        features = channels * height * width
        for units in (120, 84):
            layers += [nn.Linear(features, units), ACTIVATIONS[self.activation]()]
            features = units
        return nn.Sequential(*layers, nn.Linear(features, domain.classes))
