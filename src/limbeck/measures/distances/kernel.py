"""Distance of tangent kernels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.func import jacrev, vmap

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, State
from limbeck.measures.distances import TrainedDistance, visited
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.streams import derive, stream


class Kernel(TrainedDistance):
    """Alignment of empirical tangent kernels on `probe` validation samples: how gradients go together.

    K(x, x') = 1/C sum_c <grad f_c(x), P^-1 grad f_c(x')>, f_c the logit of class c and P the metric that the optimizer
    descends in at that state (sqrt(v) for Adam), averaged over `views` draws of the configuration's augmentation and
    over progress, each kernel scaled to a mean trace of 1: any two architectures can be compared. With U-centred
    kernels the inner product is the unbiased HSIC (Song et al. 2012, Szekely & Rizzo 2014), and `d = sqrt(2 - 2 CKA)`,
    CKA with inner products of different seeds everywhere, so that duplicates are 0 apart (Kornblith et al. 2019 for
    CKA, Jacot et al. 2018 for the kernel).

    `damping` is added to P, as a share of its root mean square: a parameter that has never had a gradient has P = 0 and
    would be all that the kernel sees. Cost: `probe` backward passes a class, view, progress and seed.
    """

    probe: int = Field(48, ge=8)
    views: int = Field(2, ge=1)
    damping: float = Field(0.1, gt=0)
    progress: tuple[float, ...] = Field((0.5, 1.0), min_length=1)

    angular: ClassVar[bool] = True

    def features(
        self, configuration: Configuration, source: Source, seed: int, device: torch.device | str
    ) -> np.ndarray:
        """The U-centred kernel of one training, its entries in a row."""
        dynamics, states = visited(configuration, source, seed, self.progress, device)
        probe = configuration.domain.shown(source.validation[: self.probe], source.domain)
        total = np.zeros((len(probe), len(probe)))
        for state in states:
            kernel = self._kernel(dynamics, state, probe, seed)
            total += kernel * len(kernel) / np.trace(kernel)
        return u_centred(total).ravel()

    def _kernel(self, dynamics: Dynamics, state: State, probe: Samples, seed: int) -> np.ndarray:
        """The preconditioned tangent kernel at one state, averaged over views: (probe, probe)."""
        optimizer = dynamics.configuration.optimizer
        metric = torch.as_tensor(
            optimizer.metric(state.moments, max(state.since_restart - 1, 0)), dtype=state.vector.dtype
        ).expand_as(state.vector)
        root = (metric + self.damping * metric.square().mean().sqrt()).rsqrt()  # (p,)
        total = torch.zeros(len(probe), len(probe), dtype=torch.float64)
        plain = dynamics.configuration.augmentation.variant_name() == "none"
        for view in range(1 if plain else self.views):
            draw = dynamics.configuration.augmentation.draw(
                len(probe), dynamics.domain, stream(derive(seed, "kernel"), "view", view)
            )
            x, _ = draw(probe.x.to(dynamics.device), probe.y.to(dynamics.device))
            for label in range(dynamics.domain.classes):
                rows = _gradients(dynamics, state, x, label) * root  # (probe, p)
                total += (rows @ rows.T).double().cpu()
        return np.asarray(total.numpy())


def _gradients(dynamics: Dynamics, state: State, x: Tensor, label: int) -> Tensor:
    """Gradient of one class's logit of each sample with respect to the parameters: (n, p)."""

    def logit(vector: Tensor, sample: Tensor) -> Tensor:
        return dynamics.network.logits(vector, state.buffers, sample[None])[0, label]

    return torch.cat([vmap(jacrev(logit), (None, 0))(state.vector, part) for part in x.split(64)]).detach()


def u_centred(kernel: np.ndarray) -> np.ndarray:
    """The U-centred matrix: its inner products, over n (n - 3), are the unbiased HSIC. Diagonal 0; (n, n)."""
    n = len(kernel)
    k = kernel - np.diag(np.diag(kernel))
    rows = k.sum(1)
    centred = k - rows[:, None] / (n - 2) - rows[None] / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return np.asarray(centred / np.sqrt(n * (n - 3)))
