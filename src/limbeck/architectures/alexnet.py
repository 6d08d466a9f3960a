"""AlexNet for small images."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from torch import nn

from limbeck.architectures import (
    ACTIVATIONS,
    Activation,
    Architecture,
    Norm,
    check_groups,
    first_padding,
    need_images,
    norm_layer,
)
from limbeck.samples import Domain

# width multiple, kernel size, whether a pooling follows
BLOCKS = ((2, 5, True), (3, 5, True), (4, 3, False), (3, 3, False), (3, 3, True))


class AlexNet(Architecture):
    """AlexNet for 32x32 images: convolutions of 128, 192, 256, 192, 192 channels with three poolings, a linear layer.

    The form that the dataset condensation literature transfers to (Zhao et al. 2021), after Krizhevsky et al. 2012:
    5x5 kernels twice, then 3x3, 2x2 max pooling, no hidden linear layer. `width` is the 64 that all channel counts
    are multiples of. One-channel 28x28 images are padded to 32x32.
    """

    width: int = Field(64, ge=1)
    norm: Norm = "none"
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        check_groups(self.norm, self.width)
        return self

    def build(self, domain: Domain) -> nn.Module:
        channels, height, width = need_images(self, domain, 8)
        extra = first_padding(domain, 0)
        layers: list[nn.Module] = []
        for multiple, kernel, pooled in BLOCKS:
            height, width = height + 2 * extra, width + 2 * extra
            layers += [
                nn.Conv2d(channels, multiple * self.width, kernel, padding=kernel // 2 + extra),
                norm_layer(self.norm, multiple * self.width, height, width),
                ACTIVATIONS[self.activation](),
            ]
            channels, extra = multiple * self.width, 0
            if pooled:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, domain.classes))
