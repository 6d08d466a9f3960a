"""One method's part of a coverage answer: its law, its worst gaps, what it needs, and what is to be noted."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.errors import BadData
from limbeck.laws.coverage import CoverageFit, fit_coverage
from limbeck.laws.coverage_pool import Pool, own_floors
from limbeck.laws.coverage_setting import Setting
from limbeck.laws.covers import Floats, cover
from limbeck.laws.estimate import Estimate
from limbeck.laws.needs import Needs, family_needs, needs_against, slopes_apart
from limbeck.laws.notes import Code, Note
from limbeck.laws.subfamilies import Family, masks
from limbeck.laws.worst import Runs, Worst, worst_gaps, worst_intervals

PERMUTATIONS = 499


def method_answer(runs: Runs, setting: Setting) -> dict[str, Any]:
    """The method's entry, as JSON."""
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
