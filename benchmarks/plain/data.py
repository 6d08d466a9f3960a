"""Real images by class, and the passes over a set that every repository writes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Views = Callable[[Tensor], Tensor]


class RealImages:
    """A data set in memory with the positions of each class."""

    def __init__(self, x: Tensor, labels: Tensor, classes: int) -> None:
        self.x = x
        self.positions: list[list[int]] = [[] for _ in range(classes)]
        for position, label in enumerate(labels.tolist()):
            self.positions[label].append(position)

    def of_class(self, label: int, count: int) -> Tensor:
        """`count` random images of a class: the whole list is shuffled for them."""
        shuffled = np.random.permutation(self.positions[label])[:count]
        return self.x[shuffled]


def epoch(
    network: nn.Module,
    loader: DataLoader[tuple[Tensor, ...]],
    optimizer: torch.optim.Optimizer | None = None,
    views: Views | None = None,
) -> tuple[float, float]:
    """One pass, in training mode with an optimizer and else in evaluation mode: mean loss and accuracy."""
    criterion = nn.CrossEntropyLoss()
    network.train(optimizer is not None)
    total, right, seen = 0.0, 0.0, 0
    for x, y in loader:
        x, y = x.float() if x.dtype == torch.float16 else x, y.long()
        if views is not None:
            x = views(x)
        output = network(x)
        loss = criterion(output, y)
        right += float(np.sum(np.equal(np.argmax(output.cpu().data.numpy(), axis=-1), y.cpu().data.numpy())))
        total += loss.item() * len(y)
        seen += len(y)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return total / seen, right / seen


def loader(x: Tensor, labels: Tensor, batch: int = 256, shuffle: bool = True) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(x, labels), batch_size=batch, shuffle=shuffle, num_workers=0)
