"""Whether a coverage law is more than chance.

Families share configurations, so residuals depend on each other and no p-value of least squares holds. Inference is by
permuting the configurations' labels in the matrix of distances, which keeps the size of every family and hence tests
diversity beyond log M, and by a jackknife that leaves out one group of near-duplicates at a time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from limbeck.laws.coverage_pool import Floors, Pool, diversities, excess_amplitudes, line, relabelled_entropy
from limbeck.laws.covers import Floats, greedy_cover
from limbeck.laws.subfamilies import Family, stratified
from limbeck.streams import numpy_stream

HALVINGS = 6


def permutation_p(pool: Pool, amplitude: Floats, *, permutations: int = 499, seed: int = 0) -> float:
    """How often distances with permuted labels explain amplitudes beyond log M as well as the true ones.

    The statistic is the partial correlation of the amplitude with sqrt(H) given sqrt(log M), H by greedy covers, one
    value a family; families keep their members, only the distances between them are another's.
    """
    sizes = np.array([one.size for one in pool.families])
    random = numpy_stream(seed, "coverage permutations")
    m = len(pool.distances)
    orders = np.stack([np.arange(m), *(random.permutation(m) for _ in range(permutations))])  # (1 + permutations, m)
    entropy = relabelled_entropy(pool, orders)
    control = np.stack([np.ones(len(sizes)), np.sqrt(np.log(sizes))], 1)
    projector = np.eye(len(sizes)) - control @ np.linalg.pinv(control)
    y = projector @ amplitude
    x = np.sqrt(entropy) @ projector
    length = np.sqrt((x**2).sum(1))
    found = np.where(length > 1e-9, x @ y / np.maximum(length, 1e-9), 0.0)
    return float((1 + np.sum(found[1:] >= found[0] - 1e-12)) / (1 + permutations))


def jackknife(pool: Pool, statistic: Callable[[Pool], float]) -> tuple[float, int]:
    """Standard error of a statistic of the pool, leaving out one group of near-duplicates at a time, and the groups.

    Groups are the members nearest to each centre of a cover at the pool's radius: leaving out single configurations
    would leave their duplicates in, and understate the error.
    """
    centres = greedy_cover(pool.distances, pool.radius)
    group = np.argmin(pool.distances[centres], axis=0)
    values = []
    for label in range(len(centres)):
        left = pool.without(np.flatnonzero(group == label).tolist())
        if len(left.families) >= 4:
            values.append(statistic(left))
    kept = np.array([value for value in values if math.isfinite(value)])
    n = len(kept)
    return (float(np.sqrt((n - 1) / n * np.sum((kept - kept.mean()) ** 2))), n) if n > 2 else (math.nan, n)


def held_out(pool: Pool, floors: Floors, seed: int) -> dict[str, float]:
    """Predictive R2 of each measure: the line of families of one random half of the pool, on those of the other half.

    The baseline is the mean amplitude of the half that the line was fitted to; the median over halvings. Empty for
    fewer than 16 configurations.
    """
    m = len(pool.distances)
    if m < 16:
        return {}
    random = numpy_stream(seed, "coverage halves")
    scores: dict[str, list[float]] = defaultdict(list)
    for turn in range(HALVINGS):
        order = random.permutation(m)
        halves = []
        for half in (order[: m // 2], order[m // 2 :]):
            block = pool.distances[np.ix_(half, half)]
            sizes = sorted({2, 4, m // 4, m // 2 - 1})
            drawn = stratified(block, sizes, each=8, radius=pool.radius, seed=seed + turn)
            there = tuple(Family(one.name, tuple(int(half[i]) for i in one.members)) for one in drawn)
            own = replace(pool, families=there)
            measured = diversities(pool.distances, there, pool.radius, exact=False)
            halves.append((measured, excess_amplitudes(own, floors)))
        for (x, y), (x_out, y_out) in (halves, halves[::-1]):
            for name in x:
                c0, c1 = line(np.sqrt(x[name]), y)
                misfit = np.sum((y_out - c0 - c1 * np.sqrt(x_out[name])) ** 2)
                scores[name].append(float(1 - misfit / np.sum((y_out - y.mean()) ** 2)))
    return {name: float(np.median(found)) for name, found in scores.items()}
