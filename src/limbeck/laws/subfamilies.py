"""Families of configurations from one pool: nested by factors, and stratified so that diversity and number come apart.

H and log M rise together in most families one would think of. Only families of one size with few and with many
near-duplicates tell them apart, so for each size members are drawn around few or many centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import BadSetting
from limbeck.laws.covers import Floats, checked_distances, greedy_counts
from limbeck.streams import numpy_stream

STRATA = 4  # levels of diversity that the families of one size are spread over
CANDIDATES = 20  # families drawn for each one that is kept


@dataclass(frozen=True)
class Family:
    """Some configurations of a pool, by their rows."""

    name: str
    members: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many configurations it has."""
        return len(self.members)


def masks(families: Sequence[Family], pool: int) -> NDArray[np.bool_]:
    """Families as rows of a table of memberships: (families, pool)."""
    held = np.zeros((len(families), pool), bool)
    for row, family in enumerate(families):
        held[row, list(family.members)] = True
    return held


def nested(parts: Sequence[Sequence[str]], factors: Sequence[str], *, start: int = 0) -> list[Family]:
    """Families that grow factor by factor around one configuration: first all that differ in the first factor only.

    `parts` (pool, factors) are what each configuration has for each factor, in the order in which factors are freed.
    A factor that adds no member gives no family. Raises `BadSetting` where rows and factors do not match.
    """
    if any(len(row) != len(factors) for row in parts) or not 0 <= start < len(parts):
        raise BadSetting(f"every configuration needs one part for each of {', '.join(factors)}.")
    found: list[Family] = []
    for freed in range(1, len(factors) + 1):
        members = tuple(row for row, own in enumerate(parts) if list(own[freed:]) == list(parts[start][freed:]))
        if len(members) > (found[-1].size if found else 1):
            found.append(Family("+".join(factors[:freed]), members))
    return found


def stratified(distances: Floats, sizes: Sequence[int], *, each: int, radius: float, seed: int = 0) -> list[Family]:
    """`each` families of every size, spread evenly over the diversities H(radius) that families of that size can have.

    Candidates are drawn as the nearest members around 1 to size random centres, then sorted into `STRATA` classes of
    H between the least and the most diverse candidate, and taken in turn from each class. Raises `BadSetting` for a
    size that the pool does not have.
    """
    d = checked_distances(distances)
    if min(sizes) < 2 or max(sizes) > len(d):
        raise BadSetting(f"sizes of families must lie between 2 and the {len(d)} configurations of the pool.")
    found = []
    for size in sizes:
        random = numpy_stream(seed, "families", size)
        drawn = {_around_centres(d, size, random) for _ in range(CANDIDATES * each if size < len(d) else 1)}
        candidates = np.array(sorted(drawn))
        entropy = np.log(np.asarray(greedy_counts(d, candidates, radius)))
        edges = np.linspace(entropy.min(), entropy.max() + 1e-9, STRATA + 1)
        strata = [
            list(random.permutation(np.flatnonzero((entropy >= low) & (entropy < high))))
            for low, high in pairwise(edges)
        ]
        kept: list[int] = []
        while len(kept) < each and any(strata):
            for stratum in strata:
                if stratum and len(kept) < each:
                    kept.append(int(stratum.pop()))
        found += [Family(f"{size} of {len(d)}", tuple(int(one) for one in candidates[row])) for row in kept]
    return found


def _around_centres(d: Floats, size: int, random: np.random.Generator) -> tuple[int, ...]:
    """The members nearest to 1 to `size` random centres, the same number around each."""
    centres = random.choice(len(d), int(random.integers(1, size + 1)), replace=False)
    chosen = list(centres)
    # ties (duplicates) are broken at random, so that families are not always the first rows
    tie = 1e-9 * float(d.max()) * random.random(d.shape[1])
    for rank in np.argsort(d[centres] + tie, axis=1)[:, :size].T.ravel():  # nearest of each centre, then the next
        if len(chosen) == size:
            break
        if rank not in chosen:
            chosen.append(rank)
    return tuple(sorted(int(member) for member in chosen))
