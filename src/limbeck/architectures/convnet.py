"""The ConvNet of the dataset distillation literature."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from limbeck.architectures import (
    ACTIVATIONS,
    Activation,
    Architecture,
    Halving,
    Norm,
    check_groups,
    first_padding,
    need_images,
    norm_layer,
)
from limbeck.samples import Domain


class ConvNet(Architecture):
    """The ConvNet of the field: `depth` blocks of convolution, norm, activation and pooling, then a linear layer.

    A block is [3x3 convolution, stride 1, padding 1 -> norm -> activation -> 2x2 pooling, stride 2]; the classifier
    reads the flattened last map. The defaults (width 128, depth 3, instance norm, average pooling) are those of
    Zhao et al. 2021 after Gidaris & Komodakis 2018. One-channel 28x28 images are padded to 32x32 by the first
    convolution, which leaves 2048 features and 317,706 parameters for 10 classes. Each pooling halves the image, so
    images need 2**depth pixels a side: depth 3 for 8x8 to 32x32, 4 for 64x64.
    """

    width: int = Field(128, ge=1)
    depth: int = Field(3, ge=1)
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Literal["average", "max", "none"] = "average"

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        check_groups(self.norm, self.width)
        return self

    def build(self, domain: Domain) -> nn.Module:
        padding = first_padding(domain, 1)
        smallest = 1 if self.pooling == "none" else 2**self.depth - 2 * (padding - 1)
        channels, height, width = need_images(self, domain, smallest)
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            height, width = height + 2 * padding - 2, width + 2 * padding - 2
            layers += [
                nn.Conv2d(channels, self.width, 3, padding=padding),
                norm_layer(self.norm, self.width, height, width),
                ACTIVATIONS[self.activation](),
            ]
            channels, padding = self.width, 1
            if self.pooling != "none":
                layers.append(Halving() if self.pooling == "average" else nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, domain.classes))
