"""The report's tables as lists of plain cells: laws with intervals, mean gaps with spread and n, grouped notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from limbeck.plots import Estimate, Law, Point
from limbeck.report.ink import clean, interval, needed, percent, plain


@dataclass(frozen=True)
class Cell:
    """A number and what belongs to it in small print (an interval, or spread and n)."""

    main: str
    small: str = ""


@dataclass(frozen=True)
class LawLine:
    """One row of the table of laws."""

    method: str
    configuration: str
    cells: tuple[Cell, ...]  # required k for each target gap, floor, exponent, saturation k
    notes: str


@dataclass(frozen=True)
class MeanLine:
    """One method's mean gap at every k, over all configurations, sets and seeds."""

    method: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Remark:
    """One kind of note: its code, where it was raised, and its first wording."""

    code: str
    message: str
    where: tuple[str, ...]


def targets(fitted: Iterable[Law]) -> list[float]:
    """The target gaps that any law answered, ascending."""
    return sorted({target.gap for law in fitted for target in law.targets})


def law_lines(fitted: Iterable[Law]) -> list[LawLine]:
    """The laws by configuration, each with its estimates and 95 % intervals."""
    fitted = list(fitted)
    asked = targets(fitted)
    lines = []
    for law in sorted(fitted, key=lambda law: law.configuration):
        answered = {target.gap: target for target in law.targets}
        needs = tuple(
            Cell("not asked") if gap not in answered else _needed(answered[gap].k, answered[gap].refusal)
            for gap in asked
        )
        floor, exponent = _cell(law.floor, percent), _cell(law.exponent, plain)
        codes = ", ".join(dict.fromkeys(clean(code, 60).replace("_", " ") for code, _ in law.notes))
        lines.append(
            LawLine(
                law.method,
                law.configuration,
                (*needs, floor, exponent, _needed(law.saturation_k, "–")),
                codes,
            )
        )
    return lines


def _cell(estimate: Estimate, write: Callable[[float | None], str]) -> Cell:
    return Cell(write(estimate.value) if estimate.value is not None else "–", interval(estimate, write))


def _needed(k: Estimate, refusal: str) -> Cell:
    if k.value is None and k.low is None:
        return Cell(clean(refusal, 200) or "refused")
    main = needed(k.value) if k.value is not None else f"≥ {needed(k.low)}"
    return Cell(main, interval(k, needed))


def mean_lines(held: Sequence[Point]) -> tuple[list[float], list[MeanLine]]:
    """The values of k, and each method's mean gap at them with spread and n; the best at the largest k first."""
    levels = sorted({point.k for point in held})
    gaps: dict[tuple[str, float], list[float]] = defaultdict(list)
    for point in held:
        gaps[point.method, point.k].append(point.gap)
    methods = dict.fromkeys(point.method for point in held)
    order = sorted(methods, key=lambda name: fmean(gaps.get((name, levels[-1])) or [float("inf")]))
    return levels, [MeanLine(name, tuple(_mean(gaps.get((name, k), [])) for k in levels)) for name in order]


def _mean(values: Sequence[float]) -> Cell:
    if not values:
        return Cell("–")
    spread = f"± {percent(stdev(values))}" if len(values) > 1 else "one run"
    return Cell(percent(fmean(values)), f"{spread}, n = {len(values)}")


def remarks(fitted: Iterable[Law], notes: Iterable[Any]) -> list[Remark]:
    """Notes of the laws and of the plan, one entry a code, the most frequent first.

    A note is `{"code", "message"}`, with "method" and "configuration" where it is about a law, or plain text.
    """
    places: dict[str, list[str]] = defaultdict(list)
    messages: dict[str, str] = {}
    raised = [(code, message, _where(law.method, law.configuration)) for law in fitted for code, message in law.notes]
    for note in notes:
        if isinstance(note, Mapping):
            where = _where(str(note.get("method") or ""), str(note.get("configuration") or ""))
            raised.append((str(note.get("code") or "note"), str(note.get("message") or ""), where))
        else:
            raised.append((str(note), "", ""))
    for code, message, where in raised:
        messages.setdefault(code, message)
        if where not in places[code]:
            places[code].append(where)
    kinds = sorted(places, key=lambda code: -len(places[code]))
    return [
        Remark(
            clean(code, 240).replace("_", " "),
            clean(messages[code], 600),
            tuple(filter(None, map(clean, places[code]))),
        )
        for code in kinds
    ]


def _where(method: str, configuration: str) -> str:
    return " on ".join(filter(None, [method, configuration]))
