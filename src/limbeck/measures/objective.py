"""The objective that a configuration lowers on a set of samples, with its gradient at any state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.dynamics import Dynamics, State
from limbeck.network import copied
from limbeck.samples import Samples
from limbeck.streams import stream


@dataclass(frozen=True)
class Objective:
    """L(theta) = mean soft cross-entropy on views of the samples + c |theta|^2 / 2, as the configuration trains.

    The network is in training mode and running statistics are left alone. Views are drawn from the configuration's
    augmentation, `views` of them, the same ones at every state: L is one function of theta. Networks without running
    statistics are summed over chunks; with them, the samples form one batch.
    """

    dynamics: Dynamics
    data: Samples
    views: int = 1
    seed: int = 0
    chunk: int = 512

    def at(self, state: State) -> tuple[float, Tensor]:
        """The objective and its gradient (p,)."""
        vector = state.vector.detach().clone().requires_grad_()
        total, gradient = 0.0, torch.zeros_like(vector)
        for loss in self._pieces(vector, state):
            total += float(loss.detach())
            gradient += torch.autograd.grad(loss, vector)[0]
        return total, gradient.detach()

    def value(self, state: State) -> float:
        """The objective alone."""
        with torch.no_grad():
            return sum(float(loss) for loss in self._pieces(state.vector, state))

    def pushed(self, state: State, tangent: Tensor) -> Tensor:
        """The Hessian times a vector (p,)."""
        vector = state.vector.detach().clone().requires_grad_()
        product = torch.zeros_like(vector)
        for loss in self._pieces(vector, state):
            (gradient,) = torch.autograd.grad(loss, vector, create_graph=True)
            product += torch.autograd.grad(gradient @ tangent, vector)[0]
        return product.detach()

    def _pieces(self, vector: Tensor, state: State) -> Iterator[Tensor]:
        """Scalars that sum to the objective."""
        dynamics, optimizer = self.dynamics, self.dynamics.configuration.optimizer
        size = len(self.data) if state.buffers else self.chunk
        augmentation = dynamics.configuration.augmentation
        views = 1 if augmentation.variant_name() == "none" else self.views
        with torch.enable_grad() if vector.requires_grad else torch.no_grad():
            for view in range(views):
                draw = augmentation.draw(len(self.data), dynamics.domain, stream(self.seed, "view", view))
                x, y = self.data.seen(draw)
                for part in torch.arange(len(x)).split(size):
                    buffers = copied(state.buffers)
                    share = len(part) / len(x) / views
                    yield dynamics.loss(vector, buffers, x[part], y[part]) * share
            if optimizer.penalty:
                yield optimizer.penalty / 2 * vector.square().sum()
