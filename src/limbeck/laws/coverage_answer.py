"""A table of results and distances to the coverage law's answer: one plain dict, the JSON of `limbeck coverage`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from limbeck.errors import BadData, nearest
from limbeck.laws.columns import Row
from limbeck.laws.coverage_method import method_answer
from limbeck.laws.coverage_setting import Setting, chosen_setting, quarter_radius
from limbeck.laws.covers import cover
from limbeck.laws.diversity import sandwich, vendi_number
from limbeck.laws.estimate import Estimate
from limbeck.laws.metric_tests import lipschitz_quantile, mantel, triangle_violations
from limbeck.laws.notes import Code, Note
from limbeck.laws.nulls import worst_of_noise
from limbeck.laws.profiles import PROBES, gap_profiles, read_all, risk_profile
from limbeck.laws.worst import Runs
from limbeck.measures.split_seeds import DistanceMatrix


def coverage_answer(
    rows: Iterable[Row],
    gap: float,
    distances: Sequence[DistanceMatrix] = (),
    *,
    methods: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """How many samples serve a whole family of configurations, and whether its diversity is what decides that.

    The first of `distances` defines H and the families, by default the risk profile over the first set of every method
    and k; all are validated on the gaps of the other sets, and only those are the law fitted to. Families are compared
    at the radius where a quarter as many centres as members cover the pool, or at the distance's noise where that is
    larger; the radius r* that makes the bound tightest is given beside. The answer is
    `{"sentence", "gap", "configurations", "distances": [...], "family": {...}, "methods": [...], "null", "notes"}`.
    Raises `BadData` for a table that has too little in it: fewer than 8 configurations, 2 sets or 2 seeds.
    """
    if not 0 < gap < 1:
        raise BadData(f"a target gap of {gap:g} must lie between 0 and 1: 0.05 is five percentage points of error.")
    every = read_all(rows)
    if len(every[0].names) < 8:
        raise BadData(f"{len(every[0].names)} configurations are too few for a coverage law: 8 are the least, 24 good.")
    given = list(distances) or [risk_profile(every)]
    names = [name for name in every[0].names if all(name in one.names for one in given)]
    given = [one.among(names) for one in given]
    every = [runs.among(names) for runs in every]
    validated = [_validation(one, given, every, seed) for one in given]
    chosen = [_fitted(runs) for runs in every if not methods or runs.method in methods]
    if not chosen:
        raise BadData(f"no method of the table is asked for. {nearest(methods[0], [runs.method for runs in every])}")
    setting = chosen_setting(given[0], validated[0]["lipschitz"], chosen, gap, seed)
    answers = [method_answer(runs, setting) for runs in chosen]
    notes = [*(note for runs in chosen for note in runs.notes), *_distance_notes(validated[0], setting)]
    return {
        "sentence": _sentence(answers, setting),
        "gap": gap,
        "configurations": names,
        "distances": validated,
        "family": _family(setting),
        "methods": answers,
        "null": worst_of_noise().to_dict(),
        "notes": [note.to_dict() for note in dict.fromkeys(notes)],
    }


def _fitted(runs: Runs) -> Runs:
    """The sets that distances have not seen."""
    return runs.sets(range(PROBES, runs.error.shape[2]))


def _validation(
    one: DistanceMatrix, given: Sequence[DistanceMatrix], every: Sequence[Runs], seed: int
) -> dict[str, Any]:
    """What a distance says of the gaps on sets that it has not seen."""
    profiles = gap_profiles(every)  # (configurations, method x k x set)
    apart = np.sqrt(((profiles[:, None] - profiles[None]) ** 2).mean(2))
    np.fill_diagonal(apart, 0)
    spec = next((other for other in given if other.kind == "spec"), None)
    radius = quarter_radius(one.value)
    least = one.noise if (one.value > one.noise).any() else 0.0  # a note says so where all is within the noise
    slack_radius = max(radius, one.noise)
    lipschitz = lipschitz_quantile(one.value, profiles[:, ::2], profiles[:, 1::2], slack_radius, least=least)
    return {
        "kind": one.kind,
        "noise": one.noise,
        "largest": float(one.value.max()),
        "mantel": mantel(one.value, apart, seed=seed).to_dict(),
        "partial_mantel": None
        if spec is None or one.kind == "spec"
        else mantel(one.value, apart, spec.value, seed=seed).to_dict(),
        "lipschitz": lipschitz.to_dict(),
        "triangles": triangle_violations(one.value),
    }


def _family(setting: Setting) -> dict[str, Any]:
    """What is to be said of the whole family, whatever the method."""
    d, r = setting.distance.value, setting.radius
    whole = cover(d, r)
    return {
        "members": len(d),
        "log_m": math.log(len(d)),
        "radius": r,
        "bound_radius": setting.bound.to_dict(),
        "entropy": whole.entropy,
        "cover": {**whole.to_dict(), "names": [setting.distance.names[centre] for centre in whole.centres]},
        "curve": setting.curve.to_dict(),
        "vendi": vendi_number(d),
        "width": sandwich(d, seed=setting.seed).to_dict(),
        "families": [{"name": one.name, "members": list(one.members)} for one in setting.families],
    }


def _distance_notes(validated: dict[str, Any], setting: Setting) -> list[Note]:
    notes, kind = [], setting.distance.kind
    if validated["mantel"]["p_value"] > 0.05:
        p = validated["mantel"]["p_value"]
        message = f"The distance {kind} does not go with differences of gaps (Mantel p = {p:.2g})."
        notes.append(Note(Code.distance_not_validated, message))
    if validated["triangles"]["share"] > 0.01:
        share = 100 * validated["triangles"]["share"]
        notes.append(
            Note(Code.distance_not_a_metric, f"{share:.0f} % of triples break the triangle inequality of {kind}.")
        )
    if setting.radius <= setting.distance.noise * 1.001:
        noise = setting.distance.noise
        message = f"The radius is the noise of the distance ({noise:.3g}): more seeds would resolve more."
        notes.append(Note(Code.distance_within_noise, message))
    distinct = len(cover(setting.distance.value, setting.radius).centres)
    if distinct < 6:
        message = (
            f"At the radius {setting.radius:.3g} the family is only {distinct} distinct configurations: intervals "
            "rest on as many independent groups."
        )
        notes.append(Note(Code.few_distinct_configurations, message))
    return notes


def _sentence(answers: Sequence[dict[str, Any]], setting: Setting) -> str:
    """The answer for all methods: the samples that each needs, and what decides how families differ."""
    members = len(setting.distance.names)
    distinct = round(math.exp(cover(setting.distance.value, setting.radius).entropy))
    parts = []
    for answer in answers:
        explained = {one["measure"]: one["explained"] for one in answer["measures"]}
        p = answer["law"]["permutation_p"]
        parts.append(
            f"{100 * explained['H']:.0f} % of how families differ under {answer['method']}, their number "
            f"{100 * explained['log M']:.0f} % (p = {p:.2g} for H at equal number)"
        )
    return (
        f"For a gap of {100 * setting.gap:g} points under each of {members} configurations, as diverse as {distinct} "
        f"distinct ones, {'; '.join(_needed(answer) for answer in answers)}. Diversity H explains {'; '.join(parts)}."
    )


def _needed(answer: dict[str, Any]) -> str:
    """What one method needs for the whole family, and the configuration that decides it."""
    whole = answer["whole_family"]
    setter = whole["worst"][-1]["set_by"]
    need = Estimate(whole["estimate"], whole["low"], whole["high"])
    if whole["estimate"] is None:
        return f"no number of samples from {answer['method']} is enough, as the floor of {setter} is in the way"
    if whole["beyond"]:
        said = f"{answer['method']} would need about {need.estimate:,.0f} samples, too far beyond what was measured"
    else:
        said = f"{answer['method']} needs {need.text(whole=True)} samples"
    return f"{said} ({setter} sets the worst gap at the largest k)"
