"""Which configuration of a family may be the worst, and which run would tell: the search for the largest gap.

The gaps of a family at one k are a Gaussian field over its configurations,

    gap ~ N(m, t^2 ((1 - OWN) exp(-d / l) + OWN [same])),

so what was measured speaks for its neighbours as far as distances allow, and a configuration far from all that were
measured is as doubtful as before. Length l and spread t are averaged over a grid with the marginal likelihood as
weights; where distances say nothing of gaps the shortest length wins and every configuration speaks for itself. The
largest gap comes from joint draws, so its mean is free of the winner's curse of the largest noisy mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limbeck.errors import BadData
from limbeck.laws.covers import Floats, checked_distances, farthest_order
from limbeck.laws.estimate import Estimate
from limbeck.streams import numpy_stream

DRAWS = 1000
FIRST = 4  # configurations measured before gaps guide the choice
OWN = 0.05  # share of the variance that no neighbour knows of
EVEN_SHARE = 0.1  # of runs, drawn evenly, because distances may mislead
_LENGTHS = (0.1, 0.3, 1.0, 3.0)  # times the median distance
_SPREADS = (0.7, 1.4)  # times the standard deviation of the measured gaps


@dataclass(frozen=True)
class Suspects:
    """What is known of every configuration of a family; `(configurations,)` each."""

    mean: Floats
    sd: Floats
    chance: Floats  # of having the largest gap
    worst: Estimate  # the largest gap

    def value(self, variance: Floats) -> Floats:
        """By how much a run with such a variance lowers the expected variance of the worst gap, `sum chance sd^2`.

        That is `chance sd^4 / (sd^2 + variance)`: it grows with the distance to what was measured. A configuration that
        is the largest in no draw has half a draw's chance.
        """
        chance = np.maximum(self.chance, 0.5 / DRAWS)
        return np.asarray(chance * self.sd**4 / (self.sd**2 + variance))


def suspects(gap: ArrayLike, variance: ArrayLike, distances: ArrayLike, *, seed: int = 0) -> Suspects:
    """From measured gaps and the variances of their errors, `(configurations,)`; nan where nothing was measured.

    Raises `BadData` where fewer than two configurations were measured.
    """
    y, noise, d = np.asarray(gap, float), np.asarray(variance, float), checked_distances(distances)
    seen = np.flatnonzero(np.isfinite(y))
    if len(seen) < 2:
        raise BadData(f"{len(seen)} configurations of the family were measured; 2 are needed to tell how gaps differ.")
    scale = max(float(y[seen].std(ddof=1)), float(np.sqrt(noise[seen].mean())), 1e-6)
    middle = float(np.median(d[d > 0])) if (d > 0).any() else 1.0
    fields = [
        _field(y, noise, seen, (spread * scale) ** 2 * correlation)
        for correlation in (_correlation(np.exp(-d / (length * middle))) for length in _LENGTHS)
        for spread in _SPREADS
    ]
    logs = np.array([one[0] for one in fields])
    weights = np.exp(logs - logs.max())
    random = numpy_stream(seed, "suspects")
    shares = random.multinomial(DRAWS, weights / weights.sum())
    draws = np.concatenate(
        [
            mean + random.standard_normal((count, len(y))) @ _root(covariance).T
            for (_, mean, covariance), count in zip(fields, shares, strict=True)
            if count
        ]
    )  # (draws, configurations)
    largest = draws.max(1)
    low, high = np.quantile(largest, (0.025, 0.975))
    return Suspects(
        draws.mean(0),
        draws.std(0),
        np.bincount(draws.argmax(1), minlength=len(y)) / len(draws),
        Estimate.of(float(largest.mean()), float(low), float(high)),
    )


def next_suspects(
    gap: ArrayLike,
    variance: ArrayLike,
    distances: ArrayLike,
    run_variance: ArrayLike,
    cost: ArrayLike,
    count: int,
    *,
    seed: int = 0,
) -> list[int]:
    """The configurations to run next, best first, each taken for run at its expected value before the next is chosen.

    `run_variance` and `cost` (configurations,) are of one more run. Until `FIRST` are measured they are those of
    farthest-point order, which leaves no part of the family far from all of them; later a tenth is drawn evenly. What
    has an infinite `run_variance` can't be run.
    """
    y, noise = np.array(gap, float), np.array(variance, float)
    run, price, d = np.asarray(run_variance, float), np.asarray(cost, float), checked_distances(distances)
    order = [i for i in farthest_order(d).order if np.isfinite(run[i])]
    chosen: list[int] = []
    random = numpy_stream(seed, "next suspects")
    fresh: set[int] = set()  # proposed in the beginning, of unknown value
    while len(chosen) < count and order:
        seen = np.isfinite(y)
        if seen.sum() + len(fresh) < min(FIRST, len(y)) and (
            left := [i for i in order if not seen[i] and i not in fresh]
        ):
            held = [*np.flatnonzero(seen), *fresh]
            chosen.append(int(max(left, key=lambda i: d[i, held].min())) if held else int(left[0]))
            fresh.add(chosen[-1])
            continue
        if seen.sum() < 2:
            break
        known = suspects(y, noise, d, seed=seed + len(chosen))
        value = known.value(run) / price
        value[[*fresh, *np.flatnonzero(~np.isfinite(run))]] = -np.inf
        even = random.integers(len(order)) if random.random() < EVEN_SHARE else None
        best = int(np.argmax(value) if even is None else sorted(order)[even])
        chosen.append(best)
        if np.isfinite(y[best]):
            noise[best] = 1 / (1 / noise[best] + 1 / run[best])
        else:
            y[best], noise[best] = known.mean[best], run[best]
    return chosen


def _field(y: Floats, noise: Floats, seen: NDArray[np.int64], covariance: Floats) -> tuple[float, Floats, Floats]:
    """Log marginal likelihood (flat prior of the mean), posterior mean and covariance of one field."""
    own = covariance[np.ix_(seen, seen)] + np.diag(noise[seen])
    own = own + 1e-9 * float(np.trace(own)) / len(seen) * np.eye(len(seen))
    solved = np.linalg.solve(own, np.column_stack([y[seen], np.ones(len(seen)), covariance[seen]]))
    total = float(solved[:, 1].sum())  # 1' C^-1 1
    level = float(solved[:, 0].sum()) / total
    residual = y[seen] - level
    pull = solved[:, 0] - level * solved[:, 1]  # C^-1 (y - m)
    log = -0.5 * (float(residual @ pull) + float(np.linalg.slogdet(own)[1]) + np.log(total))
    across = covariance[seen]  # (seen, configurations)
    missing = 1 - across.T @ solved[:, 1]  # what the doubt about the mean adds
    posterior = covariance - across.T @ solved[:, 2:] + np.outer(missing, missing) / total
    return log, level + across.T @ pull, posterior


def _correlation(likeness: Floats) -> Floats:
    """The field's correlations: negative eigenvalues, from distances that are no metric, are taken for 0."""
    root = _root(likeness)
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    return np.asarray((1 - OWN) * root @ root.T + OWN * np.eye(len(root)))


def _root(covariance: Floats) -> Floats:
    """A factor F with F F' the covariance, negative eigenvalues taken for 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))
