"""Planted worlds of configurations, where the truth about coverage is known: for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.laws.bend import decay
from limbeck.laws.covers import Floats
from limbeck.laws.worst import Runs
from limbeck.streams import numpy_stream


@dataclass(frozen=True)
class World:
    """Clusters of near-duplicates whose gaps are a Gaussian field with a known metric.

    gap_a(S) = f_a + (c + s g_a(S)) k^-1/2, with g(S) a new draw for each set of a field of variance 1 and covariance
    `1 - d^2 / 2`, d^2 = 2 - 2 exp(-|x_a - x_b|^2 / 2): clusters lie at random places in `dims` dimensions, their
    members `jitter` around them. With `identical`, every configuration has the same gap on every set. With a `bend`,
    k^-1/2 is a law whose exponent changes by so much a decade, 1/2 at the middle k and the same excess at the smallest.
    """

    clusters: int = 48
    copies: int = 8
    dims: int = 6
    spread: float = 1.5
    jitter: float = 0.02
    levels: tuple[int, ...] = (10, 20, 50, 100, 200, 500)
    sets: int = 3
    seeds: int = 2
    references: int = 4
    seed_sd: float = 0.01
    floor: float = 0.02
    constant: float = 0.6
    scale: float = 0.25
    distance_error: float = 0.05
    identical: bool = False
    bend: float = 0.0

    def excess(self, k: Floats) -> Floats:
        """What stands for k^-1/2."""
        least, most = float(self.levels[0]), float(self.levels[-1])
        falls = decay(k, least, (least * most) ** 0.5, np.array([0.5]), np.array([self.bend]))[0]
        return np.asarray(least**-0.5 * falls)

    def draw(self, seed: int) -> tuple[Runs, Floats, Floats]:
        """Runs, the noisy distances that an experiment would measure, and the true ones."""
        random = numpy_stream(seed, "world")
        m, k = self.clusters * self.copies, np.array(self.levels, float)
        centres = self.spread * random.standard_normal((self.clusters, self.dims))
        x = np.repeat(centres, self.copies, axis=0) + self.jitter * random.standard_normal((m, self.dims))
        squares = ((x[:, None] - x[None]) ** 2).sum(2)
        covariance = np.exp(-squares / 2)
        values, vectors = np.linalg.eigh(covariance)
        factor = vectors * np.sqrt(np.clip(values, 0, None))
        field = factor @ random.standard_normal((m, len(k) * self.sets))
        floors = np.repeat(random.uniform(0, self.floor, self.clusters), self.copies)
        if self.identical:
            field, floors = np.zeros_like(field), np.zeros(m)
        field = field.reshape(m, len(k), self.sets)
        gap = floors[:, None, None] + (self.constant + self.scale * field) * self.excess(k)[None, :, None]
        error = 0.04 + gap[..., None] + self.seed_sd * random.standard_normal((*gap.shape, self.seeds))
        reference = 0.04 + self.seed_sd * random.standard_normal((m, self.references))
        true = np.sqrt(2 - 2 * covariance)
        noise = self.distance_error * random.standard_normal((m, m))
        measured = np.maximum(true + (noise + noise.T) / 2**0.5, 0)
        np.fill_diagonal(measured, 0)
        np.fill_diagonal(true, 0)
        return Runs("planted", tuple(f"c{row:03d}" for row in range(m)), k, error, reference), measured, true
