"""Nearest real samples to each class's k-means centres."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from limbeck.methods import Selection, indices_by_class
from limbeck.sources import Source
from limbeck.streams import derive


class KMeans(Selection):
    """The real sample nearest to each of `per_class` k-means centres of its class, in the prepared input space.

    The strongest coreset of the literature at few samples a class (Cui et al. 2022). A sample is taken once; a centre
    whose nearest sample is taken gets its next nearest. Centres by scikit-learn, k-means++ from the set's own seed.
    """

    paper: ClassVar[str] = "cui2022dcbench"
    cost: ClassVar[str] = "one k-means a class"

    restarts: int = 1

    def choose(self, source: Source, per_class: int, seed: int) -> Tensor:
        chosen = []
        for label, own in enumerate(indices_by_class(source, per_class)):
            points = source.train.x[own].flatten(1).double().numpy()
            chosen.append(own[torch.from_numpy(self._nearest(points, per_class, derive(seed, "k-means", label)))])
        return torch.cat(chosen)

    def _nearest(self, points: np.ndarray, count: int, seed: int) -> np.ndarray:
        from sklearn.cluster import KMeans as ScikitKMeans

        model = ScikitKMeans(count, n_init=self.restarts, random_state=seed % 2**32).fit(points)
        distance = model.transform(points)  # (n, centres)
        taken: list[int] = []
        for centre in range(count):
            order = np.argsort(distance[:, centre], kind="stable")
            taken.append(int(next(i for i in order if i not in set(taken))))
        return np.array(taken)
