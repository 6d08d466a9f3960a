"""k-Center: the real samples that leave none far away."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from limbeck.methods import Selection, indices_by_class
from limbeck.sources import Source
from limbeck.streams import numpy_stream


class KCenter(Selection):
    """Greedy farthest points of each class (Gonzalez 1985; for coresets Sener & Savarese 2018).

    From a random sample on, each next one is the sample farthest from all chosen ones, in the prepared input space. The
    largest distance of any sample to its nearest chosen one is at most twice the smallest possible. It favours
    outliers, and the literature finds it below random at several sizes. On Fashion-MNIST at 10 a class so do we
    (docs/results/methods.md).
    """

    paper: ClassVar[str] = "sener2018coreset"
    cost: ClassVar[str] = "per_class passes over the data's pixels"

    def choose(self, source: Source, per_class: int, seed: int) -> Tensor:
        random = numpy_stream(seed, "first")
        chosen = []
        for own in indices_by_class(source, per_class):
            first = int(random.integers(len(own)))
            chosen.append(own[_farthest(source.train.x[own].flatten(1).double(), per_class, first)])
        return torch.cat(chosen)


def _farthest(points: Tensor, count: int, first: int) -> Tensor:
    """Indices of `count` points (n, d), each once, beginning with `first`."""
    order = [first]
    nearest = torch.full((len(points),), torch.inf, dtype=points.dtype)  # squared distance to the nearest chosen
    while len(order) < count:
        nearest = torch.minimum(nearest, (points - points[order[-1]]).square().sum(1))
        nearest[order] = -1.0  # a chosen sample is never chosen again, not even where all others are its copies
        order.append(int(nearest.argmax()))
    return torch.tensor(order)
