"""Distribution matching, one class after the other (Zhao & Bilen, WACV 2023)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from plain.augment import augment
from plain.data import RealImages
from plain.network import ConvNet


def matching_loss(network: ConvNet, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum over classes of |mean real feature - mean synthetic feature|^2; pairs of (real, synthetic) images."""
    loss = torch.tensor(0.0)
    for real, synthetic in pairs:
        output_real = network.embed(real).detach()
        output_synthetic = network.embed(synthetic)
        loss = loss + torch.sum((torch.mean(output_real, dim=0) - torch.mean(output_synthetic, dim=0)) ** 2)
    return loss


def step(
    network: nn.Module,
    real: RealImages,
    synthetic: Tensor,
    optimizer: torch.optim.Optimizer,
    per_class: int,
    batch: int = 256,
    siamese: bool = True,
) -> float:
    """One iteration: a fresh network given, `batch` real images a class, one update of the synthetic images."""
    assert isinstance(network, ConvNet)
    network.train()
    for parameter in network.parameters():
        parameter.requires_grad = False
    pairs = []
    for label in range(len(real.positions)):
        x_real = real.of_class(label, batch)
        x_synthetic = synthetic[label * per_class : (label + 1) * per_class]
        if siamese:
            seed = random.randrange(100000)
            x_real, x_synthetic = augment(x_real, True, seed), augment(x_synthetic, True, seed)
        pairs.append((x_real, x_synthetic))
    loss = matching_loss(network, pairs)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
