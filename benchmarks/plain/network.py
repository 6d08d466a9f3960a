"""Networks as everybody writes them."""

from __future__ import annotations

import math

from torch import Tensor, nn


class ConvNet(nn.Module):
    """Blocks of convolution, instance norm, ReLU and average pooling, then a linear classifier (Zhao et al. 2021)."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        channels, height, _ = shape
        padding = 3 if shape == (1, 28, 28) else 1
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                nn.Conv2d(channels, width, kernel_size=3, padding=padding),
                nn.GroupNorm(width, width, affine=True),
                nn.ReLU(inplace=True),
                nn.AvgPool2d(kernel_size=2, stride=2),
            ]
            height = (height + 2 * padding - 2) // 2
            channels, padding = width, 1
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * height * height, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Features (n, features)."""
        return self.features(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.embed(x))


class MLP(nn.Module):
    """Two hidden layers of 128 units."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 128) -> None:
        super().__init__()
        self.first = nn.Linear(math.prod(shape), width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, classes)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.first(x.flatten(1)))
        return self.last(self.activation(self.second(hidden)))
