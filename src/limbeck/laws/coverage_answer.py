"""A table of results and distances to the coverage law's answer: one plain dict, the JSON of `limbeck coverage`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.errors import BadData, nearest
from limbeck.laws.columns import Row
from limbeck.laws.coverage import CoverageFit, Pool, fit_coverage, own_floors
from limbeck.laws.covers import Floats, cover
from limbeck.laws.diversity import EntropyCurve, Radius, best_radius, entropy_curve, sandwich, vendi_number
from limbeck.laws.estimate import Estimate
from limbeck.laws.metric_tests import lipschitz_quantile, mantel, triangle_violations
from limbeck.laws.needs import Needs, family_needs, needs_against, slopes_apart
from limbeck.laws.notes import Code, Note
from limbeck.laws.nulls import worst_of_noise
from limbeck.laws.profiles import PROBES, gap_profiles, read_all, risk_profile
from limbeck.laws.subfamilies import Family, masks, nested, stratified
from limbeck.laws.worst import Runs, Worst, worst_gaps, worst_intervals
from limbeck.measures.split_seeds import DistanceMatrix
from limbeck.variants import split_outside_brackets

EACH = 16  # families of every size
PERMUTATIONS = 499
SIZES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FACTORS = ("optimizer", "augmentation", "schedule", "domain", "architecture")  # the order in which families grow
RISK_PROFILE = "risk-profile"


@dataclass(frozen=True)
class _Setting:
    """What the answers of all methods share: the distance, the radius, the families."""

    distance: DistanceMatrix
    curve: EntropyCurve
    families: tuple[Family, ...]
    radius: float
    bound: Radius
    gap: float
    seed: int


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
    setting = _setting(given[0], validated[0]["lipschitz"], chosen, gap, seed)
    answers = [_method(runs, setting) for runs in chosen]
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
    radius = _quarter_radius(one.value)
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


def _quarter_radius(d: Floats) -> float:
    """The smallest radius at which a quarter as many centres as members cover the family: a scale-free place."""
    radii = np.unique(d[d > 0])
    low, high = 0, len(radii) - 1
    while low < high:
        middle = (low + high) // 2
        if len(cover(d, float(radii[middle]), exact_limit=0).centres) <= max(1, len(d) // 4):
            high = middle
        else:
            low = middle + 1
    return float(radii[low]) if len(radii) else 0.0


def _setting(
    distance: DistanceMatrix, lipschitz: dict[str, float], chosen: Sequence[Runs], gap: float, seed: int
) -> _Setting:
    d = distance.value
    curve = entropy_curve(d, least=distance.noise)
    constant = float(np.median([np.median(own_floors(runs, 0.5).curves.constant) for runs in chosen]))
    k = float(np.exp(np.log(chosen[0].k).mean()))
    best = best_radius(curve, k, constant, lipschitz["value"], noise=distance.noise)
    # r* may well be so large that one centre covers all: the bound is then tightest, and tells families not apart
    radius = max(_quarter_radius(d), distance.noise)
    sizes = [size for size in SIZES if size <= len(d) - 2]
    families = [*stratified(d, sizes, each=EACH, radius=radius, seed=seed), *_nested(distance.names)]
    unique = {family.members: family for family in families}
    return _Setting(distance, curve, tuple(unique.values()), radius, best, gap, seed)


def _nested(names: Sequence[str]) -> list[Family]:
    """Families that grow factor by factor around the first configuration, where all names are written in full."""
    parts = [split_outside_brackets(name, "/") for name in names]
    if any(not 4 <= len(part) <= 5 for part in parts):
        return []
    rows = [[part[1], part[2], part[3], part[4] if len(part) > 4 else "clean", part[0]] for part in parts]
    return nested(rows, FACTORS)


def _family(setting: _Setting) -> dict[str, Any]:
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


def _method(runs: Runs, setting: _Setting) -> dict[str, Any]:
    pool = Pool(runs, setting.distance.value, setting.families, setting.radius)
    fit = fit_coverage(pool, permutations=PERMUTATIONS, seed=setting.seed)
    free = fit_coverage(pool, exponent=None, permutations=PERMUTATIONS, halves=False, seed=setting.seed)
    everyone = masks([Family("all", tuple(range(len(runs.names))))], len(runs.names))
    whole = worst_gaps(runs, everyone)
    floors = own_floors(runs, None)
    needs, of_all = family_needs(runs, pool.masks, setting.gap), family_needs(runs, everyone, setting.gap)
    notes = _law_notes(runs, fit, whole, needs, floors.curves.floor)
    _, _, sets, seeds = runs.error.shape
    return {
        "method": runs.method,
        "sets": sets,
        "seeds": seeds,
        "trainings": runs.error.size,
        "whole_family": {
            **Estimate.of(of_all.k[0], of_all.low[0], of_all.high[0]).to_dict(),
            "beyond": bool(of_all.censored[0]),
            "worst": _worst_lines(runs, whole, worst_gaps(runs, everyone, floors=floors.curves.floor)),
        },
        "configurations": [
            {"configuration": name, "floor": float(f), "constant": float(c)}
            for name, f, c in zip(runs.names, floors.curves.floor, floors.curves.constant, strict=True)
        ],
        "law": _law(fit),
        "free_law": _law(free),
        "measures": [one.to_dict() for one in fit.fits],
        "needs": _growth(pool, needs, fit, runs),
        "sensitivity": [_at_radius(pool, runs, fit, factor) for factor in (0.5, 1.0, 2.0)],
        "families": _family_lines(pool, fit, needs),
        "notes": [note.to_dict() for note in notes],
    }


def _law(fit: CoverageFit) -> dict[str, Any]:
    return {
        "exponent": fit.exponent,
        "c0": fit.c0,
        "c1": fit.c1.to_dict(),
        "explained": fit.explained,
        "permutation_p": fit.permutation_p,
        "permutations": fit.permutations,
        "naive_slope": fit.naive_slope,
        "split_slope": fit.split_slope,
    }


def _worst_lines(runs: Runs, worst: Worst, excess: Worst) -> list[dict[str, Any]]:
    """The whole family's worst gap at every k by every way, with the configuration that sets it."""
    ends = worst_intervals(runs, worst.split[0])
    return [
        {
            "k": float(k),
            "naive": float(worst.naive[0, j]),
            "split": float(worst.mean[0, j]),
            "low": ends[j].low,
            "high": ends[j].high,
            "shrunk": float(worst.shrunk[0, j]),
            "quantile": float(worst.quantile[0, j]),
            "tail": float(worst.tail[0, j]),
            "set_by": runs.names[int(worst.setter[0, j])],
            "excess": float(excess.mean[0, j]),
            "excess_set_by": runs.names[int(excess.setter[0, j])],
        }
        for j, k in enumerate(runs.k)
    ]


def _growth(pool: Pool, needs: Needs, fit: CoverageFit, runs: Runs) -> dict[str, Any]:
    """Required k of families against H and against log M; a refusal where too few reach the target."""
    found: dict[str, Any] = {"slopes": slopes_apart(needs, fit.measured["log M"], fit.measured["H"])}
    floors = own_floors(runs, None)
    for name, entropy in (("H", True), ("log M", False)):
        try:
            found[name] = needs_against(pool, floors, needs, fit.measured[name], entropy).to_dict()
        except BadData as error:
            found[name] = {"refusal": str(error)}
    return found


def _at_radius(pool: Pool, runs: Runs, fit: CoverageFit, factor: float) -> dict[str, Any]:
    """How much of the answer is a matter of the radius."""
    other = Pool(runs, pool.distances, pool.families, pool.radius * factor)
    again = fit_coverage(other, permutations=199, halves=False)
    explained = next(one.explained for one in again.fits if one.measure == "H")
    entropy = cover(pool.distances, other.radius).entropy
    held = {"radius": other.radius, "entropy": entropy, "c1": again.c1.to_dict()}
    return {**held, "explained": explained, "permutation_p": again.permutation_p}


def _family_lines(pool: Pool, fit: CoverageFit, needs: Needs) -> list[dict[str, Any]]:
    """Everything that a figure draws, a row a family."""
    return [
        {
            "name": family.name,
            "size": family.size,
            "entropy": float(fit.measured["H"][row]),
            "vendi": float(np.exp(fit.measured["log Vendi"][row])),
            "width": float(np.sqrt(fit.measured["width^2"][row])),
            "amplitude": float(fit.amplitude[row]),
            "worst": [float(value) for value in fit.worst.mean[row]],
            "required_k": Estimate.of(needs.k[row], needs.low[row], needs.high[row]).to_dict(),
            "censored": bool(needs.censored[row]),
        }
        for row, family in enumerate(pool.families)
    ]


def _law_notes(runs: Runs, fit: CoverageFit, whole: Worst, needs: Needs, floors: Floats) -> list[Note]:
    notes = []
    if fit.permutation_p > 0.05:
        message = (
            f"{runs.method}: among families of one size, H says no more of the worst gap than chance would "
            f"(p = {fit.permutation_p:.2g}, {fit.permutations} permutations). That is no proof that it does not matter."
        )
        notes.append(Note(Code.diversity_not_distinguished, message))
    last, highest = int(whole.setter[0, -1]), int(np.argmax(floors))
    if last == highest and floors[highest] > 0.5 * whole.mean[0, -1]:
        message = (
            f"{runs.method}: at k = {runs.k[-1]:,.0f} the worst gap is the floor of {runs.names[highest]} "
            f"({floors[highest]:.3f}): train it longer, or take it out of the family on purpose."
        )
        notes.append(Note(Code.floor_sets_worst, message))
    if needs.censored.any():
        message = (
            f"{runs.method}: {int(needs.censored.sum())} of {len(needs.k)} families do not reach the target within ten "
            "times the largest k; they count as larger than that."
        )
        notes.append(Note(Code.censored_families, message))
    return notes


def _distance_notes(validated: dict[str, Any], setting: _Setting) -> list[Note]:
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


def _sentence(answers: Sequence[dict[str, Any]], setting: _Setting) -> str:
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
