"""The multi-layer perceptron."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import nn

from limbeck.architectures import ACTIVATIONS, Activation, Architecture
from limbeck.samples import Domain


class MLP(Architecture):
    """A multi-layer perceptron on the flattened sample: `depth` hidden layers of `width` units, then a linear layer.

    h_l = activation(norm(W_l h_{l-1} + b_l)); logits = W h_depth + b. The defaults are the MLP of the dataset
    condensation literature (Zhao et al. 2021). It takes feature vectors and images of any size.
    """

    width: int = Field(128, ge=1)
    depth: int = Field(2, ge=0)
    norm: Literal["none", "batch", "layer"] = "none"
    activation: Activation = "relu"

    def build(self, domain: Domain) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        features = math.prod(domain.shape)
        for _ in range(self.depth):
            layers.append(nn.Linear(features, self.width))
            if self.norm == "batch":
                layers.append(nn.BatchNorm1d(self.width))
            elif self.norm == "layer":
                layers.append(nn.LayerNorm(self.width))
            layers.append(ACTIVATIONS[self.activation]())
            features = self.width
        return nn.Sequential(*layers, nn.Linear(features, domain.classes))
