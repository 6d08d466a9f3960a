"""Distance of gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, error_and_loss, train
from limbeck.measures.distances import Distance, OnDone, checked, seed_of
from limbeck.measures.split_seeds import DistanceMatrix, split_seed_distances
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.streams import derive, stream


class RiskProfile(Distance):
    """Root mean square difference of gaps over probe sets: the metric that the coverage law is written in.

    Probe sets are `sets` random subsets of the training data, half of them with `per_class` samples of each class and
    half with four times as many, where classes are that large. `d(a, b)^2` is the mean over probe sets of
    `(E gap_a - E gap_b)^2`, E over `seeds` trainings and without their noise. Gaps are of validation error, so the test
    split is not touched. Sets that a law is fitted to must be others.
    """

    seeds: int = Field(4, ge=2)
    sets: int = Field(8, ge=2)
    per_class: int = Field(2, ge=1)

    def matrix(
        self,
        configurations: Sequence[Configuration],
        source: Source,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        on_done: OnDone | None = None,
    ) -> DistanceMatrix:
        names = checked(configurations)
        probes = [self._probe(source, seed, index) for index in range(self.sets)]
        features = []
        for count, one in enumerate(configurations, start=1):
            dynamics = Dynamics(one, source.domain, device=device)
            held_out = one.domain.apply(source.validation, source.domain)
            trained = [
                [
                    _error(dynamics, samples, held_out, seed_of(one, seed, i), place)
                    for place, samples in enumerate(sets)
                ]
                for i, sets in enumerate([[source.train, *probes]] * self.seeds)
            ]
            errors = np.array(trained)  # (seeds, 1 + sets)
            features.append((errors[:, 1:] - errors[:, :1]) / np.sqrt(self.sets))
            if on_done:
                on_done(count, len(names))
        return split_seed_distances("risk-profile", names, np.array(features))

    def _probe(self, source: Source, seed: int, index: int) -> Samples:
        per_class = self.per_class * (4 if index % 2 else 1)
        chosen = []
        for label, count in enumerate(source.class_counts()):
            own = torch.nonzero(source.train.group == label).flatten()
            order = torch.randperm(count, generator=stream(seed, "probe set", index, label))
            chosen.append(own[order[: min(per_class, count)]])
        return source.train[torch.cat(chosen)]


def _error(dynamics: Dynamics, samples: Samples, held_out: Samples, seed: int, place: int) -> float:
    state = train(dynamics, samples, derive(seed, "probe", place)).state
    return error_and_loss(dynamics, state, held_out)[0]
