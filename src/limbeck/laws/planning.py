"""What to measure next: the runs that are expected to narrow the required k the most for what they cost.

Every candidate is given as many runs as the dearest one costs, because one cheap run is easily worth nothing where
several of them are not, and is judged by the expected log width of the required k afterwards (`outlook.py`). One run of
the best is then taken for made, every law having predicted its value, and the next is chosen. A tenth of all runs are
drawn evenly from all candidates, because the law that guides the others may be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.laws.outlook import Outlook, Reading
from limbeck.laws.scaling import ScalingFit
from limbeck.streams import numpy_stream

UNIFORM_SHARE = 0.1


@dataclass(frozen=True)
class Candidate:
    """Something that could be run: what it costs, what it tells, and how often it may still be chosen."""

    cost: float
    readings: tuple[Reading, ...]
    most: int = 1


@dataclass(frozen=True)
class Pick:
    """A candidate chosen: by how much one run lowers the summed log widths of the required k, or drawn evenly."""

    candidate: int
    gain: float
    even: bool


def choose(
    outlooks: Sequence[Outlook],
    candidates: Sequence[Candidate],
    count: int,
    *,
    seed: int = 0,
    uniform_share: float = UNIFORM_SHARE,
) -> list[Pick]:
    """The next `count` runs, best first, each in the light of those before it; fewer where candidates run out."""
    random = numpy_stream(seed, "choice of runs")
    known = list(outlooks)
    left = [one.most for one in candidates]
    dearest = max((one.cost for one in candidates), default=0.0)
    gains: dict[int, float] = {}  # of one run, on average over the runs that the dearest costs
    picks: list[Pick] = []
    while len(picks) < count and any(most > 0 for most in left):
        free = [i for i, most in enumerate(left) if most > 0]
        for i in free:
            if i not in gains:
                runs = min(dearest / candidates[i].cost, left[i])
                gains[i] = sum(known[one.law].gain(one, runs) for one in candidates[i].readings) / runs
        even = bool(random.random() < uniform_share)
        best = max(free, key=lambda i: gains[i] / candidates[i].cost)
        chosen = free[int(random.integers(len(free)))] if even else best
        picks.append(Pick(chosen, gains[chosen], even))
        left[chosen] -= 1
        changed = {one.law for one in candidates[chosen].readings}
        for one in candidates[chosen].readings:
            known[one.law] = known[one.law].after(one)
        for i, candidate in enumerate(candidates):
            if i == chosen or changed & {one.law for one in candidate.readings}:
                gains.pop(i, None)
    return picks


def new_set(law: int, fit: ScalingFit, k: float, seeds: int) -> Reading:
    """A new set with so many seeds: its variance about the law is that of sets as they were measured."""
    own = fit.levels.components
    relative = float(fit.levels.relative_noise(k))
    if own.set_sd is None or own.seed_sd is None:
        return Reading(law, k, fit.levels.set_sd**2 * relative)
    return Reading(law, k, (own.set_sd**2 + own.seed_sd**2 / seeds) * relative)


def new_seed(law: int, fit: ScalingFit, k: float, seeds: int) -> Reading | None:
    """One more seed on a set that has `seeds`; None where the noise of seeds is unknown or nothing.

    n more take the variance of the set's mean from `b = s^2 + t^2 / seeds` to `s^2 + t^2 / (seeds + n)`, s and t being
    the set's and the seed's: the difference of the two precisions is that of a run with variance
    `c (s^2 + seeds b / n)`, `c = seeds b / t^2`.
    """
    own = fit.levels.components
    if not own.seed_sd:
        return None
    set_variance = 0.0 if own.set_sd is None else own.set_sd**2
    weight = seeds * set_variance + own.seed_sd**2
    scale = weight / own.seed_sd**2 * float(fit.levels.relative_noise(k))
    return Reading(law, k, scale * weight, scale * set_variance)


def new_reference(law: int, fit: ScalingFit) -> Reading | None:
    """One more run on the full data; None where the reference's noise is unknown or nothing."""
    sd = fit.levels.components.reference_sd
    return Reading(law, None, sd**2) if sd else None
