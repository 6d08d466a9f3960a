"""Gradient matching, one class after the other, with a DataLoader between (Zhao et al., ICLR 2021)."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from plain.augment import augment
from plain.data import RealImages, epoch, loader


def matching_loss(network: nn.Module, real: Tensor, synthetic: Tensor, label: int) -> Tensor:
    """1 - cosine of the loss gradients of both batches, over the output rows of each weight, summed."""
    parameters = list(network.parameters())
    criterion = nn.CrossEntropyLoss()
    y_real, y_synthetic = (torch.full((len(x),), label, dtype=torch.long) for x in (real, synthetic))
    gradients = torch.autograd.grad(criterion(network(real), y_real), parameters)
    target = [gradient.detach().clone() for gradient in gradients]
    reached = torch.autograd.grad(criterion(network(synthetic), y_synthetic), parameters, create_graph=True)
    loss = torch.tensor(0.0)
    for theirs, ours in zip(target, reached, strict=True):
        if theirs.dim() == 1:
            continue
        theirs, ours = theirs.reshape(theirs.shape[0], -1), ours.reshape(ours.shape[0], -1)
        norms = torch.norm(theirs, dim=-1) * torch.norm(ours, dim=-1)
        loss = loss + torch.sum(1 - torch.sum(theirs * ours, dim=-1) / (norms + 1e-6))
    return loss


def match(
    network: nn.Module,
    real: RealImages,
    synthetic: Tensor,
    optimizer: torch.optim.Optimizer,
    per_class: int,
    batch: int = 256,
    siamese: bool = False,
) -> float:
    """One update of the synthetic images at the network's parameters."""
    network.train()
    loss = torch.tensor(0.0)
    for label in range(len(real.positions)):
        x_real = real.of_class(label, batch)
        x_synthetic = synthetic[label * per_class : (label + 1) * per_class].reshape(per_class, *synthetic.shape[1:])
        if siamese:
            seed = random.randrange(100000)
            x_real, x_synthetic = augment(x_real, True, seed), augment(x_synthetic, True, seed)
        loss = loss + matching_loss(network, x_real, x_synthetic, label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def follow(network: nn.Module, synthetic: Tensor, labels: Tensor, epochs: int, lr: float = 0.01) -> None:
    """Train the network on the set as it is, `epochs` passes."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    passes = loader(synthetic.detach().clone(), labels.detach().clone())
    for _ in range(epochs):
        epoch(network, passes, optimizer)
