"""The worst gap of a family of configurations, without the winner's curse.

The largest of M noisy numbers grows like `sd sqrt(2 log M)` even where all of them are equal. Here the configuration is
chosen on one half of the seeds and its gap read from the other, the halves are swapped and the results averaged: where
all are equal, the result does not grow with M; where one is worst beyond the noise, it is that one's gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import BadData
from limbeck.laws.columns import REFERENCE, Row
from limbeck.laws.diversity import largest_of
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import level_means, t_quantile
from limbeck.laws.notes import Code, Note

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]

SPLITS = 10  # ways to halve the seeds, at most
TAIL = 0.1  # share of configurations that quantile and tail mean are about


@dataclass(frozen=True)
class Runs:
    """Errors of one method on a full grid, and of the full-data reference of each configuration."""

    method: str
    names: tuple[str, ...]
    k: Floats  # (levels,)
    error: Floats  # (configurations, levels, sets, seeds)
    reference: Floats  # (configurations, runs)
    notes: tuple[Note, ...] = ()

    @property
    def gap(self) -> Floats:
        """Mean gap of every configuration, k and set: (configurations, levels, sets)."""
        return np.asarray(self.error.mean(3) - self.reference.mean(1)[:, None, None])

    @property
    def mean_variance(self) -> Floats:
        """Variance that seeds and references leave in a configuration's mean gap at each k: (levels,), pooled."""
        _, _, sets, seeds = self.error.shape
        within = self.error.var(3, ddof=1).mean((0, 2)) / (sets * seeds) if seeds > 1 else np.zeros(len(self.k))
        runs = self.reference.shape[1]
        return np.asarray(within + self.reference_sd**2 / runs)

    @property
    def reference_sd(self) -> float:
        """Standard deviation of one reference run, pooled over configurations; 0 where each has one."""
        several = self.reference.shape[1] > 1
        return float(np.sqrt(self.reference.var(1, ddof=1).mean())) if several else 0.0

    def among(self, names: Sequence[str]) -> Runs:
        """The same grid with some of the configurations, in the given order."""
        rows = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), error=self.error[rows], reference=self.reference[rows])

    def sets(self, chosen: Sequence[int]) -> Runs:
        """The same grid with some of the sets only."""
        return replace(self, error=self.error[:, :, list(chosen)])

    def halves(self) -> list[tuple[Floats, Floats]]:
        """Gaps (configurations, levels, sets) on both halves of the seeds, for every way to halve them.

        Reference runs are halved too, or their noise would be in both halves. With one seed a set, sets are halved.
        """
        _, _, sets, seeds = self.error.shape
        axis, count = (3, seeds) if seeds > 1 else (2, sets)
        if count < 2:
            raise BadData(
                f"{self.method} has one run for each configuration and k, so the worst of them can't be told from the "
                "unluckiest. Run the study with seeds = 2 or more."
            )
        found = []
        for left in _left_halves(count):
            right = [place for place in range(count) if place not in left]
            pair = []
            for place, half in enumerate((left, right)):
                runs = self.reference[:, place::2] if self.reference.shape[1] > 1 else self.reference
                errors = np.take(self.error, half, axis=axis).mean(axis, keepdims=axis == 2)
                errors = errors if axis == 3 else errors.mean(3)
                pair.append(errors - runs.mean(1)[:, None, None])
            found.append((pair[0], pair[1]))
        return found


@dataclass(frozen=True)
class Worst:
    """Worst gaps of families at every k, by the way they are estimated; all but the first are free of the curse."""

    naive: Floats  # (families, levels) the largest mean
    split: Floats  # (families, levels, sets) chosen on one half of the seeds, read from the other
    shrunk: Floats  # (families, levels) the largest after James-Stein shrinkage of the means
    quantile: Floats  # (families, levels) the 90 % quantile over configurations
    tail: Floats  # (families, levels) mean of the worst tenth, chosen and read as in `split`
    setter: NDArray[np.int64]  # (families, levels) the configuration that sets the largest mean

    @property
    def mean(self) -> Floats:
        """The default estimate, averaged over sets: (families, levels)."""
        return np.asarray(self.split.mean(2))


def read_runs(rows: Iterable[Row], method: str) -> Runs:
    """The runs of one method as a full grid of configurations x k x sets x seeds.

    A note says where one reference run a configuration leaves some of the winner's curse in.

    Configurations without a reference, or that miss runs, are left out with a note. Raises `BadData` where the method
    is not in the table or fewer than two configurations are left.
    """
    held = [dict(row) for row in rows if row.get("error") not in (None, "")]
    own = [row for row in held if row["method"] == method]
    if not own:
        known = sorted({str(row["method"]) for row in held} - {REFERENCE})
        raise BadData(f"the table has no method '{method}'. It has {', '.join(known) or 'none'}.")
    names = list(dict.fromkeys(str(row["configuration"]) for row in own))
    axes = [sorted({_key(row[name]) for row in own}) for name in ("k", "set", "seed")]
    errors = np.full((len(names), *(len(axis) for axis in axes)), np.nan)
    for row in own:
        place = tuple(axis.index(_key(row[name])) for axis, name in zip(axes, ("k", "set", "seed"), strict=True))
        errors[(names.index(str(row["configuration"])), *place)] = float(row["error"])
    references = [
        [float(row["error"]) for row in held if row["method"] == REFERENCE and str(row["configuration"]) == name]
        for name in names
    ]
    fewest = max((len(one) for one in references), default=0)
    whole = [
        place
        for place in range(len(names))
        if np.isfinite(errors[place]).all() and len(references[place]) == fewest and fewest
    ]
    gone = [names[place] for place in range(len(names)) if place not in whole]
    if len(whole) < 2:
        raise BadData(f"{method} has {len(whole)} configurations with all of their runs and references; 2 are needed.")
    message = f"Left out for missing runs or references: {'; '.join(gone)}."
    notes = (Note(Code.configurations_left_out, message),) if gone else ()
    runs = Runs(
        method,
        tuple(names[place] for place in whole),
        np.array(axes[0], float),
        errors[whole],
        np.array([references[place] for place in whole]),
        notes,
    )
    return replace(runs, notes=(*notes, *_common_noise(runs)))


def _common_noise(runs: Runs) -> list[Note]:
    """That a single reference run is in both halves, and the most that it can add; the seeds' noise stands for its."""
    seeds = runs.error.shape[3]
    if runs.reference.shape[1] > 1:
        return []
    sd = float(np.sqrt(runs.error.var(3, ddof=1).mean())) if seeds > 1 else 0.0
    most = f", by up to {sd * largest_of(len(runs.names)):.3f} if it is as noisy as other runs" if seeds > 1 else ""
    message = (
        f"{runs.method}: the noise of a single reference run both chooses the worst configuration and is read there, "
        f"so worst gaps are too large{most}. Train two full-data references or more."
    )
    return [Note(Code.reference_in_both_halves, message)]


def worst_gaps(runs: Runs, families: Masks, *, floors: Floats | None = None) -> Worst:
    """Worst gaps of families `(families, configurations)`; with `floors`, worst excesses over own floors.

    `floors` (configurations,) are subtracted from each configuration's gaps before anything is chosen.
    """
    own = np.zeros(len(runs.names)) if floors is None else np.asarray(floors, float)
    gap = runs.gap - own[:, None, None]
    mean = gap.mean(2)  # (configurations, levels)
    splits, tails = [], []
    for left, right in runs.halves():
        for chosen, read in ((left, right), (right, left)):
            chosen, read = chosen - own[:, None, None], read - own[:, None, None]
            splits.append(_read_at_largest(chosen, read, families))
            tails.append(_read_in_tail(chosen.mean(2), read.mean(2), families))
    split = np.mean(splits, axis=0)
    return Worst(
        naive=np.where(families[:, :, None], mean[None], -np.inf).max(1),
        split=np.broadcast_to(split, (len(families), len(runs.k), gap.shape[2])).copy(),
        shrunk=_shrunk(mean, runs.mean_variance, families),
        quantile=_quantile(np.where(families[:, :, None], mean[None], np.inf), families.sum(1), 1 - TAIL),
        tail=np.mean(tails, axis=0),
        setter=np.where(families[:, :, None], mean[None], -np.inf).argmax(1),
    )


def worst_intervals(runs: Runs, split: Floats, level: float = 0.95) -> list[Estimate]:
    """One family's worst gap at every k with its interval, from its `split` estimates (levels, sets).

    `mean +- sqrt((t s)^2 + (t_ref s_ref)^2)`: s by the spread between sets, pooled over k as the scaling law pools it,
    s_ref by that between reference runs, pooled over configurations. Choosing adds nothing, as what is read was not
    chosen by. Both ends are open where there is one set, or one seed a set (then sets were halved).
    """
    levels, sets = split.shape
    if sets < 2 or runs.error.shape[3] < 2:
        return [Estimate.of(float(value)) for value in split.mean(1)]
    held = level_means(np.repeat(runs.k, sets), split.ravel(), np.tile(np.arange(sets), levels))
    m, count = runs.reference.shape
    shared = runs.reference_sd**2 / count
    own = t_quantile(level, held.df) ** 2 * held.variance
    reach = np.sqrt(own + (t_quantile(level, m * (count - 1)) ** 2 * shared if shared else 0.0))
    return [Estimate.of(float(a), float(a - b), float(a + b)) for a, b in zip(held.mean, reach, strict=True)]


def _key(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _left_halves(count: int) -> list[list[int]]:
    """Halves that hold the first replicate, so that no way to halve comes twice; evenly chosen where there are many."""
    found = [[0, *rest] for rest in combinations(range(1, count), (count + 1) // 2 - 1)]
    if count % 2:
        found += [[place for place in range(count) if place not in half] for half in found]
        found = [half for half in found if len(half) == count // 2]
    step = max(1, len(found) // SPLITS)
    return [list(half) for half in found[::step]][:SPLITS]


def _quantile(values: Floats, members: NDArray[np.int64], share: float) -> Floats:
    """A quantile over axis 1 of the first `members` of each family's values in order, between neighbours by line."""
    ordered, place = np.sort(values, axis=1), share * (members - 1)
    rows, below = np.arange(len(values)), np.floor(place).astype(int)
    low, high = ordered[rows, below], ordered[rows, np.minimum(below + 1, members - 1)]
    return np.asarray(low + (place - below)[:, None] * (high - low))


def _read_at_largest(chosen: Floats, read: Floats, families: Masks) -> Floats:
    """`read` of the configuration where `chosen` is largest: (families, levels, sets)."""
    places = np.where(families[:, :, None, None], chosen[None], -np.inf).argmax(1)  # (families, levels, sets)
    _, levels, sets = chosen.shape
    return np.asarray(read[places, np.arange(levels)[None, :, None], np.arange(sets)[None, None, :]])


def _read_in_tail(chosen: Floats, read: Floats, families: Masks) -> Floats:
    """Mean of `read` over the tenth (at least one) of each family where `chosen` is largest: (families, levels)."""
    order = np.argsort(-np.where(families[:, :, None], chosen[None], -np.inf), axis=1)  # (families, members, levels)
    counts = np.maximum(1, np.round(TAIL * families.sum(1))).astype(int)
    values = np.take_along_axis(np.broadcast_to(read[None], order.shape), order, axis=1)
    taken = np.arange(order.shape[1])[None, :, None] < counts[:, None, None]
    return np.asarray((values * taken).sum(1) / counts[:, None])


def _shrunk(mean: Floats, variance: Floats, families: Masks) -> Floats:
    """Largest of the means after positive-part James-Stein shrinkage to the family's mean (Efron & Morris 1975)."""
    found = np.empty((len(families), mean.shape[1]))
    for row, mask in enumerate(families):
        own = mean[mask]
        centre = own.mean(0)
        squares = ((own - centre) ** 2).sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.where(squares > 0, 1 - (len(own) - 3) * variance / squares, 0.0)
        kept = np.clip(kept, 0, 1) if len(own) > 3 else np.ones_like(centre)
        found[row] = (centre + kept * (own - centre)).max(0)
    return found
