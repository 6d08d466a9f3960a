"""Kernel mean matching: do all moments of the features agree, not the mean alone?"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate, real_features


class KernelMean(Surrogate):
    """Class-wise squared maximum mean discrepancy of features under Gaussian kernels (Zhang et al. 2024).

    Sum over classes of E k(r, r') + E k(s, s') - 2 E k(r, s), over all pairs of real features r and synthetic features
    s of the class, each with itself too; f the input of the last linear layer. The kernel is the mean over
    `bandwidths` b of exp(-|u - v|^2 / (b d)), with d the mean squared distance between distinct real samples of the
    class, so that it does not depend on the features' scale. The paper's bandwidths were not at hand.
    """

    bandwidths: tuple[float, ...] = Field((0.25, 0.5, 1.0, 2.0, 4.0), min_length=1)

    @property
    def reads_labels(self) -> bool:
        return False

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        network, state = moment.dynamics.network, moment.state
        vector = state.vector.detach()
        target, _ = real_features(moment, real)
        features, _ = network.features_and_logits(vector, state.buffers, synthetic.x)
        total = features.new_zeros(())
        for label in torch.unique(synthetic.group).tolist():
            total = total + self.discrepancy(features[synthetic.group == label], target[real.group == label])
        return total

    def discrepancy(self, synthetic: Tensor, real: Tensor) -> Tensor:
        """The squared discrepancy of two samples (m, d) and (n, d)."""
        among_real = squared_distances(real, real)
        count = len(real)
        typical = (among_real.sum() / max(1, count * (count - 1))).clamp_min(1e-12)

        def mean(distances: Tensor) -> Tensor:
            kernels = [torch.exp(-distances / (bandwidth * typical)) for bandwidth in self.bandwidths]
            return torch.stack([kernel.mean() for kernel in kernels]).mean()

        crossed = squared_distances(synthetic, real)
        return mean(among_real) + mean(squared_distances(synthetic, synthetic)) - 2 * mean(crossed)


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """|u_i - v_j|^2 (m, n), by one matrix product; rounding below zero is cut off."""
    norms = (first * first).sum(1)[:, None] + (second * second).sum(1)
    return (norms - 2 * first @ second.T).clamp_min(0)
