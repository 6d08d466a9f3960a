"""Covers of a family of configurations: how few of them stand for all, at every radius.

Distances are a symmetric matrix `(configurations, configurations)` with a zero diagonal. A cover of radius r is a set
of centres, members of the family, such that every member lies within r of one; `N(r)` is the smallest number of
centres, `H(r) = log N(r)`. A packing is a set of members more than r apart; `P(r)` is the largest. Always
`P(2r) <= N(r) <= P(r)` (Kolmogorov & Tikhomirov 1959; Vershynin 2018, lemma 4.2.8), so a packing certifies a cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from limbeck.errors import BadData, BadSetting

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EXACT_LIMIT = 150  # members up to which the smallest cover is found exactly, in tens of milliseconds


@dataclass(frozen=True)
class FarthestOrder:
    """Members in farthest-point order, and the radius that the first n of them cover, for every n."""

    order: Integers  # (members,)
    radii: Floats  # (members,) radii[n - 1]: the largest distance to the first n, falling to 0

    def centres(self, radius: float) -> Integers:
        """The shortest beginning of the order that covers the family at a radius; its members are more than it apart.

        So it is an r-cover and an r-packing at once: `P(2r) <= N(r) <= len(centres(r)) <= P(r)`.
        """
        return self.order[: int(np.argmax(self.radii <= radius)) + 1]


@dataclass(frozen=True)
class Cover:
    """Centres of a cover, and what is known of the least number of them."""

    radius: float
    centres: tuple[int, ...]
    least: int  # no cover has fewer centres: that many are exact, or a packing of twice the radius proves it

    @property
    def exact(self) -> bool:
        """Whether no smaller cover exists."""
        return len(self.centres) == self.least

    @property
    def entropy(self) -> float:
        """H = log of the number of centres, in nats."""
        return float(np.log(len(self.centres)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"radius": self.radius, "centres": list(self.centres), "least": self.least, "exact": self.exact}


def checked_distances(distances: ArrayLike) -> Floats:
    """Distances as a symmetric matrix with a zero diagonal. Raises `BadData` where they are something else."""
    d = np.asarray(distances, float)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or not d.size:
        raise BadData(f"distances need a square matrix, one row a configuration; the shape is {d.shape}.")
    if not np.isfinite(d).all() or (d < 0).any() or np.abs(np.diag(d)).max() > 0 or not np.allclose(d, d.T, atol=1e-9):
        raise BadData("distances must be finite, at least 0, symmetric, and 0 from a configuration to itself.")
    return np.asarray((d + d.T) / 2)


def farthest_order(distances: ArrayLike) -> FarthestOrder:
    """Farthest-point order in one O(members^2) pass (Gonzalez 1985), from the member with the least largest distance.

    Each next member is the one farthest from all before it; ties go to the first in the matrix.
    """
    d = checked_distances(distances)
    order = [int(np.argmin(d.max(1)))]
    nearest = d[order[0]].copy()
    radii = [float(nearest.max())]
    for _ in range(1, len(d)):
        nearest[order] = -1.0  # chosen members never come again, though duplicates of them do
        order.append(int(np.argmax(nearest)))
        np.minimum(np.maximum(nearest, 0), d[order[-1]], out=nearest)
        radii.append(float(nearest.max()))
    return FarthestOrder(np.array(order), np.array(radii))


def cover_centres(distances: ArrayLike, count: int) -> list[int]:
    """`count` members that cover the family at a small radius: farthest-point order, within twice the least radius.

    Raises `BadSetting` where the family has fewer members.
    """
    d = checked_distances(distances)
    if not 1 <= count <= len(d):
        raise BadSetting(f"a cover of {count} centres needs a family of as many; this one has {len(d)}. Lower it.")
    return [int(member) for member in farthest_order(d).order[:count]]


def greedy_cover(distances: ArrayLike, radius: float) -> Integers:
    """Centres chosen one by one, each covering the most of what is left: at most (1 + log members) N(r) of them."""
    d = checked_distances(distances)
    found = greedy_counts(d, np.arange(len(d))[None], radius, centres=True)
    return np.asarray(found[0])


def greedy_counts(
    distances: Floats, members: Integers, radius: float, *, centres: bool = False
) -> Integers | list[Integers]:
    """Sizes of greedy covers of many families at once; `members` (families, size) indexes the matrix.

    With `centres`, the centres themselves, as places in each family's own row.
    """
    within = (distances <= radius).astype(np.float32)[members[:, :, None], members[:, None, :]]
    left = np.ones(members.shape, bool)
    chosen: list[Integers] = []
    counts = np.zeros(len(members), int)
    rows = np.arange(len(members))
    while left.any():
        gains = (within @ left[:, :, None].astype(np.float32))[:, :, 0]  # (families, size): how many each would add
        best = np.argmax(gains, 1)
        counts += left.any(1)
        chosen.append(np.where(left.any(1), best, -1))
        left &= within[rows, best] == 0
    if not centres:
        return counts
    steps = np.stack(chosen, 1)  # (families, steps), -1 where a family was covered already
    return [row[row >= 0] for row in steps]


def packing(distances: ArrayLike, radius: float) -> Integers:
    """Members more than `radius` apart from each other, as many as the better of two greedy ways finds.

    One way is farthest-point order; the other takes the member that excludes the fewest of those left.
    """
    d = checked_distances(distances)
    order = farthest_order(d)
    first = order.order[: int(np.argmax(order.radii <= radius)) + 1]
    near, left, second = d <= radius, np.ones(len(d), bool), []
    while left.any():
        excluded = np.where(left, near[:, left].sum(1), len(d) + 1)
        second.append(int(np.argmin(excluded)))
        left &= ~near[second[-1]]
    return first if len(first) >= len(second) else np.array(second)


def exact_cover(distances: ArrayLike, radius: float) -> Integers:
    """The centres of a smallest cover: `min sum x, sum_{j: d_ij <= r} x_j >= 1 for all i, x in {0, 1}`.

    Raises `BadData` where the solver gives up, as it may for families of many hundreds.
    """
    d = checked_distances(distances)
    within = csr_array((d <= radius).astype(float))
    solved = milp(
        np.ones(len(d)),
        integrality=np.ones(len(d)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(within, lb=np.ones(len(d))),
    )
    if not solved.success:
        raise BadData(f"no smallest cover of {len(d)} members was found ({solved.message}). Use the greedy cover.")
    return np.flatnonzero(np.round(solved.x))


def cover(distances: ArrayLike, radius: float, *, exact_limit: int = EXACT_LIMIT) -> Cover:
    """A cover at a radius with its certificate: the smallest up to `exact_limit` members, else the best greedy one.

    A packing of twice the radius that is as large as the greedy cover proves it smallest without a solver.
    """
    d = checked_distances(distances)
    options = [greedy_cover(d, radius), farthest_order(d).centres(radius)]
    best = min(options, key=len)
    least = len(packing(d, 2 * radius))
    if len(best) > least and len(d) <= exact_limit:
        best = exact_cover(d, radius)
        least = len(best)
    return Cover(float(radius), tuple(int(centre) for centre in best), least)
