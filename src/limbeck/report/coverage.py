"""The coverage law on the page: the JSON answer of `limbeck coverage` as charts and tables of plain cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from limbeck.plots import Estimate, Mark, number
from limbeck.report.family import (
    Level,
    Member,
    Radius,
    Straight,
    entropy_chart,
    log_of,
    needs_chart,
    worst_chart,
)
from limbeck.report.ink import clean, count, interval, percent, plain
from limbeck.report.tables import Cell

RISK_PROFILE = "risk-profile"  # a distance of gaps, so that its radius is one in points of error


@dataclass(frozen=True)
class MethodCoverage:
    """What the page shows of one method's coverage law."""

    name: str
    chart: Markup
    caption: str
    levels: tuple[tuple[str, tuple[Cell, ...], str], ...]  # k, numbers, the configuration that sets the maximum
    against_entropy: Markup
    entropy_caption: str
    against_number: Markup
    number_caption: str


@dataclass(frozen=True)
class Coverage:
    """The section: an answer, or the reason for having none."""

    sentence: str
    refusal: str = ""
    entropy: Markup | str = ""
    entropy_caption: str = ""
    centres: tuple[str, ...] = ()
    methods: tuple[MethodCoverage, ...] = ()
    lines: tuple[tuple[str, tuple[Cell, ...]], ...] = ()
    distances: tuple[tuple[str, tuple[Cell, ...]], ...] = ()
    noise: str = ""
    random: str = ""


def coverage_section(answer: Mapping[str, Any], drawn: Mapping[str, Mark]) -> Coverage | None:
    """The section of an answer, or of `{"refusal"}`; `None` without either."""
    if not answer:
        return None
    if not answer.get("methods"):
        return Coverage("", clean(answer.get("refusal") or "no reason was kept", 600))
    family, target = answer.get("family") or {}, number(answer.get("gap"))
    kind = str(next(iter(answer.get("distances") or [{}])).get("kind") or "distance")
    methods = answer["methods"]
    return Coverage(
        sentence=clean(answer.get("sentence") or "", 4000),
        entropy=_entropy(family, kind),
        entropy_caption=_entropy_words(family, kind),
        centres=tuple(str(name) for name in (family.get("cover") or {}).get("names") or []),
        methods=tuple(_method(one, family, target, drawn[str(one.get("method"))]) for one in methods),
        lines=tuple((str(one.get("method")), _cells(one)) for one in methods),
        distances=tuple((str(one.get("kind")), _distance(one)) for one in answer.get("distances") or []),
        noise=_noise(answer.get("null") or {}, methods),
        random=_random(methods),
    )


def coverage_methods(answer: Mapping[str, Any]) -> list[str]:
    """The methods that an answer is about."""
    return [str(one.get("method")) for one in answer.get("methods") or []]


def coverage_notes(answer: Mapping[str, Any]) -> list[Any]:
    """The notes of an answer, each method's marked with its name."""
    own = [
        {**note, "method": one.get("method")} for one in answer.get("methods") or [] for note in one.get("notes") or []
    ]
    return [*(answer.get("notes") or []), *own]


def _entropy(family: Mapping[str, Any], kind: str) -> Markup:
    covers = (family.get("curve") or {}).get("covers") or []
    radii = [
        Radius(radius, log_of(len(one.get("centres") or [])), log_of(number(one.get("least"))))
        for one in covers
        if (radius := number(one.get("radius"))) is not None and radius > 0
    ]
    if not radii:
        return Markup()
    scale, across = (100.0, "radius r, points of gap") if kind == RISK_PROFILE else (1.0, f"radius r, {kind} distance")
    return entropy_chart(radii, number(family.get("radius")), number(family.get("log_m")) or 0.0, scale, across)


def _entropy_words(family: Mapping[str, Any], kind: str) -> str:
    covers = (family.get("curve") or {}).get("covers") or []
    dimension = number((family.get("curve") or {}).get("dimension"))
    width = family.get("width") or {}
    said = "" if dimension is None else f" Metric dimension (slope on log 1/r) {dimension:.2f}."
    return (
        f"H(r) = log of the fewest configurations within r of all n = {family.get('members')}; distance: "
        f"{clean(kind, 40)}, {len(covers)} radii. Shade: not certified.{said} Vendi number "
        f"{plain(number(family.get('vendi')))}; Gaussian width {_small(width.get('width'))}, between "
        f"{_small(width.get('sudakov'))} (packings) and {_small(width.get('dudley'))} (covers)."
    )


def _small(value: Any) -> str:
    read = number(value)
    return "–" if read is None else f"{read:.2g}"


def _method(one: Mapping[str, Any], family: Mapping[str, Any], target: float | None, mark: Mark) -> MethodCoverage:
    levels = [
        Level(
            k,
            Estimate(number(held.get("split")), number(held.get("low")), number(held.get("high"))),
            number(held.get("naive")),
            number(held.get("quantile")),
            str(held.get("set_by") or ""),
        )
        for held in (one.get("whole_family") or {}).get("worst") or []
        if (k := number(held.get("k"))) is not None and k > 0
    ]
    members = [_member(held) for held in one.get("families") or []]
    needs = one.get("needs") or {}
    entropy, log_m = (_straight(needs.get(name) or {}) for name in ("H", "log M"))
    sets, seeds, n = (one.get(name) for name in ("sets", "seeds", "trainings"))
    replicates = (
        f" n = {n} trainings ({family.get('members')} configurations, {sets} sets, {seeds} seeds)." if n else ""
    )
    empty = Markup()
    return MethodCoverage(
        name=str(one.get("method")),
        chart=worst_chart(levels, mark, target) if levels else empty,
        caption=f"Filled: debiased, with its 95 % interval. Ring: the naive maximum.{replicates}",
        levels=tuple(_level_line(level) for level in levels),
        against_entropy=needs_chart(members, True, entropy, mark) if members else empty,
        entropy_caption=_needs_words(needs.get("H") or {}, members, "H"),
        against_number=needs_chart(members, False, log_m, mark) if members else empty,
        number_caption=_needs_words(needs.get("log M") or {}, members, "log M"),
    )


def _member(held: Mapping[str, Any]) -> Member:
    k = None if held.get("censored") else Estimate.read(held.get("required_k")).value
    return Member(number(held.get("entropy")) or 0.0, log_of(number(held.get("size"))), k)


def _straight(held: Mapping[str, Any]) -> Straight:
    return Straight(number(held.get("intercept")), Estimate.read(held.get("slope")), str(held.get("refusal") or ""))


def _level_line(level: Level) -> tuple[str, tuple[Cell, ...], str]:
    cells = (
        Cell(percent(level.split.value) if level.split.value is not None else "–", interval(level.split, percent)),
        Cell(percent(level.naive) if level.naive is not None else "–"),
        Cell(percent(level.quantile) if level.quantile is not None else "–"),
    )
    return count(level.k), cells, level.setter


def _needs_words(held: Mapping[str, Any], members: Sequence[Member], measure: str) -> str:
    beyond = sum(one.k is None for one in members)
    said = f"n = {len(members)} families of the study's configurations"
    said += f", {beyond} of them (arrows) need more than ten times the largest k measured." if beyond else "."
    line = _straight(held)
    if line.slope.value is None:
        return f"{said} No line: {clean(line.refusal, 200) or 'it was refused.'}"
    slope, gamma = line.slope, Estimate.read(held.get("gamma"))
    power = ""
    if gamma.value is not None:
        power = f" Power of {measure}: {plain(gamma.value)} {interval(gamma, plain) or '(any from 0.1 to 3 would do)'}."
    return f"{said} Line: {count(slope.value)} {interval(slope, count)} more samples a unit of {measure}.{power}"


def _cells(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    whole, law = Estimate.read(one.get("whole_family")), one.get("law") or {}
    explained = {held.get("measure"): number(held.get("explained")) for held in one.get("measures") or []}
    c1 = Estimate.read(law.get("c1"))
    return (
        Cell("not reached" if whole.value is None else count(whole.value), interval(whole, count)),
        Cell("–" if c1.value is None else plain(c1.value), interval(c1, plain)),
        *(
            Cell("–" if (r2 := explained.get(name)) is None else plain(r2))
            for name in ("H", "log M", "log Vendi", "width^2")
        ),
        Cell("–" if (p := number(law.get("permutation_p"))) is None else f"{p:.2g}"),
    )


def _distance(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    mantel, bound = one.get("mantel") or {}, one.get("lipschitz") or {}
    values = [mantel.get("r"), mantel.get("p_value"), bound.get("value"), bound.get("held_out"), one.get("noise")]
    return tuple(Cell("–" if (read := number(value)) is None else f"{read:.2g}") for value in values)


def _noise(null: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]) -> str:
    """What a plot of the worst of M against log M shows of nothing, and how much of it this study's maximum shows."""
    median, low, high = (number(null.get(name)) for name in ("median", "low", "high"))
    if median is None:
        return ""
    slopes = [(number((one.get("law") or {}).get(name)) for name in ("naive_slope", "split_slope")) for one in methods]
    own = [(a, b) for a, b in slopes if a is not None and b is not None]
    said = (
        f"The worst of {null.get('configurations')} numbers of pure noise follows log M with R² {plain(median)} "
        f"({plain(low)} to {plain(high)})."
    )
    if own:
        naive, split = (100 * sum(pair[place] for pair in own) / len(own) for place in (0, 1))
        said += (
            f" Here the naive worst gap rises by {naive:.2g} points for each unit of √log M, the debiased one by "
            f"{split:.2g} (mean over methods, middle k)."
        )
    return said


def _random(methods: Sequence[Mapping[str, Any]]) -> str:
    """Random selection follows the same law: its figures, for comparison."""
    held = next((one for one in methods if one.get("method") == "random"), None)
    if held is None:
        return "This study has no random selection to compare with: its coverage law has the same form."
    whole, c1, *explained = _cells(held)
    return (
        f"Random selection follows the same law: {whole.main} {whole.small} samples for all, "
        f"c₁ = {c1.main} {c1.small}, R² of H {explained[0].main}. A fitted coverage law is no evidence of distillation."
    )
