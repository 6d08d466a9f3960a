"""Herding."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from limbeck.methods import Selection, indices_by_class
from limbeck.sources import Source
from limbeck.streams import numpy_stream


class Herding(Selection):
    """Real samples whose running mean stays nearest to their class's mean (Welling 2009).

    Step i takes argmin_x |(i + 1) mu - sum of the chosen - x|, in the prepared input space. Greedy and deterministic;
    replicate sets herd towards the mean of a random `share` of each class. On Fashion-MNIST it does not beat `k-means`
    (docs/results/methods.md).
    """

    paper: ClassVar[str] = "welling2009herding"
    cost: ClassVar[str] = "per_class passes over the data's pixels"

    share: float = 0.8

    def choose(self, source: Source, per_class: int, seed: int) -> Tensor:
        random = numpy_stream(seed, "share")
        chosen = []
        for own in indices_by_class(source, per_class):
            kept = max(per_class, round(self.share * len(own)))
            pool = own[torch.from_numpy(random.permutation(len(own))[:kept])]
            chosen.append(pool[_herd(source.train.x[pool].flatten(1).double(), per_class)])
        return torch.cat(chosen)


def _herd(points: Tensor, count: int) -> Tensor:
    """Indices of `count` points (n, d), each once."""
    mean, total = points.mean(0), torch.zeros_like(points[0])
    free = torch.ones(len(points), dtype=torch.bool)
    order = []
    for step in range(count):
        distance = ((step + 1) * mean - total - points).square().sum(1)
        nearest = int(torch.where(free, distance, torch.inf).argmin())
        free[nearest] = False
        total = total + points[nearest]
        order.append(nearest)
    return torch.tensor(order)
