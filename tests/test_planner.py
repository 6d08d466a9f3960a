"""The plan says how many samples are needed in one sentence, names what it refuses, and guesses nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limbeck.errors import BadData, UnknownName
from limbeck.planner import plan
from planted import CONFIGURATIONS, PLANTED, planted_rows

FIRST = next(iter(CONFIGURATIONS))


def truth(method: str, configuration: str, gap: float) -> float:
    """The k that the planted law needs; infinite where the gap is below its floor."""
    floor, amplitude, exponent = PLANTED[method]
    excess = gap / CONFIGURATIONS[configuration] - floor
    return float("inf") if excess <= 0 else 10 * (amplitude / excess) ** (1 / exponent)


def test_the_sentence_names_every_method_the_cheapest_first_with_its_interval() -> None:
    planned = plan(planted_rows(), gap=0.1, configuration=FIRST)
    words, pairs = planned.sentence.split(" Compared in pairs (Holm), dm ")
    assert pairs.endswith(".")
    assert words.startswith("For a gap of 10 points: dm needs ")
    assert words.endswith(".")
    assert words.count(";") == len(PLANTED) - 1
    assert words.count(" needs ") == words.count(" samples") == 1
    assert planned.lines == ()
    held = {row["method"]: row for row in planned.rows}
    order = [part.split()[0] for part in words.removeprefix("For a gap of 10 points: ").split("; ")]
    assert order == sorted(held, key=lambda name: held[name]["estimate"])


def test_the_intervals_hold_the_planted_truth() -> None:
    # 20 intervals at 95 %: more than 3 misses have a probability below 0.02 were they exact.
    rows = plan(planted_rows(), gap=0.15).rows
    missed = 0
    for row in rows:
        needed = truth(row["method"], row["configuration"], 0.15)
        low, high = row["low"] or 0.0, float("inf") if row["high"] is None else row["high"]
        missed += not low <= needed <= high
    assert missed <= 3


def test_several_configurations_are_one_sentence_and_a_line_each() -> None:
    planned = plan(planted_rows(), gap=0.15)
    assert planned.sentence.startswith("For a gap of 15 points under each of 4 configurations: ")
    assert len(planned.lines) == len(CONFIGURATIONS)
    for configuration in CONFIGURATIONS:
        (line,) = [line for line in planned.lines if line.startswith(f"under {configuration}: ")]
        assert all(method in line for method in PLANTED)
    most = max(row["estimate"] for row in planned.rows if row["method"] == "dm")
    assert f"dm needs {most:.0f} [" in planned.sentence or f"; dm {most:.0f} [" in planned.sentence


def test_what_the_law_can_not_reach_is_refused_with_its_reason() -> None:
    planned = plan(planted_rows(), gap=0.02)
    refused = [row for row in planned.rows if row["estimate"] is None]
    # Every planted floor lies above the target, so a number needs an interval without an end.
    assert all(row["high"] is None for row in planned.rows)
    assert len(refused) > len(planned.rows) / 2
    assert [refusal["message"] for refusal in planned.refusals] == [row["refusal"] for row in refused]
    assert all("its floor" in refusal["message"] for refusal in planned.refusals)
    assert "no answer for " in planned.sentence
    assert "random (under 4)" in planned.sentence


def test_too_few_sizes_are_a_refusal_not_a_number() -> None:
    rows = [row for row in planted_rows() if row["k"] in (None, 10, 20)]
    planned = plan(rows, gap=0.1, configuration=FIRST)
    assert all(row["estimate"] is None for row in planned.rows)
    assert all("too few values of k" in refusal["message"] for refusal in planned.refusals)


def test_nothing_measured_and_unknown_configurations_are_said() -> None:
    references = [row for row in planted_rows() if row["method"] == "reference"]
    with pytest.raises(BadData, match="the table has reference rows only"):
        plan(references, gap=0.1)
    with pytest.raises(UnknownName, match=r"no rows are of the configuration 'mlp'. (Did you mean|Known)"):
        plan(planted_rows(), gap=0.1, configuration="mlp")


@pytest.mark.parametrize("gap", [0.0, 1.0, -0.1, float("nan")])
def test_a_target_that_is_no_gap_is_refused(gap: float) -> None:
    with pytest.raises(BadData, match="must lie between 0 and 1"):
        plan(planted_rows(), gap=gap)


def test_a_method_that_lacks_a_configuration_is_not_answered_for_it() -> None:
    rows: list[dict[str, Any]] = [
        row for row in planted_rows() if not (row["method"] == "dc" and row["configuration"] == FIRST)
    ]
    assert "no answer for dc (under 1)." in plan(rows, gap=0.2).sentence


def test_the_answer_is_json() -> None:
    planned = plan(planted_rows(), gap=0.1).to_dict()
    assert json.loads(json.dumps(planned, allow_nan=False)) == planned
