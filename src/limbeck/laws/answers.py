"""A table of results to the laws' answer: one plain dict, the JSON of `limbeck laws`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.errors import BadData, nearest
from limbeck.laws.alternatives import compare
from limbeck.laws.columns import Row
from limbeck.laws.decisions import Budget, diminishing_k, floor_versus_k, held_at_zero, required_k
from limbeck.laws.diagnostics import (
    exponent_statements,
    floor_p_value,
    identifiability,
    lack_of_fit_p_value,
    leave_largest_out,
    runs_p_value,
    signed_floor,
    verdicts,
)
from limbeck.laws.estimate import Estimate
from limbeck.laws.families import families
from limbeck.laws.law import Law, laws_of
from limbeck.laws.levels import Levels
from limbeck.laws.notes import Code, Note
from limbeck.laws.scaling import Exponent, Interval, ScalingFit, fit_levels
from limbeck.laws.table import groups

CURVE_POINTS = 33
ONE_POINT = 0.01  # of gap for e times the samples: where more hardly pay


def answer(
    rows: Iterable[Row],
    gaps: Sequence[float] = (),
    at: Sequence[float] = (),
    *,
    exponent: Exponent = "free",
    interval: Interval = "profile",
    level: float = 0.95,
    robust: bool = False,
    pair: bool = False,
    pool: bool = False,
    axis: str = "k",
    budget: Budget | None = None,
) -> dict[str, Any]:
    """Fit the scaling law to every method and configuration of a table.

    `gaps` are targets to find k for, `at` values of k to predict the gap at. The answer is `{"fits": [{"method",
    "configuration", "floor", "exponent", "amplitude", "saturation_k", "required_k": [{"gap", ...}], "predictions":
    [{"k", ...}], "notes": [{"code", "message"}], ...}]}`, estimates being `{"estimate", "low", "high"}` with None for
    an open end. Too few levels give a fit of None and a note. `pool` adds "pooled", what a method's laws have in common
    (see `families`). `axis` is the column that stands for k, such as bytes: what a set costs to keep, soft labels
    included. `budget` adds "affordable" to each fit: the k it pays for and the gap there. Raises `BadData` for a table
    that can't be read.
    """
    held = groups(rows if axis == "k" else _along(rows, axis), pair=pair)
    points = list(at) if budget is None else list(dict.fromkeys([*at, float(budget.k)]))
    laws = laws_of(held, exponent=exponent, interval=interval, level=level, robust=robust)
    fits = answers_of(laws, gaps, points)
    if budget is not None:
        for fit in fits:
            fit["affordable"] = next(one for one in fit["predictions"] if one["k"] == budget.k)
    return {"fits": fits} | (families(held, fits, level=level, robust=robust) if pool else {})


def answers_of(laws: Iterable[Law], gaps: Sequence[float] = (), at: Sequence[float] = ()) -> list[dict[str, Any]]:
    """The "fits" of `answer`, of laws that are fitted already."""
    targets, points = [_target(gap) for gap in gaps], [_point(k) for k in at]
    return [_told(law, targets, points) for law in laws]


def _along(rows: Iterable[Row], axis: str) -> list[Row]:
    """Rows with another column for k."""
    table = list(rows)
    if not any(axis in row for row in table):
        raise BadData(f"the table has no column '{axis}'. {nearest(axis, {name for row in table for name in row})}")
    return [{name: row[name] for name in row if name != "per_class"} | {"k": row.get(axis)} for row in table]


def _target(gap: float) -> float:
    if not 0 < gap < 1:
        raise BadData(f"a target gap of {gap:g} must lie between 0 and 1: 0.05 is five percentage points of error.")
    return float(gap)


def _point(k: float) -> float:
    if not 1 <= k < 1e15:
        raise BadData(f"a gap can't be predicted at k = {k:g}: k must be at least 1.")
    return float(k)


def _told(law: Law, gaps: list[float], at: list[float]) -> dict[str, Any]:
    group, fit = law.group, law.fit
    head = {"method": group.method, "configuration": group.configuration}
    if group.levels is None:
        return {**head, **_nothing(gaps, at, "there is no full-data reference"), "notes": _plain(group.notes)}
    measured = {"levels": _levels(group.levels), "variance_components": group.levels.components.to_dict()}
    if fit is None:
        return {
            **head,
            **_nothing(gaps, at, "too few values of k were measured"),
            **measured,
            "notes": [_too_few(law.refusal), *_plain(group.notes)],
        }
    required = [required_k(fit, gap) for gap in gaps]
    notes = [*group.notes, *fit.notes, *identifiability(fit), *verdicts(fit)]
    notes += [note for one in required for note in one.notes]
    notes += held_at_zero(fit, gaps, at)
    notes += [_far(k, fit) for k in at if k > 10 * fit.largest_k or 2 * k < fit.smallest_k]
    return {
        **head,
        **fit.to_dict(),
        "required_k": [one.to_dict() for one in required],
        "predictions": [{"k": k, **fit.foretold.gap(k).to_dict()} for k in at],
        "notes": _plain(notes),
        **measured,
        "constant": fit.constant,
        "smallest_k": fit.smallest_k,
        "largest_k": fit.largest_k,
        "degrees_of_freedom": fit.profile.df,
        "level": fit.level,
        "curve": _curve(fit),
        "straight": _straight(fit, gaps, at),
        **_other_exponent(group.levels, gaps, at, law.settings),
        "alternatives": compare(fit.levels, at).to_dict(),
        "diagnostics": _diagnostics(fit),
    }


def _plain(notes: Iterable[Note]) -> list[dict[str, str]]:
    return [note.to_dict() for note in dict.fromkeys(notes)]


def _too_few(text: str) -> dict[str, str]:
    return Note(Code.too_few_levels, text[0].upper() + text[1:]).to_dict()


def _far(k: float, fit: ScalingFit) -> Note:
    if k < fit.smallest_k:
        message = (
            f"k = {k:,.0f} is below the smallest k measured ({fit.smallest_k:,.0f}): extrapolation, and a law may rise "
            "above what errors can be."
        )
    else:
        message = f"k = {k:,.0f} is more than 10 times the largest k measured ({fit.largest_k:,.0f}): extrapolation."
    return Note(Code.extrapolation, message)


def _nothing(gaps: list[float], at: list[float], reason: str) -> dict[str, Any]:
    nothing = Estimate.of(None).to_dict()
    return {
        **{name: dict(nothing) for name in ("floor", "exponent", "amplitude", "saturation_k")},
        "required_k": [{"gap": gap, **nothing, "unreachable_confidence": None, "refusal": reason} for gap in gaps],
        "predictions": [{"k": k, **nothing} for k in at],
    }


def _levels(levels: Levels) -> list[dict[str, float]]:
    columns = (levels.k, levels.mean, levels.sets, levels.runs)
    return [dict(zip(("k", "gap", "sets", "runs"), map(float, one), strict=True)) for one in zip(*columns, strict=True)]


def _curve(fit: ScalingFit) -> list[dict[str, float | None]]:
    """The law over the k measured and a factor of three beyond, with its interval: what a figure draws."""
    ks = np.geomspace(fit.smallest_k, 3 * fit.largest_k, CURVE_POINTS)
    return [{"k": float(k), **fit.foretold.gap(float(k)).to_dict()} for k in ks]


def _straight(fit: ScalingFit, gaps: list[float], at: list[float]) -> dict[str, Any]:
    """How far the law bends, and what it would say if it were known to be straight."""
    law = fit.foretold
    return {
        "bend": None if isinstance(law, ScalingFit) else law.bend.to_dict(),
        "required_k": [{"gap": gap, **fit.required_k(gap).to_dict()} for gap in gaps],
        "predictions": [{"k": k, **fit.gap(k).to_dict()} for k in at],
    }


def _other_exponent(levels: Levels, gaps: list[float], at: list[float], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the exponent held at 1/2, or free where it was held: neither is to be read without the other."""
    name, exponent = (
        ("fixed_exponent", 0.5) if settings.get("exponent", "free") == "free" else ("free_exponent", "free")
    )
    try:
        fit = fit_levels(levels, **{**settings, "exponent": exponent})
    except BadData:  # two levels carry a law whose exponent is held, and no other
        return {name: None}
    other = {
        **fit.to_dict(),
        "required_k": [required_k(fit, gap).to_dict() for gap in gaps],
        "predictions": [{"k": k, **fit.gap(k).to_dict()} for k in at],
        "lack_of_fit_p": lack_of_fit_p_value(fit),
    }
    return {name: other}


def _diagnostics(fit: ScalingFit) -> dict[str, Any]:
    statements, left_out = exponent_statements(fit), leave_largest_out(fit)
    return {
        "exponent": statements.to_dict() if statements else None,
        "lack_of_fit_p": lack_of_fit_p_value(fit),
        "no_floor_p": floor_p_value(fit),
        "runs_p": runs_p_value(fit),
        "leave_largest_out": left_out.to_dict() if left_out else None,
        "floor_versus_k": floor_versus_k(fit, fit.largest_k).to_dict(),
        "diminishing_k": diminishing_k(fit, ONE_POINT).to_dict(),
        "signed_floor": signed_floor(fit),
    }
