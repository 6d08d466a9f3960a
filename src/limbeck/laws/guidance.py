"""Which surrogate at which k: discrepancy, worth in random samples, gap at home and away, breadth and cost, measured.

Every line is a method at one k. A set counts once, whatever it was trained on under; intervals are Student's over sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import studentized_range

from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import t_quantile

RANDOM = "random"
LEVEL = 0.95
DISTINCT = 0.05


@dataclass(frozen=True)
class Line:
    """One method at one k; `home` is the configuration that its sets were distilled for."""

    method: str
    k: int
    sets: int
    discrepancy: Estimate  # A^2 at home
    worth: Estimate  # random samples whose own path has this discrepancy; an open end lies beyond those measured
    gap_home: Estimate
    gap_away: Estimate  # mean over the other configurations; None where there are none
    breadth: Estimate  # away less home: 0 is as good elsewhere
    gap: Estimate  # mean over all configurations, what lines are compared by
    seconds: float  # to distil one set
    more: Estimate  # gap less that of the best at this k
    p: float | None  # of being as good as the best, by Games and Howell; None for the best, and where it is unknown
    best: bool
    advised: bool  # the cheapest of those not told apart from the best

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in vars(self).items()}


def guidance(rows: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    """A line for every method and k of `rows`, a row a training (see `interchange_answer`), best first at each k.

    At each k the best is the method of the smallest mean gap over configurations. Others are told apart from it by the
    test of Games and Howell (1976) over sets at 5 %, which allows for the choice of the best among all; that a method
    is not told apart is no proof of equality, and `more` says how much worse it may be.
    """
    sizes = sorted({int(row["k"]) for row in rows})
    known = _random_scale(rows)
    return tuple(line for k in sizes for line in _at([row for row in rows if int(row["k"]) == k], k, known))


def _at(rows: Sequence[Mapping[str, Any]], k: int, known: tuple[Any, Any] | None) -> list[Line]:
    names = sorted({str(row["method"]) for row in rows})
    own = {name: [row for row in rows if row["method"] == name] for name in names}
    gaps = {name: _by_set(held, "gap") for name, held in own.items()}
    order = sorted(names, key=lambda name: float(np.mean(gaps[name])))
    best, others = order[0], order[1:]
    against = {name: _against(gaps[best], gaps[name], len(order)) for name in others}
    against[best] = Estimate.of(0.0, 0.0, 0.0), None
    near = [name for name in order if (p := against[name][1]) is None or p >= DISTINCT]
    cheapest = min(near, key=lambda name: (_seconds(own[name]), order.index(name)))
    return [
        _line(name, k, own[name], gaps[name], against[name], name == best, name == cheapest, known) for name in order
    ]


def _line(
    name: str,
    k: int,
    held: Sequence[Mapping[str, Any]],
    gaps: Sequence[float],
    against: tuple[Estimate, float | None],
    best: bool,
    advised: bool,
    known: tuple[Any, Any] | None,
) -> Line:
    home = [row for row in held if row["configuration"] == row["home"]]
    away = [row for row in held if row["configuration"] != row["home"]]
    values = _by_set(home, "discrepancy")
    differences = [a - b for a, b in zip(_by_set(away, "gap"), _by_set(home, "gap"), strict=True)] if away else []
    return Line(
        name,
        k,
        len(gaps),
        discrepancy=mean_over_sets(values),
        worth=_worth(values, known),
        gap_home=mean_over_sets(_by_set(home, "gap")),
        gap_away=mean_over_sets(_by_set(away, "gap")),
        breadth=mean_over_sets(differences),
        gap=mean_over_sets(gaps),
        seconds=_seconds(held),
        more=against[0],
        p=against[1],
        best=best,
        advised=advised,
    )


def _by_set(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The mean of each set's rows, sets in their order."""
    held: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: str(row["set"])):
        held.setdefault(str(row["set"]), []).append(float(row[name]))
    return [float(np.mean(values)) for values in held.values()]


def _seconds(rows: Sequence[Mapping[str, Any]]) -> float:
    return float(np.mean([float(row["seconds"]) for row in rows]))


def mean_over_sets(values: Sequence[float]) -> Estimate:
    """Mean with Student's interval; open ends for one set, nothing for none."""
    n = len(values)
    if n < 2:
        return Estimate.of(values[0] if values else None)
    mean = float(np.mean(values))
    half = t_quantile(LEVEL, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate.of(mean, mean - half, mean + half)


def _against(best: Sequence[float], others: Sequence[float], methods: int) -> tuple[Estimate, float | None]:
    """How much larger a mean is than the best's, with Welch's interval and the p of Games and Howell among `methods`.

    `p = P(q > sqrt(2) |t|)`, q the Studentized range of so many means with Welch's degrees of freedom. Nothing of both
    where sets are too few or do not differ at all.
    """
    difference = float(np.mean(others) - np.mean(best))
    if min(len(best), len(others)) < 2 or not np.std(best) + np.std(others) > 0:
        return Estimate.of(difference), None
    parts = [float(np.var(one, ddof=1)) / len(one) for one in (best, others)]
    error = math.sqrt(sum(parts))
    df = sum(parts) ** 2 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, (best, others), strict=True))
    half = t_quantile(LEVEL, df) * error
    p = float(studentized_range.sf(math.sqrt(2) * abs(difference) / error, methods, df))
    return Estimate.of(difference, difference - half, difference + half), p


def _random_scale(rows: Sequence[Mapping[str, Any]]) -> tuple[Any, Any] | None:
    """log k and mean log A^2 at home of random sets: what a discrepancy is read back to samples by."""
    held: dict[int, list[float]] = {}
    for row in rows:
        if row["method"] == RANDOM and row["configuration"] == row["home"]:
            held.setdefault(int(row["k"]), []).append(math.log(float(row["discrepancy"])))
    if len(held) < 2:
        return None
    sizes = sorted(held)
    falling = np.minimum.accumulate([float(np.mean(held[k])) for k in sizes])  # more samples are worth no fewer
    return np.log(sizes), falling


def _worth(values: Sequence[float], known: tuple[Any, Any] | None) -> Estimate:
    """Random samples with the same discrepancy along their own paths; None where it lies beyond those measured.

    This calibrates k_eff, which counts samples at fixed states, on paths that sets lead to themselves.
    """
    if known is None or not values:
        return Estimate(None, None, None)
    log_k, level = known
    logs = mean_over_sets([math.log(value) for value in values])

    def read(value: float | None) -> float | None:
        if value is None or not level[-1] <= value <= level[0]:
            return None
        return float(math.exp(np.interp(-value, -level, log_k)))

    return Estimate(read(logs.estimate), read(logs.high), read(logs.low))
