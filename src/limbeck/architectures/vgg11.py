"""VGG-11 for small images."""

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

STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # width multiples; a pooling ends each stage


class VGG11(Architecture):
    """VGG-11 for 32x32 images: eight 3x3 convolutions of 64 to 512 channels in five pooled stages, a linear layer.

    The form that the dataset condensation literature transfers to (Zhao et al. 2021), after Simonyan & Zisserman
    2015: norm after every convolution, 2x2 max pooling, no hidden linear layer. `width` is the 64 that all channel
    counts are multiples of. One-channel 28x28 images are padded to 32x32; for smaller images a
    pooling that would show a single pixel to the next norm is left out.
    """

    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        check_groups(self.norm, self.width)
        return self

    def build(self, domain: Domain) -> nn.Module:
        channels, height, width = need_images(self, domain, 2)
        padding = first_padding(domain, 1)
        height, width = height + 2 * padding - 2, width + 2 * padding - 2
        layers: list[nn.Module] = []
        for stage, multiples in enumerate(STAGES, start=1):
            for multiple in multiples:
                layers += [
                    nn.Conv2d(channels, multiple * self.width, 3, padding=padding),
                    norm_layer(self.norm, multiple * self.width, height, width),
                    ACTIVATIONS[self.activation](),
                ]
                channels, padding = multiple * self.width, 1
            smallest = 1 if stage == len(STAGES) else 2
            if min(height, width) // 2 >= smallest:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, domain.classes))
