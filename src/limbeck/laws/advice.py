"""What to do about a law: raise k, lower the floor, train longer, repeat the reference, or take real samples instead.

Each advice carries the numbers it rests on. A law alone can't see why its floor is there; but random samples have no
method, so a floor that they share belongs to the training (too short, or the configuration's own), not to the method.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from limbeck.laws.bend import BentLaws
from limbeck.laws.cloud import cloud
from limbeck.laws.columns import Row, finite
from limbeck.laws.decisions import DECIDED, REACH, floor_versus_k, required_k
from limbeck.laws.diagnostics import reference_share
from limbeck.laws.estimate import Estimate
from limbeck.laws.law import laws_of, with_interval
from limbeck.laws.scaling import ScalingFit
from limbeck.laws.table import groups

Laws = Mapping[tuple[str, str], ScalingFit]
"""(method, configuration) -> its law."""
RANDOM = "random"
INDIFFERENT = 0.01  # an advantage below one point of error is none
_GRID = 121


@dataclass(frozen=True)
class Advice:
    """One thing to do about one method under one configuration: a code for programs, a sentence for people."""

    method: str
    configuration: str
    code: str
    message: str

    def to_dict(self) -> dict[str, str]:
        """`{"method", "configuration", "code", "message"}`."""
        return dict(vars(self))


@dataclass(frozen=True)
class Guidance:
    """All advice for one law, the k at which random samples do as well, and the recommended size."""

    method: str
    configuration: str
    advice: tuple[Advice, ...]
    meets_random_k: Estimate | None  # None: no law of random to compare with
    recommended_k: float | None  # enough by the interval's upper end; None where that is open or refused
    per_class: Estimate | None  # None: number of classes unknown

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "configuration": self.configuration,
            "advice": [one.to_dict() for one in self.advice],
            "meets_random_k": self.meets_random_k.to_dict() if self.meets_random_k else None,
            "recommended_k": self.recommended_k,
            "per_class": self.per_class.to_dict() if self.per_class else None,
        }


def advise(rows: Iterable[Row], gap: float) -> list[Guidance]:
    """Guidance for every law of a table that has intervals. Raises `BadData` for a table that can't be read."""
    table = list(rows)
    return advised(with_interval(laws_of(groups(table))), gap, classes_of(table))


def advised(laws: Laws, gap: float, classes: int | None) -> list[Guidance]:
    """What to do about each law for a target gap; `classes` turns a k into samples of each class."""
    of_random = cache(lambda configuration: cloud(laws[RANDOM, configuration], seed=2))
    found = []
    for (method, configuration), fit in laws.items():
        other = laws.get((RANDOM, configuration)) if method != RANDOM else None
        meets = meeting_k(fit, other, of_random(configuration)) if other is not None else None
        found.append(_guidance(method, configuration, fit, other, meets, gap, classes))
    return found


def classes_of(rows: Sequence[Row]) -> int | None:
    """k by samples a class, where the table says both and they agree."""
    both = [[finite(row.get(name), name) for name in ("k", "per_class")] for row in rows if row.get("per_class")]
    ratios = {k / per_class for k, per_class in both if k and per_class}
    return round(next(iter(ratios))) if len(ratios) == 1 else None


def _guidance(
    method: str,
    configuration: str,
    fit: ScalingFit,
    other: ScalingFit | None,
    meets: Estimate | None,
    gap: float,
    classes: int | None,
) -> Guidance:
    need = required_k(fit, gap).k
    said = [*_reach(fit, fit if method == RANDOM else other, gap), *_precision(fit, need), *_random(fit, meets)]
    advice = tuple(Advice(method, configuration, code, message) for code, message in said)
    enough = float(math.ceil(need.high)) if need.high is not None else None
    return Guidance(method, configuration, advice, meets, enough, _per_class(need, classes))


def _per_class(need: Estimate, classes: int | None) -> Estimate | None:
    if classes is None:
        return None
    ends = (need.estimate, need.low, need.high)
    return Estimate(*(None if end is None else float(math.ceil(end / classes)) for end in ends))


def _reach(fit: ScalingFit, other: ScalingFit | None, gap: float) -> list[tuple[str, str]]:
    """Raise k or lower the floor, by what each would gain; whose floor it is, by random's."""
    need, chance = required_k(fit, gap).k, fit.foretold.unreachable(gap)
    if need.estimate is None or chance >= DECIDED:
        floor = fit.foretold.lowest_gap.text(2)
        sure = f"with confidence {100 * chance:.0f} %"
        if other is not None and other.foretold.unreachable(gap) >= 0.5:
            own = "" if other is fit else f", and that of random samples ({other.foretold.lowest_gap.text(2)}) is too"
            message = (
                f"Train longer or change the configuration: the floor {floor} is above the target, {sure}{own}, so it "
                "is hardly the method's."
            )
            return [("train_longer", message)]
        message = (
            f"Lower the floor: it is {floor}, above the target, {sure}; more samples do not help. Distil "
            "longer or by another method, and see whether the training itself is long enough."
        )
        return [("lower_floor", message)]
    if need.estimate <= fit.largest_k:
        return []
    trade = floor_versus_k(fit, fit.largest_k)
    gain = f"twice k gains {_points(trade.double_k)}, a floor lower by a tenth {_points(trade.lower_floor)}"
    if trade.advice == "lower the floor":
        return [("lower_floor", f"Lower the floor rather than raise k: at k = {fit.largest_k:,.0f} {gain}.")]
    if need.estimate > REACH * fit.largest_k:
        message = f"Measure a larger k first: about {need.estimate:,.0f} samples are far beyond the largest k measured."
        return [("measure_larger_k", message)]
    return [("raise_k", f"Raise k to about {need.text(3, whole=True)}: at k = {fit.largest_k:,.0f} {gain}.")]


def _points(gain: Estimate) -> str:
    return "nothing that is known" if gain.estimate is None else f"{100 * gain.estimate:.2g} points"


def _precision(fit: ScalingFit, need: Estimate) -> list[tuple[str, str]]:
    """Where an answer has an open end: what makes it so."""
    if need.estimate is None or need.high is not None:
        return []
    if reference_share(fit) > 0.5:
        message = (
            f"Train more full-data seeds: the reference's error ({fit.levels.shift_sd:.4f}) is most of the doubt about "
            "the floor, and leaves the required k without an upper end."
        )
        return [("more_reference_seeds", message)]
    return [("more_runs", "More sets or a larger k are needed: the required k has no upper end yet.")]


def _random(fit: ScalingFit, meets: Estimate | None) -> list[tuple[str, str]]:
    """Where distilling stops paying: said of the k from which all of the interval says so, and else as a guess."""
    if meets is None or meets.estimate is None:
        return []
    if meets.high is not None and meets.high <= fit.smallest_k:
        return [("take_random", "Take random real samples: nowhere do they do more than a point worse.")]
    if meets.high is not None:
        message = (
            f"Beyond k = {meets.high:,.0f} take random real samples: from about {meets.text(3, whole=True)} on they do "
            "less than a point worse."
        )
        return [("take_random", message)]
    message = (
        f"Random real samples may do less than a point worse from about k = {meets.text(3, whole=True)} on; these runs "
        "do not tell for sure."
    )
    return [("random_may_do", message)]


def meeting_k(fit: ScalingFit, other: ScalingFit, drawn: BentLaws, *, margin: float = INDIFFERENT) -> Estimate:
    """The least k from which a law stays within `margin` of the gap of another (random's), by draws of both laws.

    `drawn` are those of the other; laws may bend. An estimate of None: not up to ten times the largest k. Both are of
    gaps to one reference, whose error cancels.
    """
    reach = REACH * max(fit.largest_k, other.largest_k)
    ks = np.geomspace(max(fit.smallest_k, other.smallest_k), reach, _GRID)
    better = drawn.gaps(ks) - cloud(fit, seed=1).gaps(ks) > margin  # (draws, k)
    last = np.where(better.any(1), len(ks) - 1 - np.argmax(better[:, ::-1], axis=1), -1)
    found = np.append(ks, np.inf)[np.minimum(last + 1, len(ks))]
    low, middle, high = np.quantile(found, (0.025, 0.5, 0.975), method="nearest")
    return Estimate.of(float(middle), float(low), float(high))
