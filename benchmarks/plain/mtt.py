"""Trajectory matching with the whole unroll in one graph (Cazenavette et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

Views = Callable[[Tensor], Tensor]


def matching_loss(
    network: nn.Module,
    start: Tensor,
    target: Tensor,
    synthetic: Tensor,
    labels: Tensor,
    step_size: Tensor,
    steps: int,
    batch: int = 256,
    views: Views | None = None,
) -> Tensor:
    """|end - target|^2 / |start - target|^2 after `steps` of gradient descent from `start`; parameters are flat."""
    named = list(network.named_parameters())
    sizes = [parameter.numel() for _, parameter in named]

    def unflattened(vector: Tensor) -> dict[str, Tensor]:
        pieces = torch.split(vector, sizes)
        return {name: piece.view(own.shape) for (name, own), piece in zip(named, pieces, strict=True)}

    criterion = nn.CrossEntropyLoss()
    student = [start.clone().requires_grad_(True)]
    chunks: list[Tensor] = []
    for _ in range(steps):
        if not chunks:
            chunks = list(torch.split(torch.randperm(len(synthetic)), batch))
        chosen = chunks.pop()
        x, y = synthetic[chosen], labels[chosen]
        if views is not None:
            x = views(x)
        loss = criterion(functional_call(network, unflattened(student[-1]), (x,)), y)
        (gradient,) = torch.autograd.grad(loss, student[-1], create_graph=True)
        student.append(student[-1] - step_size * gradient)
    distance = nn.functional.mse_loss(student[-1], target, reduction="sum")
    return distance / nn.functional.mse_loss(start, target, reduction="sum")
