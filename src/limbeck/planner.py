"""How many samples, which method: the laws of a study, read for one target gap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from limbeck.errors import UnknownName, nearest
from limbeck.laws import answer

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The answer for one target gap: a sentence, a row a method and configuration, refusals and remarks."""

    gap: float
    configuration: str | None
    sentence: str
    rows: tuple[dict[str, Any], ...]
    refusals: tuple[dict[str, Any], ...]
    notes: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        held = dict(vars(self))
        return held | {name: list(held[name]) for name in ("rows", "refusals", "notes")}


def plan(rows: Iterable[Row], *, gap: float, configuration: str | None = None) -> Plan:
    """How many samples each method needs for a target gap (a fraction), with intervals or refusals.

    Raises `UnknownName` for a configuration that the rows do not have, `BadData` for rows that can't be read.
    """
    fits = answer(list(rows), [gap])["fits"]
    known = {fit["configuration"] for fit in fits}
    if configuration is not None and configuration not in known:
        raise UnknownName(f"no rows are of the configuration '{configuration}'. {nearest(configuration, known)}")
    fits = [fit for fit in fits if configuration in (None, fit["configuration"])]
    lines = [_line(fit) for fit in fits]
    refusals = [_remark(line, "refused", line["refusal"]) for line in lines if line["refusal"]]
    notes = [
        {**note, "method": fit["method"], "configuration": fit["configuration"]}
        for fit in fits
        for note in fit["notes"]
        if note["code"] != "unreachable"
    ]
    return Plan(gap, configuration, _sentence(lines, gap), tuple(lines), tuple(refusals), tuple(notes))


def _line(fit: dict[str, Any]) -> dict[str, Any]:
    needed: dict[str, Any] = fit["required_k"][0]
    own: dict[str, Any] = {"method": fit["method"], "configuration": fit["configuration"]}
    return own | needed | {"floor": fit["floor"], "exponent": fit["exponent"], "largest_k": fit.get("largest_k")}


def _remark(line: dict[str, Any], code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "method": line["method"], "configuration": line["configuration"]}


def _sentence(lines: list[dict[str, Any]], gap: float) -> str:
    """One sentence a configuration, the method that needs the fewest samples first, refusals last."""
    held: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        held[line["configuration"]].append(line)
    said = []
    for configuration, own in held.items():
        ranked = sorted(own, key=lambda line: (line["estimate"] is None, line["estimate"] or 0.0, line["method"]))
        where = f" under {configuration}" if len(held) > 1 else ""
        said.append(f"For a gap of {100 * gap:g} points{where}: {'; '.join(_needs(line) for line in ranked)}.")
    return " ".join(said) or "No method was measured yet."


def _needs(line: dict[str, Any]) -> str:
    if line["estimate"] is None:
        return f"{line['method']} is refused ({line['refusal']})"
    low = "0" if line["low"] is None else f"{line['low']:.3g}"
    high = "∞)" if line["high"] is None else f"{line['high']:.3g}]"
    return f"{line['method']} needs {line['estimate']:.3g} [{low}, {high} samples"
