"""A small vision transformer."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from limbeck.architectures import Architecture, need_images
from limbeck.samples import Domain


class ViT(Architecture):
    """A small vision transformer: linear patches, learned positions, pre-norm attention blocks, mean, a linear layer.

    A block is t <- t + attention(norm(t)), t <- t + W2 gelu(W1 norm(t)), with attention softmax(Q K^T / sqrt(d)) V in
    each of `heads` heads. Dosovitskiy et al. 2021, with the mean of all tokens in place of a class token (their
    appendix D.3) and no dropout. Images are padded with zeros at the right and below to whole patches. Attention is
    written as plain products: the fused kernels have no second derivative, which gradient matching needs.
    """

    patch: int = Field(4, ge=1)
    width: int = Field(64, ge=1)
    depth: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    expansion: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _heads_are_equal(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} can't be split over {self.heads} heads; use a multiple")
        return self

    def build(self, domain: Domain) -> nn.Module:
        channels, height, width = need_images(self, domain, self.patch)
        tokens = -(-height // self.patch) * -(-width // self.patch)
        return nn.Sequential(
            _Patches(self.patch, height, width),
            nn.Linear(channels * self.patch**2, self.width),
            _Positions(tokens, self.width),
            *(_Block(self) for _ in range(self.depth)),
            nn.LayerNorm(self.width),
            _Mean(),
            nn.Linear(self.width, domain.classes),
        )


class _Patches(nn.Module):
    """(n, channels, height, width) to (n, tokens, channels * patch * patch)."""

    def __init__(self, patch: int, height: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.missing = (0, -width % patch, 0, -height % patch)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, self.missing)
        x = x.unflatten(3, (-1, self.patch)).unflatten(
            2, (-1, self.patch)
        )  # (n, channels, rows, patch, columns, patch)
        return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class _Positions(nn.Module):
    """Adds a learned vector to each token, drawn with standard deviation 0.02."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.vectors


class _Block(nn.Module):
    """Attention between the tokens, then a hidden layer on each of them; (n, tokens, width) to the same."""

    def __init__(self, settings: ViT) -> None:
        super().__init__()
        width, hidden = settings.width, settings.expansion * settings.width
        self.heads = settings.heads
        self.norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.output(self._attention(self.norm(tokens)))
        return tokens + self.feed(tokens)

    def _attention(self, tokens: Tensor) -> Tensor:
        split = self.queries_keys_values(tokens).unflatten(
            2, (3, self.heads, -1)
        )  # (n, tokens, 3, heads, width / heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each (n, heads, tokens, width / heads)
        scores = queries @ keys.mT / queries.shape[-1] ** 0.5
        return (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)


class _Mean(nn.Module):
    """The mean token: (n, tokens, width) to (n, width)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(1)
