"""What the answers of a coverage law rest on: a distance, the radius at which it is read, and families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.laws.coverage_pool import own_floors
from limbeck.laws.covers import Floats, cover
from limbeck.laws.diversity import EntropyCurve, Radius, best_radius, entropy_curve
from limbeck.laws.subfamilies import Family, nested, stratified
from limbeck.laws.worst import Runs
from limbeck.measures.split_seeds import DistanceMatrix
from limbeck.spelling import split_outside_brackets

EACH = 16  # families of every size
SIZES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FACTORS = ("optimizer", "augmentation", "schedule", "domain", "architecture")  # the order in which families grow


@dataclass(frozen=True)
class Setting:
    """What the answers of all methods share: the distance, the radius, the families."""

    distance: DistanceMatrix
    curve: EntropyCurve
    families: tuple[Family, ...]
    radius: float
    bound: Radius
    gap: float
    seed: int


def chosen_setting(
    distance: DistanceMatrix, lipschitz: dict[str, float], chosen: Sequence[Runs], gap: float, seed: int
) -> Setting:
    """The radius of a distance, the families that it makes, and the radius r* of the tightest bound."""
    d = distance.value
    curve = entropy_curve(d, least=distance.noise)
    constant = float(np.median([np.median(own_floors(runs, 0.5).curves.constant) for runs in chosen]))
    k = float(np.exp(np.log(chosen[0].k).mean()))
    best = best_radius(curve, k, constant, lipschitz["value"], noise=distance.noise)
    # r* may well be so large that one centre covers all: the bound is then tightest, and tells families not apart
    radius = max(quarter_radius(d), distance.noise)
    sizes = [size for size in SIZES if size <= len(d) - 2]
    families = [*stratified(d, sizes, each=EACH, radius=radius, seed=seed), *_nested(distance.names)]
    unique = {family.members: family for family in families}
    return Setting(distance, curve, tuple(unique.values()), radius, best, gap, seed)


def quarter_radius(d: Floats) -> float:
    """The smallest radius at which a quarter as many centres as members cover the family: a scale-free place."""
    radii = np.unique(d[d > 0])
    low, high = 0, len(radii) - 1
    while low < high:
        middle = (low + high) // 2
        if len(cover(d, float(radii[middle]), exact_limit=0).centres) <= max(1, len(d) // 4):
            high = middle
        else:
            low = middle + 1
    return float(radii[low]) if len(radii) else 0.0


def _nested(names: Sequence[str]) -> list[Family]:
    """Families that grow factor by factor around the first configuration, where all names are written in full."""
    parts = [split_outside_brackets(name, "/") for name in names]
    if any(not 4 <= len(part) <= 5 for part in parts):
        return []
    rows = [[part[1], part[2], part[3], part[4] if len(part) > 4 else "clean", part[0]] for part in parts]
    return nested(rows, FACTORS)
