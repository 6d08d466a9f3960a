"""Measured gaps and their laws as values, read from plain rows and the law's JSON answer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REFERENCE = "reference"


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; `None` is an end without a bound, or a number that was refused."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def read(cls, value: Any) -> Estimate:
        """From `{"estimate", "low", "high"}` or a bare number; what is not a finite number is `None`."""
        if isinstance(value, Mapping):
            return cls(*(number(value.get(key)) for key in ("estimate", "low", "high")))
        return cls(number(value))


@dataclass(frozen=True)
class Point:
    """One training on one synthetic set: `gap` is test error minus that of full-data training, a fraction."""

    method: str
    configuration: str
    k: float
    set: str
    seed: str
    gap: float


@dataclass(frozen=True)
class Target:
    """How many samples a target gap needs, or why that was not answered."""

    gap: float
    k: Estimate
    refusal: str = ""


@dataclass(frozen=True)
class Law:
    """One fitted law as its JSON answer tells it; `curve` is (k, gap) with the gap's interval."""

    method: str
    configuration: str
    floor: Estimate
    exponent: Estimate
    amplitude: Estimate
    saturation_k: Estimate
    targets: tuple[Target, ...]
    curve: tuple[tuple[float, Estimate], ...]
    notes: tuple[tuple[str, str], ...]


def number(value: Any) -> float | None:
    """A finite float, or `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def points(rows: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Every row that carries a gap, as it is or as `error - mean(reference errors of its configuration)`.

    Rows without a finite number (failed cells) are left out.
    """
    held = list(rows)
    errors: dict[str, list[float]] = defaultdict(list)
    for row in held:
        error = number(row.get("error"))
        if str(row.get("method")) == REFERENCE and error is not None:
            errors[str(row.get("configuration", ""))].append(error)
    found = []
    for row in held:
        method, configuration = str(row.get("method", "")), str(row.get("configuration", ""))
        k, gap, error = number(row.get("k")), number(row.get("gap")), number(row.get("error"))
        reference = errors.get(configuration)
        if gap is None and error is not None and reference:
            gap = error - sum(reference) / len(reference)
        if method != REFERENCE and k is not None and k > 0 and gap is not None:
            found.append(Point(method, configuration, k, str(row.get("set", "")), str(row.get("seed", "")), gap))
    return found


def laws(fits: Iterable[Mapping[str, Any]]) -> list[Law]:
    """The fits of a law's JSON answer. A fit without a `curve` is drawn through its `predictions`."""
    return [_law(fit) for fit in fits]


def _law(fit: Mapping[str, Any]) -> Law:
    targets = [
        Target(gap, Estimate.read(entry), str(entry.get("refusal") or ""))
        for entry in fit.get("required_k") or []
        if (gap := number(entry.get("gap"))) is not None
    ]
    read = [
        (number(entry.get("k")), Estimate.read(entry)) for entry in fit.get("curve") or fit.get("predictions") or []
    ]
    curve = sorted(((k, gap) for k, gap in read if k and k > 0 and gap.value is not None), key=lambda pair: pair[0])
    notes = [
        (str(note.get("code") or "note"), str(note.get("message") or ""))
        if isinstance(note, Mapping)
        else (str(note), "")
        for note in fit.get("notes") or []
    ]
    return Law(
        method=str(fit.get("method", "")),
        configuration=str(fit.get("configuration") or ""),
        floor=Estimate.read(fit.get("floor")),
        exponent=Estimate.read(fit.get("exponent")),
        amplitude=Estimate.read(fit.get("amplitude")),
        saturation_k=Estimate.read(fit.get("saturation_k")),
        targets=tuple(targets),
        curve=tuple(curve),
        notes=tuple(notes),
    )


def replication(held: Sequence[Point]) -> str:
    """What a caption says of n: trainings, values of k, sets and seeds a set."""
    sets: dict[float, set[str]] = defaultdict(set)
    seeds: dict[tuple[str, str, float, str], set[str]] = defaultdict(set)
    for point in held:
        sets[point.k].add(point.set)
        seeds[point.method, point.configuration, point.k, point.set].add(point.seed)
    if not held:
        return "n = 0 trainings"
    levels = _count(len(sets), "value", "values") + " of k"
    per_level = _span([len(names) for names in sets.values()], "set", "sets")
    per_set = _span([len(names) for names in seeds.values()], "seed", "seeds")
    return f"n = {_count(len(held), 'training', 'trainings')}: {levels}, {per_level} each, {per_set} a set"


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _span(counts: Sequence[int], one: str, many: str) -> str:
    low, high = min(counts), max(counts)
    return _count(low, one, many) if low == high else f"{low} to {high} {many}"
