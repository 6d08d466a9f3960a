"""Measured discrepancies and gaps to the answer about surrogates: one plain dict, the JSON of `limbeck interchange`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from limbeck.errors import BadData
from limbeck.laws.columns import finite
from limbeck.laws.estimate import Estimate
from limbeck.laws.guidance import DISTINCT, Line, guidance
from limbeck.laws.interchange import Ancova, ancova, leave_one_method_out, partial_rank_correlation
from limbeck.laws.multiplicity import holm
from limbeck.laws.surrogates import decline, transfer_loss

NEEDED = ("method", "k", "set", "configuration", "home", "steps", "discrepancy", "gap", "seconds")


def interchange_answer(rows: Iterable[Mapping[str, Any]], *, seed_sd: float = 0.0) -> dict[str, Any]:
    """Whether methods are interchangeable given the discrepancy, how fast each lowers it, and which to take at which k.

    A row is one training on one set: `method` (a name; sets stopped early carry the same one), `k`, `set`,
    `configuration` trained under and `home` distilled for, `steps` of distillation, `discrepancy` A^2, `gap`,
    `seconds` of distilling. Only sets of a method's most steps at a k are judged; the others tell how it declines. A
    part that the rows can't carry is `{"refusal": reason}`. Raises `BadData` for missing columns, or fewer than two
    methods.
    """
    held = [dict(row) for row in rows]
    missing = [name for name in NEEDED if any(row.get(name) in (None, "") for row in held)]
    if missing or not held:
        raise BadData(f"the rows lack {', '.join(missing) or 'everything'}. A row is one training on one set.")
    for line, row in enumerate(held, start=1):
        for name in ("k", "steps", "discrepancy", "gap", "seconds"):
            finite(row[name], f"row {line}: {name}")
    if not all(float(row["discrepancy"]) > 0 and np.isfinite(float(row["gap"])) for row in held):
        raise BadData("a discrepancy must be above 0 and a gap finite: leave failed trainings out and say so.")
    full = _longest(held)
    methods = sorted({str(row["method"]) for row in full})
    if len(methods) < 2:
        raise BadData(f"the rows are of {methods[0]} alone: surrogates can be compared from two methods on.")
    lines = guidance(full)
    column = _columns(full)
    judged = _tried(lambda: _ancova(column, seed_sd))
    return {
        "sentence": _sentence(lines, judged),
        "methods": methods,
        "runs": len(full),
        "sets": len(set(column["cluster"])),
        "configurations": sorted(set(column["configuration"])),
        "interchange": judged,
        "rank_correlation": partial_rank_correlation(
            column["x"], column["gap"], column["block"], column["cluster"]
        ).to_dict(),
        "left_out": _tried(lambda: _left_out(column)),
        "transfer": _transfer(column, methods),
        "decline": [_decline(held, name, k) for name in methods for k in sorted({int(row["k"]) for row in full})],
        "guidance": [line.to_dict() for line in lines],
    }


def _longest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    most: dict[tuple[str, int], int] = {}
    for row in rows:
        key = (str(row["method"]), int(row["k"]))
        most[key] = max(most.get(key, 0), int(row["steps"]))
    return [row for row in rows if int(row["steps"]) == most[str(row["method"]), int(row["k"])]]


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "x": np.log([float(row["discrepancy"]) for row in rows]),
        "gap": np.array([float(row["gap"]) for row in rows]),
        "method": [str(row["method"]) for row in rows],
        "configuration": [str(row["configuration"]) for row in rows],
        "block": [f"{row['configuration']} {row['k']}" for row in rows],
        "cluster": [f"{row['method']} {row['k']} {row['set']}" for row in rows],
        "log_k": np.log([float(row["k"]) for row in rows]),
        "home": [row["configuration"] == row["home"] for row in rows],
    }


def _tried(part: Any) -> dict[str, Any]:
    try:
        return dict(part())
    except BadData as error:
        return {"refusal": str(error)}


def _ancova(column: Mapping[str, Any], seed_sd: float) -> dict[str, Any]:
    found: Ancova = ancova(
        column["x"], column["gap"], column["method"], column["block"], column["cluster"], seed_sd=seed_sd
    )
    gaps = [one.smallest_margin for one in found.gap_differences]
    return {
        "interchangeable": found.interchangeable,
        "slopes": {name: one.to_dict() for name, one in found.slopes.items()},
        "adjusted": {name: one.to_dict() for name, one in found.adjusted.items()},
        "equal_slopes": dict(zip(("f", "p"), found.equal_slopes, strict=True)),
        "equal_intercepts": dict(zip(("f", "p"), found.equal_intercepts, strict=True)),
        "slope_ratios": [one.to_dict() for one in found.slope_ratios],
        "gap_differences": [one.to_dict() for one in found.gap_differences],
        "smallest_gap_margin": None if None in gaps else max(one for one in gaps if one is not None),
    }


def _left_out(column: Mapping[str, Any]) -> dict[str, Any]:
    return dict(
        leave_one_method_out(column["x"], column["gap"], column["method"], column["log_k"], column["configuration"])
    )


def _transfer(column: Mapping[str, Any], methods: Sequence[str]) -> list[dict[str, Any]]:
    """How much more of a gap each method has away from home than each other.

    p is adjusted by Holm over all pairs; those that can't be told are missing.
    """
    found, tests = [], []
    for first, second in combinations(methods, 2):
        try:
            value, p = transfer_loss(column["gap"], column["method"], column["home"], column["cluster"], first, second)
        except BadData:
            continue
        found.append({"first": first, "second": second, **value.to_dict()})
        tests.append(p)
    return [one | {"p": float(p)} for one, p in zip(found, holm(tests) if tests else [], strict=True)]


def _decline(rows: Sequence[Mapping[str, Any]], method: str, k: int) -> dict[str, Any]:
    own = [
        row for row in rows if row["method"] == method and int(row["k"]) == k and row["configuration"] == row["home"]
    ]
    head = {"method": method, "k": k, "steps": max((int(row["steps"]) for row in own), default=0)}
    try:
        found = decline(
            [float(row["steps"]) for row in own],
            [float(row["discrepancy"]) for row in own],
            [row["set"] for row in own],
        )
    except BadData as error:
        return head | {"refusal": str(error)}
    measured = {name: getattr(found, name).to_dict() for name in ("rate", "floor", "slope")}
    return head | measured | {"start": found.start}


def _points(gap: Estimate) -> str:
    """`1.2 [-0.3, 2.7] points`."""
    ends = (None if end is None else 100 * end for end in (gap.estimate, gap.low, gap.high))
    return f"{Estimate.of(*ends).text(2)} points"


def _sentence(lines: Sequence[Line], judged: Mapping[str, Any]) -> str:
    said = []
    for k in dict.fromkeys(line.k for line in lines):
        own = [line for line in lines if line.k == k]
        near = sum(line.p is None or line.p >= DISTINCT for line in own)
        best, advised = (next(line for line in own if getattr(line, name)) for name in ("best", "advised"))
        gap = 100 * (best.gap.estimate or 0.0)
        also = f"; of the {near} not told apart from it {advised.method} costs least (gap {_points(advised.more)} more)"
        also = "" if advised is best else also
        said.append(f"At k = {k} {best.method} leaves the smallest mean gap, {gap:.2g} points{also}.")
    if "refusal" in judged:
        said.append(f"Whether surrogates are interchangeable was not tested: {judged['refusal']}")
    elif judged["interchangeable"]:
        said.append("Given the discrepancy, all pairs pass as equivalent.")
    else:
        pairs = judged["gap_differences"]
        passed = sum(one["equivalent"] for one in pairs)
        said.append(f"Given the discrepancy, {passed} of {len(pairs)} pairs of adjusted gaps pass as equivalent.")
    return " ".join(said)
