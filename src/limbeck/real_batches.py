"""Which real samples a surrogate is shown at an outer step."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.samples import Samples
from limbeck.states import Scene, on_real
from limbeck.streams import derive, stream

POOL = 1024  # samples of a class that are clustered: a random part of a larger class stands for it
ROUNDS = 20  # of Lloyd's algorithm at most


def random_batch(scene: Scene, batch: int, step: int) -> Samples:
    """Up to `batch` samples of each class, class by class, without replacement within a class."""
    generator = stream(scene.seed, "real", step)
    chosen = [own[torch.randperm(len(own), generator=generator)[:batch]] for own in scene.members]
    return scene.train[torch.cat(chosen)]


def representative_batch(scene: Scene, batch: int, step: int, every: int) -> Samples:
    """The real samples nearest to `batch` k-means centres of each class, renewed every `every` steps (DREAM).

    Liu et al. 2023 cluster the features of the network that is matched on; here the features are those of a fresh
    network, drawn anew at each clustering, so that a resumed run needs nothing of an earlier one. A sample is taken
    once; where two centres share their nearest sample the second gets none.
    """
    return scene.train[_representatives(scene, batch, step // every)]


@lru_cache(maxsize=1)
def _representatives(scene: Scene, batch: int, window: int) -> Tensor:
    dynamics = scene.dynamics
    state = on_real(scene, dynamics.initial(derive(scene.seed, "representative", window)), window)
    generator = stream(scene.seed, "pool", window)
    chosen = []
    for label, own in enumerate(scene.members):
        pool = own[torch.randperm(len(own), generator=generator)[:POOL]]
        if len(pool) > batch:
            x = scene.train.x[pool].to(dynamics.device, dynamics.dtype)
            with torch.no_grad():
                features, _ = dynamics.network.features_and_logits(state.vector, state.buffers, x)
            pool = pool[nearest_to_centres(features, batch, derive(scene.seed, "clusters", window, label))]
        chosen.append(pool)
    return torch.cat(chosen)


def nearest_free(points: Tensor, count: int, seed: int, restarts: int = 1) -> Tensor:
    """Indices of `count` points (n, d), one for each k-means centre: the nearest that no earlier centre has taken."""
    taken: list[int] = []
    for distance in _to_centres(points, count, seed, n_init=restarts).T:
        order = np.argsort(distance, kind="stable")
        taken.append(int(next(i for i in order if i not in taken)))
    return torch.tensor(taken)


def nearest_to_centres(points: Tensor, count: int, seed: int) -> Tensor:
    """Indices of the points (n, d) nearest to `count` k-means centres, each once, in order."""
    return torch.from_numpy(np.unique(_to_centres(points, count, seed, n_init=1, max_iter=ROUNDS).argmin(0)))


def _to_centres(points: Tensor, count: int, seed: int, **settings: int) -> np.ndarray[Any, Any]:
    """The distance of each point (n, d) to each of `count` k-means centres (n, centres)."""
    from sklearn.cluster import KMeans

    held = points.cpu().double().numpy()
    distances: np.ndarray[Any, Any] = KMeans(count, random_state=seed % 2**32, **settings).fit(held).transform(held)
    return distances
