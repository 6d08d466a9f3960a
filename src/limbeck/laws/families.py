"""Many laws of one table: pooled over the configurations of a method, and their tests corrected for their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from limbeck.errors import BadData
from limbeck.laws.multiplicity import benjamini_hochberg, holm
from limbeck.laws.notes import Code, Note
from limbeck.laws.pooling import pool_laws
from limbeck.laws.scaling import ScalingFit, fit_levels
from limbeck.laws.table import Group

TESTS = ("exponent_below_half", "exponent_not_half", "floor", "lack_of_fit")


def families(
    groups: Sequence[Group], fits: Sequence[dict[str, Any]], *, level: float = 0.95, robust: bool = False
) -> dict[str, Any]:
    """`{"pooled": one entry a method, "tests": every test of every law with its adjusted p-values}`.

    A method with one configuration has nothing to pool: its entry is a note.
    """
    held: dict[str, list[tuple[str, ScalingFit]]] = defaultdict(list)
    for group in groups:
        if group.levels is None:
            continue
        try:
            fit = fit_levels(group.levels, level=level, robust=robust)
        except BadData:
            continue
        held[group.method].append((group.configuration, fit))
    return {
        "pooled": [_pooled(method, laws, level) for method, laws in held.items()],
        "tests": {name: _adjusted(fits, name) for name in TESTS},
    }


def _pooled(method: str, laws: list[tuple[str, ScalingFit]], level: float) -> dict[str, Any]:
    names = [name for name, _ in laws]
    try:
        family = pool_laws([fit for _, fit in laws], level=level)
    except BadData as error:
        message = str(error)[0].upper() + str(error)[1:]
        return {"method": method, "laws": len(laws), "notes": [Note(Code.nothing_to_pool, message).to_dict()]}
    out = [names[i] for i in family.left_out]
    kept = [name for name in names if name not in out]
    notes = []
    if out:
        message = f"Left out of the pool, as their exponent has no interval or their gap no decay: {', '.join(out)}."
        notes.append(Note(Code.left_out_of_pool, message))
    exponent = family.parameters["exponent"]
    if min(exponent.equal_p, family.ancova_p) < 0.05:
        message = (
            f"The exponents of {method} differ between its {family.laws} configurations (Q = {exponent.q:.1f}, "
            f"p = {exponent.equal_p:.2g}; F = {family.ancova_f:.1f}, p = {family.ancova_p:.2g}): no single exponent "
            "describes it."
        )
        notes.append(Note(Code.exponents_differ, message))
    return {
        "method": method,
        **family.to_dict(),
        "configurations": kept,
        "left_out": out,
        "notes": [note.to_dict() for note in notes],
    }


def _adjusted(fits: Sequence[dict[str, Any]], test: str) -> list[dict[str, Any]]:
    """One test over all laws: p as it is, by Holm, and by Benjamini and Hochberg."""
    tested = [(fit, p) for fit in fits if (p := _p_value(fit, test)) is not None]
    values = [p for _, p in tested]
    columns = zip(tested, holm(values), benjamini_hochberg(values), strict=True)
    return [
        {"method": fit["method"], "configuration": fit["configuration"], "p": p, "holm": float(a), "bh": float(b)}
        for (fit, p), a, b in columns
    ]


def _p_value(fit: dict[str, Any], test: str) -> float | None:
    """A law's own p-value for a test; None where it could not be made."""
    said = fit.get("diagnostics")
    if said is None:
        return None
    exponent = said["exponent"] or {"at_least_half_p": None, "equals_half_p": None}
    p: float | None = {
        "exponent_below_half": exponent["at_least_half_p"],
        "exponent_not_half": exponent["equals_half_p"],
        "floor": said["no_floor_p"],
        "lack_of_fit": said["lack_of_fit_p"],
    }[test]
    return p
