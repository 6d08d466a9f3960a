"""ResNet-18 for small images."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

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

STAGES = (1, 2, 4, 8)  # width multiples; two blocks each, and all but the first stage halve the map


class ResNet18(Architecture):
    """ResNet-18: a stem and eight residual blocks of 64 to 512 channels in four stages, global mean, a linear layer.

    He et al. 2016 in the form of the dataset condensation literature (Zhao et al. 2021): `stem=small` is one 3x3
    convolution without pooling, for images of about 32x32; `stem=large` the original 7x7 convolution and 3x3 pooling,
    which divide the sides by 4. `downsampling=average` replaces convolutions of stride 2 by stride 1 and 2x2 average
    pooling and flattens the last map in place of its mean (the literature's ResNet18_AP). `width` is the 64 that all
    channel counts are multiples of. One-channel 28x28 images are padded to 32x32; for images below 16 pixels a
    halving that would show a single pixel to a norm is left out.
    """

    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    activation: Activation = "relu"
    stem: Literal["small", "large"] = "small"
    downsampling: Literal["stride", "average"] = "stride"

    @model_validator(mode="after")
    def _groups_are_equal(self) -> Self:
        check_groups(self.norm, self.width)
        return self

    def build(self, domain: Domain) -> nn.Module:
        channels, height, width = need_images(self, domain, 8 if self.stem == "large" else 2)
        layers, height, width = self._stem(domain, channels, height, width)
        channels = self.width
        for stage, multiple in enumerate(STAGES):
            for block in range(2):
                halves = stage > 0 and block == 0 and min(height, width) // 2 >= 2
                layers.append(_Block(self, channels, multiple * self.width, height, width, halves))
                if halves:
                    height, width = _halved(height, self.downsampling), _halved(width, self.downsampling)
                channels = multiple * self.width
        if self.downsampling == "average":
            return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, domain.classes))
        return nn.Sequential(*layers, _Mean(), nn.Linear(channels, domain.classes))

    def _stem(self, domain: Domain, channels: int, height: int, width: int) -> tuple[list[nn.Module], int, int]:
        """The layers before the first stage and the size of the map that they leave."""
        bias = self.norm == "none"
        if self.stem == "small":
            padding = first_padding(domain, 1)
            height, width = height + 2 * padding - 2, width + 2 * padding - 2
            convolution = nn.Conv2d(channels, self.width, 3, padding=padding, bias=bias)
        else:
            height, width = (height + 1) // 2, (width + 1) // 2
            convolution = nn.Conv2d(channels, self.width, 7, stride=2, padding=3, bias=bias)
        layers = [convolution, norm_layer(self.norm, self.width, height, width), ACTIVATIONS[self.activation]()]
        if self.stem == "large":
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
            height, width = (height + 1) // 2, (width + 1) // 2
        return layers, height, width


def _halved(side: int, downsampling: str) -> int:
    """A padded convolution of stride 2 rounds up, pooling rounds down."""
    return (side + 1) // 2 if downsampling == "stride" else side // 2


class _Block(nn.Module):
    """activation(body(x) + shortcut(x)), body = [3x3 convolution, norm, activation, 3x3 convolution, norm]."""

    def __init__(self, settings: ResNet18, inputs: int, outputs: int, height: int, width: int, halves: bool) -> None:
        super().__init__()
        bias = settings.norm == "none"
        stride = 2 if halves and settings.downsampling == "stride" else 1
        pools = halves and settings.downsampling == "average"
        if halves:
            height, width = _halved(height, settings.downsampling), _halved(width, settings.downsampling)

        def norm() -> nn.Module:
            return norm_layer(settings.norm, outputs, height, width)

        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias),
            *([Halving()] if pools else []),
            norm(),
            ACTIVATIONS[settings.activation](),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias),
            norm(),
        )
        self.shortcut = nn.Sequential()
        if halves or inputs != outputs:
            self.shortcut = nn.Sequential(
                *([Halving()] if pools else []),
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=bias),
                norm(),
            )
        self.activation = ACTIVATIONS[settings.activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class _Mean(nn.Module):
    """The mean of each channel: (n, channels, height, width) to (n, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))
