"""How many samples, which method: the laws of a study, read for one target gap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.errors import UnknownName, nearest
from limbeck.laws import groups
from limbeck.laws.advice import Laws, advised, classes_of
from limbeck.laws.answers import answers_of
from limbeck.laws.choice import DISTINCT, Comparison, compared
from limbeck.laws.estimate import samples_text
from limbeck.laws.law import Law, laws_of, with_interval

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The answer for one target gap: a sentence, a row a method and configuration, refusals and remarks.

    Where there are several configurations the sentence is about all of them at once, and `lines` has one for each. It
    ends with which methods the first one is told apart from (`comparisons`, see `limbeck.laws.choice`).
    """

    gap: float
    configuration: str | None
    sentence: str
    lines: tuple[str, ...]  # the sentence for each configuration, where there are several
    rows: tuple[dict[str, Any], ...]  # required k, floor and exponent of each law, with their intervals
    refusals: tuple[dict[str, Any], ...]  # laws that give no k, with the reason
    notes: tuple[dict[str, Any], ...]  # what else to know of each law
    guidance: tuple[dict[str, Any], ...]  # what to do about each law, see `limbeck.laws.advice`
    comparisons: tuple[dict[str, Any], ...]  # the method that needs the fewest samples against each other one

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        held = dict(vars(self))
        return held | {
            name: list(held[name]) for name in ("lines", "rows", "refusals", "notes", "guidance", "comparisons")
        }


def plan(rows: Iterable[Row], *, gap: float, configuration: str | None = None) -> Plan:
    """How many samples each method needs for a target gap (a fraction), with intervals or refusals.

    Raises `UnknownName` for a configuration that the rows do not have, `BadData` for rows that can't be read.
    """
    table = list(rows)
    return plan_of(laws_of(groups(table)), gap=gap, classes=classes_of(table), configuration=configuration)


def plan_of(laws: Sequence[Law], *, gap: float, classes: int | None, configuration: str | None = None) -> Plan:
    """The plan of laws that are fitted already; `classes` turns a k into samples of each class."""
    fits = answers_of(laws, [gap])
    known = {fit["configuration"] for fit in fits}
    if configuration is not None and configuration not in known:
        raise UnknownName(f"no rows are of the configuration '{configuration}'. {nearest(configuration, known)}")
    fits = [fit for fit in fits if configuration in (None, fit["configuration"])]
    needs = [_need(fit) for fit in fits]
    refusals = [_remark(need, "refused", need["refusal"]) for need in needs if need["refusal"]]
    notes = [
        {**note, "method": fit["method"], "configuration": fit["configuration"]}
        for fit in fits
        for note in fit["notes"]
        if note["code"] != "unreachable"
    ]
    held = [_ranked(need for need in needs if need["configuration"] == name) for name in _named(needs)]
    lines = tuple(f"under {own[0]['configuration']}: {_said(own)}" for own in held) if len(held) > 1 else ()
    chosen = {name: law for name, law in with_interval(laws).items() if configuration in (None, name[1])}
    advice = tuple(one.to_dict() for one in advised(chosen, gap, classes))
    most = _most_of_each(held)
    pairs = _compared(chosen, [need["method"] for need in most if need["estimate"] is not None], _named(needs), gap)
    said = " ".join([_sentence(most, len(held), gap), *_choice(pairs)])
    told = tuple(one.to_dict() for one in pairs)
    return Plan(gap, configuration, said, lines, tuple(needs), tuple(refusals), tuple(notes), advice, told)


def _need(fit: dict[str, Any]) -> dict[str, Any]:
    needed: dict[str, Any] = fit["required_k"][0]
    own: dict[str, Any] = {"method": fit["method"], "configuration": fit["configuration"]}
    return own | needed | {"floor": fit["floor"], "exponent": fit["exponent"], "largest_k": fit.get("largest_k")}


def _remark(need: Row, code: str, message: str) -> Row:
    return {"code": code, "message": message, "method": need["method"], "configuration": need["configuration"]}


def _named(needs: list[Row]) -> list[str]:
    return list(dict.fromkeys(need["configuration"] for need in needs))


def _ranked(needs: Iterable[Row]) -> list[Row]:
    """The method that needs the fewest samples first, refusals last."""
    return sorted(needs, key=lambda need: (need["estimate"] is None, need["estimate"] or 0.0, need["method"]))


def _most_of_each(held: list[list[Row]]) -> list[Row]:
    """What each method needs under the configuration where it needs most, the fewest first."""
    of_method: dict[str, list[Row]] = defaultdict(list)
    for need in (need for own in held for need in own):
        of_method[need["method"]].append(need)
    return _ranked(_most(own, len(held)) if len(held) > 1 else own[0] for own in of_method.values())


def _sentence(most: list[Row], configurations: int, gap: float) -> str:
    """One sentence; for several configurations, what each method needs under the one where it needs most."""
    under = f" under each of {configurations} configurations" if configurations > 1 else ""
    return f"For a gap of {100 * gap:g} points{under}: {_said(most)}."


def _compared(laws: Laws, methods: list[str], configurations: list[str], gap: float) -> list[Comparison]:
    """The first of the methods against each other one, as far as they have laws under all configurations."""
    own = {name: [laws[name, one] for one in configurations if (name, one) in laws] for name in methods}
    whole = {name: held for name, held in own.items() if len(held) == len(configurations)}
    return compared(whole, gap) if methods and methods[0] in whole else []


def _choice(pairs: list[Comparison]) -> list[str]:
    """`dm needs 0.5 [0.3, 0.8] times as many as random (p = 0.01) and is not told apart from dc (0.9 [0.6, 2])`."""
    if not pairs:
        return []
    sure = [f"{_times(one)} (p = {one.p:.1g})" for one in pairs if one.p < DISTINCT]
    near = [one.other + ("" if one.ratio.estimate is None else f" ({one.ratio.text(2)})") for one in pairs
            if one.p >= DISTINCT]  # fmt: skip
    said = [f"needs {', '.join(sure)}"] * bool(sure) + [f"is not told apart from {', '.join(near)}"] * bool(near)
    return [f"Compared in pairs (Holm), {pairs[0].method} {' and '.join(said)}."]


def _times(one: Comparison) -> str:
    """By how much; without a number where the other's k lies beyond ten times the largest measured."""
    if one.ratio.estimate is None:
        return f"fewer than {one.other}"
    return f"{one.ratio.text(2)} times as many as {one.other}"


def _most(own: list[Row], configurations: int) -> Row:
    """A method's need under the configuration where it needs most, or under how many it is refused."""
    refused = sum(need["estimate"] is None for need in own) + configurations - len(own)
    if refused:
        return {**own[0], "estimate": None, "refused": refused}
    return max(own, key=lambda need: need["estimate"])


def _said(needs: list[Row]) -> str:
    """`dm needs 120 [95, 170] samples; k-means 310 [240, 450]; no answer for dc`."""
    said: list[str] = []
    for need in (need for need in needs if need["estimate"] is not None):
        low = "0" if need["low"] is None else samples_text(need["low"])
        high = "∞)" if need["high"] is None else f"{samples_text(need['high'])}]"
        verb, noun = ("", "") if said else (" needs", " samples")
        said.append(f"{need['method']}{verb} {samples_text(need['estimate'])} [{low}, {high}{noun}")
    refused = [need for need in needs if need["estimate"] is None]
    names = [f"{need['method']} (under {need['refused']})" if "refused" in need else need["method"] for need in refused]
    return "; ".join(said + [f"no answer for {', '.join(names)}"] * bool(names))
