"""Distance of predictions."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.measures.distances import TrainedDistance, visited
from limbeck.sources import Source


class Function(TrainedDistance):
    """Hellinger distance of the class probabilities on `probe` validation samples, at equal progress of training.

    `d(a, b)^2 = mean over samples and progress of 1/2 sum_c (E sqrt p_a(c) - E sqrt p_b(c))^2`, E over seeds, without
    the noise of the seeds. It is the distance of points in a Euclidean space, so a pseudo-metric, and lies in [0, 1].
    Samples are seen in each configuration's own domain.
    """

    probe: int = Field(256, ge=8)

    def features(
        self, configuration: Configuration, source: Source, seed: int, device: torch.device | str
    ) -> np.ndarray:
        """sqrt(p / 2) at every probe sample, class and progress, scaled so that squares average over samples."""
        dynamics, states = visited(configuration, source, seed, self.progress, device)
        probe = configuration.domain.shown(source.validation[: self.probe], source.domain)
        x = probe.x.to(dynamics.device)
        roots: list[Tensor] = [torch.softmax(dynamics.predict(state, x).double(), 1).sqrt() for state in states]
        scale = (2 * len(x) * len(states)) ** -0.5
        return np.asarray((torch.cat([root.flatten() for root in roots]) * scale).cpu().numpy())
