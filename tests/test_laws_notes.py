"""Every typed note can be reached, each from a table that deserves it; and an answer is plain JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from limbeck.laws import Code, answer
from test_coverage import CURSED, NOTED
from worlds import KS, Rows, World, reference_rows

QUIET = World(set_sd=0.002, seed_sd=0.002, reference_sd=0.0005)


def rows_of(gaps: dict[int, list[float]], references: list[float]) -> Rows:
    """A set for every gap of a level."""
    rows: Rows = [
        {"method": "dm", "configuration": "mlp", "k": k, "set": place, "seed": 0, "error": 0.1 + gap}
        for k, held in gaps.items()
        for place, gap in enumerate(held)
    ]
    return rows + reference_rows(references)


def noisy(shape: Callable[[float], float], ks: tuple[int, ...] = KS, sd: float = 0.002, sets: int = 4) -> Rows:
    random = np.random.default_rng(0)
    gaps = {k: [shape(k) + sd * random.standard_normal() for _ in range(sets)] for k in ks}
    return rows_of(gaps, [0.1 + 0.0005 * random.standard_normal() for _ in range(5)])


def shared_seeds() -> Rows:
    random, of_seed = np.random.default_rng(1), np.array([0.03, 0.0, -0.03])
    rows: Rows = [
        {"method": "dm", "configuration": "mlp", "k": k, "set": s, "seed": i,
         "error": 0.2 + float(QUIET.gap(k)) + of_seed[i] + 0.003 * random.standard_normal()}
        for k in KS for s in range(2) for i in range(3)
    ]  # fmt: skip
    return rows + reference_rows([0.2, 0.21, 0.19])


def heteroscedastic() -> Rows:
    random = np.random.default_rng(2)
    gaps = {k: [float(QUIET.gap(k)) + 0.3 / k * random.standard_normal() for _ in range(8)] for k in KS}
    return rows_of(gaps, [0.1, 0.101, 0.099])


def wave(k: float) -> float:
    return float(QUIET.gap(k)) + (0.08 if k in (20, 100) else 0.0)


def with_outlier() -> Rows:
    rows = World(sets=5, seeds=1).rows(4)
    return [row | {"error": row["error"] + 0.3} if place == 7 else row for place, row in enumerate(rows)]


def without(column: str) -> Rows:
    return [{name: value for name, value in row.items() if name != column} for row in World(sets=1).rows(5)]


def means() -> Rows:
    head = {"configuration": "", "error_sd": 0.01, "n": 3}
    rows: Rows = [{"method": "dm", "k": k, "error_mean": 0.1 + float(QUIET.gap(k)), **head} for k in KS]
    return [*rows, {"method": "reference", "k": None, "error_mean": 0.1, **head}]


def gaps_only() -> Rows:
    rows = [row for row in QUIET.rows(6) if row["method"] == "dm"]
    return [{**row, "error": None, "gap": row["error"] - 0.1} for row in rows]


def nested_sets() -> Rows:
    moved = {"0": 0.05, "1": 0.0, "2": -0.05}
    return [
        row if row["k"] is None else row | {"error": row["error"] + moved[str(row["set"])]} for row in World().rows(2)
    ]


REACHED: dict[str, tuple[Callable[[], Rows], dict[str, Any]]] = {
    "too_few_levels": (lambda: World(ks=(10, 20)).rows(0), {}),
    "few_levels": (lambda: World(ks=(10, 20, 50)).rows(0), {}),
    "few_decades": (lambda: World(ks=(10, 20, 40, 60)).rows(0), {}),
    "floor_not_seen": (lambda: World(floor=0.005, sets=5).rows(1), {}),
    "floor_not_significant": (lambda: World(floor=0.0).rows(1), {}),
    "floor_exponent_correlated": (lambda: World(ks=(10, 20, 30, 40, 50)).rows(0), {}),
    "weakly_identified_exponent": (lambda: World().rows(3), {}),
    "exponent_at_bound": (lambda: World(ks=(10, 20, 30, 40), set_sd=0.05).rows(0), {}),
    "exponent_below_bound": (lambda: noisy(lambda k: 0.5 * k**-0.2, sd=0.001), {}),
    "exponent_changes": (lambda: noisy(lambda k: 0.5 * math.exp(-0.09 * math.log(k) ** 2), sd=0.001), {}),
    "no_decay": (lambda: noisy(lambda k: 0.1 + 0.01 * math.log(k)), {}),
    "lack_of_fit": (lambda: noisy(wave), {}),
    "below_reference": (lambda: World(floor=-0.05, set_sd=0.002, seed_sd=0.002, reference_sd=0.001).rows(0), {}),
    "held_at_zero": (lambda: World(floor=-0.02, set_sd=0.012, seed_sd=0.012).rows(0), {"at": [2000]}),
    "extrapolation": (QUIET.rows_once, {"at": [1e5]}),
    "unreachable": (QUIET.rows_once, {"gaps": [0.01]}),
    "reached_below_smallest_k": (QUIET.rows_once, {"gaps": [0.9]}),
    "set_variance_not_estimable": (lambda: World(sets=1, ks=(10, 50, 200)).rows(0), {}),
    "residual_variance": (lambda: World(sets=1).rows(0), {}),
    "zero_variance": (lambda: rows_of({k: [float(QUIET.gap(k))] * 2 for k in KS}, [0.1, 0.1]), {}),
    "heteroscedastic": (heteroscedastic, {}),
    "reference_noise_dominates": (
        lambda: World(ks=(*KS, 2000), exponent=1.0, constant=3, set_sd=5e-4, seed_sd=5e-4, reference_sd=0.02).rows(3),
        {},
    ),
    "reference_noise_unknown": (gaps_only, {}),
    "reference_noise_borrowed": (lambda: World(references=1).rows(0), {}),
    "shared_seed_effect": (shared_seeds, {}),
    "shared_set_effect": (nested_sets, {}),
    "seeds_paired": (lambda: World(references=3).rows(0), {"pair": True}),
    "outlier_sets": (with_outlier, {}),
    "duplicated_rows": (lambda: [*World().rows(0), World().rows(0)[0]], {}),
    "set_missing": (lambda: without("set"), {}),
    "seed_missing": (lambda: without("seed"), {}),
    "configuration_missing": (lambda: without("configuration"), {}),
    "failed_runs": (lambda: [*World().rows(0), World().rows(0)[0] | {"seed": 99, "error": None}], {}),
    "no_reference": (
        lambda: World().rows(0) + [row for row in World().rows(0, configuration="vit") if row["k"]],
        {},
    ),
    "means_only": (means, {}),
    "columns_read_as": (lambda: [row | {"error (%)": 100 * row.pop("error")} for row in World().rows(0)], {}),
    "columns_unused": (lambda: [row | {"optimizer": "sgd"} for row in World().rows(0)], {}),
    "columns_disagree": (lambda: [row | {"gap": 0.5} for row in World().rows(0)], {}),
    "nothing_to_pool": (QUIET.rows_once, {"pool": True}),
    "left_out_of_pool": (
        lambda: (
            QUIET.rows(0)
            + QUIET.rows(1, configuration="vit")
            + [row | {"configuration": "linear"} for row in noisy(lambda k: 0.1 + 0.01 * math.log(k))]
        ),
        {"pool": True},
    ),
    "exponents_differ": (
        lambda: QUIET.rows(0) + World(**{**vars(QUIET), "exponent": 1.2}).rows(1, configuration="vit"),
        {"pool": True},
    ),
}


def test_every_note_of_the_laws_is_tested() -> None:
    of_families = set[str]().union(*NOTED.values()) | {CURSED}
    assert set(REACHED) | of_families == {code.value for code in Code}


@pytest.mark.parametrize("code", list(REACHED))
def test_a_table_that_deserves_a_note_gets_it(code: str) -> None:
    make, settings = REACHED[code]
    found = answer(make(), **settings)
    notes = [note for part in [*found["fits"], *found.get("pooled", [])] for note in part["notes"]]
    said = [note["message"] for note in notes if note["code"] == code]
    assert said, sorted({note["code"] for note in notes})
    assert all(len(message) > 30 and message.endswith(".") for message in said)
    json.dumps(found, allow_nan=False)


def test_a_clear_table_is_answered_without_doubt_but_of_the_exponent() -> None:
    world = World(ks=(10, 20, 50, 100, 200, 500, 1000, 2000, 5000), exponent=1.0, constant=3.0, set_sd=5e-4)
    fit = answer(World(**{**vars(world), "seed_sd": 5e-4, "reference_sd": 1e-4}).rows(1), [0.1], [200])["fits"][0]
    assert fit["notes"] == []
    assert fit["required_k"][0]["estimate"] == pytest.approx(150, rel=0.05)
    assert fit["predictions"][0]["low"] <= 0.095 <= fit["predictions"][0]["high"]


def test_an_answer_carries_all_that_was_asked_and_what_it_rests_on() -> None:
    fit = answer(World().rows(2), [0.2, 0.12], [100, 1000])["fits"][0]
    assert [need["gap"] for need in fit["required_k"]] == [0.2, 0.12]
    assert [point["k"] for point in fit["predictions"]] == [100, 1000]
    assert [level["k"] for level in fit["levels"]] == list(KS)
    assert fit["largest_k"] == 500
    assert fit["curve"][0]["k"] == 10
    assert fit["curve"][-1]["k"] == pytest.approx(1500)
    assert fit["constant"] == pytest.approx(fit["amplitude"]["estimate"] * 10 ** fit["exponent"]["estimate"])
    assert sum(law["weight"] for law in fit["alternatives"]["laws"]) == pytest.approx(1)
    assert set(fit["diagnostics"]) >= {"exponent", "lack_of_fit_p", "no_floor_p", "runs_p", "leave_largest_out"}


def test_the_fixed_exponent_never_stands_alone() -> None:
    """Where the exponent is really .35, holding it at 1/2 gives a floor that is not there (`theory.md`, A.1.6)."""
    rows = World(exponent=0.35, floor=0.0, set_sd=0.004, seed_sd=0.004).rows(3)
    free, fixed = answer(rows, [0.1])["fits"][0], answer(rows, [0.1], exponent=0.5)["fits"][0]
    assert free["fixed_exponent"]["required_k"][0] == fixed["required_k"][0]
    assert fixed["free_exponent"]["required_k"][0] == free["required_k"][0]
    assert fixed["floor"]["low"] > 0.01
    assert free["floor"]["low"] == 0


@pytest.mark.parametrize("references", [[0.1, 0.1], [0.1, 0.2], [0.1]])
def test_no_number_is_nan_however_sets_tie(references: list[float]) -> None:
    """Errors of small test splits tie: sets that agree to the last bit beside references that do not, and the like."""
    random = np.random.default_rng(7)
    for values in ([0.0, 0.0], [0.0, 0.05], [-0.1, 0.0, 0.4], [0.5, 0.5, 0.5, 0.6]):
        for falling in (0.0, 0.9):
            gaps = {k: [falling / k + float(random.choice(values)) for _ in range(2)] for k in (3, 6, 9, 15)}
            json.dumps(answer(rows_of(gaps, references), [0.1], [50]), allow_nan=False)


@pytest.mark.parametrize(
    ("repeated", "words"),
    [(0, "No k has two distilled sets: "), (1, "Only 1 set repeats a k: "), (2, "Only 2 sets repeat a k: ")],
)
def test_how_few_sets_are_replicated_is_said_in_words(repeated: int, words: str) -> None:
    rows = World(sets=1, ks=(10, 50, 100, 500)).rows(0)
    rows += [row | {"set": 1, "error": row["error"] + 0.01} for row in rows if row["k"] in (10, 50)[:repeated]]
    (fit,) = answer(rows)["fits"]
    (said,) = [note["message"] for note in fit["notes"] if note["code"] == "residual_variance"]
    assert said.startswith(words)
    assert "(1 degree of freedom)" in said
