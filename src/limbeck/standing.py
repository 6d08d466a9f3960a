"""Where a method stands over a family of configurations, measured or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.laws.covers import Floats
from limbeck.methods import Method
from limbeck.study import Study

UNKNOWN_SD = 0.02  # of a run, until two runs of one configuration tell


@dataclass(frozen=True)
class Standing:
    """What is known of one method's gaps over the family at one size; `(configurations,)` each, nan: not measured."""

    method: str  # with every setting
    per_class: int
    gap: Floats
    runs: Floats  # trainings on sets
    references: Floats  # trainings on the full data
    run_variance: float
    reference_variance: float

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which configurations have a gap."""
        return np.isfinite(self.gap)

    @property
    def variance(self) -> Floats:
        """Of the error of each measured gap."""
        known = self.measured
        held = np.full(len(self.gap), np.nan)
        held[known] = self.run_variance / self.runs[known] + self.reference_variance / self.references[known]
        return held


def standing(study: Study, rows: list[dict[str, Any]], method: Method, target: float, classes: int) -> Standing:
    """What rows without failures say of a method, at the size where its average gap passes the target."""
    spec = str(method.spec)
    names = [one.spec for one in study.evaluated]
    references = [_errors(rows, "reference", name) for name in names]
    per_class = _size(study, rows, spec, references, target, classes)
    runs = [_errors(rows, spec, name, per_class * classes) for name in names]
    gap = np.full(len(names), np.nan)
    for place, (own, reference) in enumerate(zip(runs, references, strict=True)):
        if own and reference:
            gap[place] = np.mean(own) - np.mean(reference)
    counts = [np.array([len(held) for held in part], float) for part in (runs, references)]
    return Standing(method.full_spec, per_class, gap, counts[0], counts[1], _pooled(runs), _pooled(references))


def _size(
    study: Study, rows: list[dict[str, Any]], spec: str, references: list[list[float]], target: float, classes: int
) -> int:
    """The least size whose average gap is within the target; the largest measured, or the middle one if none is.

    Averages are over the configurations that were measured at most sizes: the search itself adds bad ones at one.
    """
    names = [one.spec for one in study.evaluated]
    gaps: dict[int, dict[str, float]] = {}
    for size in study.per_class:
        own = {name: _errors(rows, spec, name, size * classes) for name in names}
        found = {
            name: float(np.mean(own[name])) - float(np.mean(reference))
            for name, reference in zip(names, references, strict=True)
            if own[name] and reference
        }
        if found:
            gaps[size] = found
    if not gaps:
        return sorted(study.per_class)[len(study.per_class) // 2]
    shared = set.intersection(*(set(found) for found in gaps.values()))
    means = {
        size: float(np.mean([gap for name, gap in found.items() if name in shared or not shared]))
        for size, found in gaps.items()
    }
    within = [size for size, mean in means.items() if mean <= target]
    return min(within) if within else max(means)


def _errors(rows: list[dict[str, Any]], method: str, configuration: str, k: int | None = None) -> list[float]:
    return [
        float(row["error"])
        for row in rows
        if row["method"] == method and row["configuration"] == configuration and (k is None or row["k"] == k)
    ]


def _pooled(groups: list[list[float]]) -> float:
    """Variance of one run, pooled over configurations; that of `UNKNOWN_SD` where none has two."""
    squares = sum(float(np.var(one)) * len(one) for one in groups if len(one) > 1)
    df = sum(len(one) - 1 for one in groups if len(one) > 1)
    return max(squares / df, 1e-8) if df else UNKNOWN_SD**2
