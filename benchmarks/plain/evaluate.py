"""Train one network after the other on a set, and test each once (the common evaluation of condensed sets)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from plain.augment import augment
from plain.data import epoch, loader

Rule = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def evaluate(
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    tests: list[tuple[Tensor, Tensor]],
    rule: Rule,
    epochs: int,
    batch: int = 256,
    siamese: bool = False,
) -> list[tuple[float, float]]:
    """Loss and error on each of the test sets after `epochs` passes under a cosine schedule."""
    optimizer = rule(list(network.parameters()))
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    passes = loader(*train, batch)
    views = (lambda x: augment(x, False)) if siamese else None
    for _ in range(epochs):
        epoch(network, passes, optimizer, views)
        rates.step()
    with torch.no_grad():
        found = [epoch(network, loader(*test, shuffle=False)) for test in tests]
    return [(loss, 1 - right) for loss, right in found]
