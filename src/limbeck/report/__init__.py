"""Results, as one plain dict, to one page that needs nothing but a browser.

`build_report(results)` makes a self-contained HTML page: no script, no network, every name escaped. All keys of
`results` but `title` may be missing; what is missing is left out of the page or said to be missing.

    title    text
    study    {"name", "source", "created", "command", "toml", "machine": text, "versions": {name: version}}
    plan     {"sentence", "gap": target gap, "configuration",
              "rows": [{"method", "configuration", "gap", "estimate", "low", "high", "refusal"}],
              "notes": [note], "refusals": [text or note]}
             in a row, null for "high" is "no upper bound" and null for "estimate" is "refused", with the reason
    rows     [{"method", "configuration", "k", "set", "seed", "error" and/or "gap"}], a row a training;
             reference rows have the method "reference" and give the gaps of rows that carry only an error
    fits     the "fits" of the laws' JSON answer: {"method", "configuration", "floor", "exponent", "amplitude",
             "saturation_k", "required_k": [{"gap", "estimate", "low", "high", "refusal"}], "predictions",
             "notes": [note]}, each with an optional "curve": [{"k", "estimate", "low", "high"}]
    coverage the answer of `laws.coverage_answer` (the JSON of `limbeck coverage`), or {"refusal": text} where several
             configurations were trained under and too little is there for one
    images   [{"method", "per_class", "caption", "png": bytes or base64 text}]
    failures [{"cell", "reason"}]
    notes    [note], further remarks

A note is {"code", "message"} (and "method", "configuration" where it is about one law) or plain text. Gaps, floors and
errors are fractions; the page writes percentage points. Intervals are those of the laws, 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from limbeck.plots import Law, Mark, Point, laws, marks, points, replication
from limbeck.report.answer import Scale, needs, sentence, target_gap, whisker
from limbeck.report.coverage import coverage_methods, coverage_notes, coverage_section
from limbeck.report.frame import Frame, gap_range, last_k
from limbeck.report.ink import clean, count, key, moment, parted, percent, softened
from limbeck.report.nulls import random_laws, worst_of_noise
from limbeck.report.panel import compare, detail
from limbeck.report.pictures import picture
from limbeck.report.tables import law_lines, mean_lines, remarks, targets
from limbeck.store import write_bytes

__all__ = ["build_report", "write_report"]


@dataclass(frozen=True)
class Method:
    """One method's law under one configuration, drawn."""

    name: str
    caption: str
    chart: Markup


@dataclass(frozen=True)
class Section:
    """One configuration: every method together, then each by itself."""

    configuration: str
    caption: str
    chart: Markup
    methods: tuple[Method, ...]


def build_report(results: Mapping[str, Any]) -> str:
    """One offline page from one plain dict; the docstring of `limbeck.report` lists its keys.

    The same dict gives the same page, to the byte.
    """
    held, fitted = points(results.get("rows") or []), laws(results.get("fits") or [])
    plan = results.get("plan") or {}
    target = target_gap(plan, fitted)
    found = needs(plan, fitted, target, list(dict.fromkeys(point.configuration for point in held)))
    pictures = [picture(image) for image in results.get("images") or []]
    names = [*(p.method for p in held), *(law.method for law in fitted), *(need.method for need in found)]
    covered = results.get("coverage") or {}
    drawn = marks([*names, *(shown.method for shown in pictures if shown), *coverage_methods(covered)])
    scale = Scale.over(found, held)
    levels, means = mean_lines(held) if held else ([], [])
    notes = [*(plan.get("notes") or []), *(results.get("notes") or []), *coverage_notes(covered)]
    page = _environment().get_template("page.html.j2")
    return page.render(
        title=results.get("title") or "limbeck report",
        study=_texts(results.get("study") or {}, "name", "source", "created", "command", "toml", "machine")
        | {"versions": dict((results.get("study") or {}).get("versions") or {})},
        answer=sentence(plan, held),
        target=target,
        needs=[(need, whisker(need, scale, drawn[need.method], _largest(held)) if scale else "") for need in found],
        scale=scale,
        sections=_sections(held, fitted, drawn, target),
        coverage=coverage_section(covered, drawn),
        replication=replication(held),
        pictures=[shown for shown in pictures if shown],
        unreadable=sum(shown is None for shown in pictures),
        asked=targets(fitted),
        laws=law_lines(fitted),
        levels=levels,
        means=means,
        refusals=remarks([], plan.get("refusals") or []),
        remarks=remarks(fitted, notes),
        failures=[_texts(failure, "cell", "reason") for failure in results.get("failures") or []],
        random_laws=random_laws(fitted),
        noise=worst_of_noise(),
        keys={name: key(mark) for name, mark in drawn.items()},
    )


def write_report(results: Mapping[str, Any], path: Path | str) -> Path:
    """Write the page, whole or not at all. Raises `StoreFailure` where the disk refuses."""
    write_bytes(Path(path), build_report(results).encode("utf-8", "replace"))
    return Path(path)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("limbeck.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clean": clean, "count": count, "percent": percent, "parted": parted, "moment": moment}
    environment.globals["softened"] = softened
    return environment


def _texts(facts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: str(facts.get(name) or "") for name in names}


def _largest(held: Sequence[Point]) -> float | None:
    return max((point.k for point in held), default=None)


def _sections(
    held: Sequence[Point], fitted: Sequence[Law], drawn: Mapping[str, Mark], target: float | None
) -> list[Section]:
    """A section for each configuration that has results, all on the same k axis."""
    return [
        _section([point for point in held if point.configuration == name], fitted, drawn, target)
        for name in dict.fromkeys(point.configuration for point in held)
    ]


def _section(here: Sequence[Point], fitted: Sequence[Law], drawn: Mapping[str, Mark], target: float | None) -> Section:
    configuration = here[0].configuration
    own_laws = {law.method: law for law in fitted if law.configuration in ("", configuration) and len(law.curve) > 1}
    low, high = gap_range(here)
    levels = tuple(sorted({point.k for point in here}))
    wide = Frame(levels, low, high, last_k(here, list(own_laws.values()), target))
    small = Frame(levels, low, high, wide.k_end, width=256, height=208, left=26, right=6)
    methods = []
    for name in (name for name in drawn if any(point.method == name for point in here)):
        own = [point for point in here if point.method == name]
        others = [law for other, law in own_laws.items() if other != name]
        law = own_laws.get(name)
        floor = f"Floor {percent(law.floor.value)} points. " if law and law.floor.value is not None else ""
        chart = detail(own, law, others, drawn[name], small, target)
        methods.append(Method(name, floor + replication(own), chart))
    together = compare(here, list(own_laws.values()), drawn, wide, target)
    return Section(configuration, replication(here), together, tuple(methods))
