"""Interchange as an equivalence claim: scipy as oracle, planted worlds as truth."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr, ttest_1samp, ttest_ind, tukey_hsd

from limbeck.errors import BadData
from limbeck.laws import holm
from limbeck.laws.guidance import guidance
from limbeck.laws.interchange import (
    ancova,
    least_squares,
    leave_one_method_out,
    partial_rank_correlation,
)
from limbeck.laws.interchange_answer import _columns, interchange_answer
from limbeck.laws.surrogates import decline, transfer_loss


def world(
    seed: int = 0,
    slopes: tuple[float, ...] = (0.05, 0.05, 0.05),
    shifts: tuple[float, ...] = (0, 0, 0),
    sd: float = 0.004,
    sets: int = 8,
) -> dict[str, Any]:
    """A method a slope, four k, eight sets each, under three configurations; the set's own noise is shared by these."""
    random = np.random.default_rng(seed)
    rows = []
    for m, (slope, shift) in enumerate(zip(slopes, shifts, strict=True)):
        for k in (10, 20, 50, 100):
            for one in range(sets):
                own = sd * random.normal()
                x = -np.log(k) + 0.5 * random.normal()
                for configuration in range(3):
                    z = x + 0.1 * random.normal()
                    y = 0.2 + 0.02 * configuration + slope * z + shift + own + sd * random.normal()
                    rows.append((f"m{m}", k, configuration, f"m{m}-{k}-{one}", z, y))
    method, k, configuration, cluster, x, gap = map(list, zip(*rows, strict=True))
    block = [f"{c}-{size}" for c, size in zip(configuration, k, strict=True)]
    return {"x": x, "gap": gap, "method": method, "block": block, "cluster": cluster, "k": k, "where": configuration}


def judged(held: dict[str, Any], **options: Any) -> Any:
    return ancova(held["x"], held["gap"], held["method"], held["block"], held["cluster"], **options)


def test_with_one_run_a_cluster_two_groups_are_compared_as_welch_does() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(0.3, 1.0, 5), random.normal(0.0, 2.0, 5)
    design = np.repeat(np.eye(2), 5, axis=0)
    line = least_squares(design, np.concatenate([one, other]), range(10))
    contrast = np.array([1.0, -1.0])
    assert contrast @ line.covariance @ contrast == pytest.approx(one.var(ddof=1) / 5 + other.var(ddof=1) / 5)
    assert line.df(contrast) == pytest.approx(8)  # under errors alike, that of the pooled test
    assert line.wald(contrast[None])[0] == pytest.approx(float(ttest_ind(one, other, equal_var=False).statistic) ** 2)


def test_runs_that_agree_within_a_cluster_count_as_one() -> None:
    random = np.random.default_rng(2)
    design, values = np.repeat(np.eye(2), 4, axis=0), random.normal(size=8)
    alone = least_squares(design, values, range(8))
    thrice = least_squares(np.repeat(design, 3, axis=0), np.repeat(values, 3), np.repeat(np.arange(8), 3))
    contrast = np.array([1.0, -1.0])
    np.testing.assert_allclose(thrice.covariance, alone.covariance, rtol=1e-9)
    assert thrice.df(contrast) == pytest.approx(alone.df(contrast), rel=0.01)


@pytest.mark.slow
def test_few_sets_do_not_make_equal_methods_different() -> None:
    """Five methods on three sets: tests of 5 % reject in at most 12 of 100, 90 % intervals hold in 84 or more."""
    held = [judged(world(seed, slopes=(0.05,) * 5, shifts=(0,) * 5, sets=3, sd=0.02)) for seed in range(100)]
    assert sum(one.equal_slopes[1] < 0.05 for one in held) <= 12
    assert sum(one.equal_intercepts[1] < 0.05 for one in held) <= 12
    assert np.mean([pair.value.covers(0.0) for one in held for pair in one.gap_differences]) >= 0.84
    assert np.mean([slope.covers(0.05) for one in held for slope in one.slopes.values()]) >= 0.90


def test_equal_methods_pass_as_equivalent_and_unequal_ones_do_not() -> None:
    same = judged(world())
    assert same.interchangeable
    assert same.equal_slopes[1] > 0.01
    assert same.equal_intercepts[1] > 0.01
    assert all(slope.covers(0.05) for slope in same.slopes.values())
    tilted = judged(world(slopes=(0.05, 0.05, 0.09)))
    assert tilted.equal_slopes[1] < 1e-4
    assert not tilted.interchangeable
    ratio = next(one for one in tilted.slope_ratios if (one.first, one.second) == ("m1", "m2"))
    assert ratio.value.covers(0.05 / 0.09)
    assert not ratio.equivalent
    raised = judged(world(shifts=(0, 0, 0.03)))
    assert raised.equal_intercepts[1] < 1e-6
    difference = next(one for one in raised.gap_differences if (one.first, one.second) == ("m0", "m2"))
    assert difference.value.covers(-0.03)
    assert difference.smallest_margin is not None
    assert 0.03 < difference.smallest_margin < 0.04
    assert not difference.equivalent
    assert judged(world(shifts=(0, 0, 0.03)), seed_sd=0.05).gap_differences[1].equivalent


def test_too_little_data_is_neither_different_nor_equivalent() -> None:
    """The point of equivalence tests: noise makes nothing interchangeable."""
    noisy = judged(world(sd=0.15))
    assert noisy.equal_slopes[1] > 0.01
    assert not noisy.interchangeable
    assert any(one.smallest_margin is None for one in noisy.slope_ratios)


def test_equivalence_intervals_hold_the_truth() -> None:
    """90 % intervals of an adjusted gap and a slope ratio, over planted worlds: at least .80 of 80."""
    held = [judged(world(seed, slopes=(0.05, 0.06, 0.05), shifts=(0.0, 0.01, 0.0), sd=0.01)) for seed in range(80)]
    ratios = [next(o for o in one.slope_ratios if (o.first, o.second) == ("m0", "m1")).value for one in held]
    assert np.mean([value.covers(0.05 / 0.06) for value in ratios]) >= 0.80
    gaps = [next(o for o in one.gap_differences if (o.first, o.second) == ("m0", "m2")).value for one in held]
    assert np.mean([value.covers(0.0) for value in gaps]) >= 0.80


def test_rank_correlation_is_spearman_in_one_block_and_blind_to_what_blocks_share() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=40)
    y = x + random.normal(size=40)
    one = partial_rank_correlation(x, y, ["all"] * 40, range(40))
    assert one.estimate == pytest.approx(float(spearmanr(x, y).statistic), rel=1e-9)
    assert one.low is not None
    assert one.low > 0
    k = np.repeat([1, 10, 100, 1000], 30)
    trivial_x, trivial_y = -np.log(k) + 0.1 * random.normal(size=120), -np.log(k) + 0.1 * random.normal(size=120)
    assert spearmanr(trivial_x, trivial_y).statistic > 0.9
    assert partial_rank_correlation(trivial_x, trivial_y, list(k), range(120)).covers(0.0)


def test_a_left_out_method_is_predicted_where_the_discrepancy_tells() -> None:
    held = world(sd=0.002)
    scores = leave_one_method_out(held["x"], held["gap"], held["method"], np.log(held["k"]), held["where"])
    assert all(score["discrepancy"] > 0.97 > score["k"] for score in scores.values())
    shifted = world(shifts=(0, 0, 0.2), sd=0.002)
    scores = leave_one_method_out(
        shifted["x"], shifted["gap"], shifted["method"], np.log(shifted["k"]), shifted["where"]
    )
    assert scores["m2"]["discrepancy"] < 0


def test_decline_finds_planted_rates_and_floors() -> None:
    random = np.random.default_rng(3)
    steps = np.tile([0, 5, 10, 20, 40, 80, 160], 6)
    sets = np.repeat(np.arange(6), 7)
    values = (0.1 + 0.9 * np.exp(-0.05 * steps)) * np.exp(0.05 * random.normal(size=42))
    found = decline(steps, values, list(sets))
    assert found.rate.estimate == pytest.approx(0.05, rel=0.25)
    assert found.floor.covers(0.1)
    assert found.start == pytest.approx(1.0, rel=0.1)
    lines = [linregress(steps[sets == one], np.log(values[sets == one])).slope for one in range(6)]
    oracle = ttest_1samp(lines, 0).confidence_interval(0.95)
    assert (found.slope.low, found.slope.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)
    endless = decline(steps, np.exp(-0.02 * steps), list(sets))
    assert endless.slope.estimate == pytest.approx(-0.02)
    assert endless.floor.estimate == pytest.approx(0.0, abs=0.01)


def test_a_decline_needs_three_numbers_of_steps_and_two_sets_for_an_interval() -> None:
    with pytest.raises(BadData, match="three or more numbers of distillation steps; there are sets at 40"):
        decline([40.0] * 6, [0.5] * 6, list(range(6)))
    with pytest.raises(BadData, match="above 0"):
        decline([0, 10, 20], [1.0, 0.0, 0.5], [0, 0, 0])
    steps = np.array([0, 5, 10, 20, 40, 80])
    alone = decline(steps, 0.1 + 0.9 * np.exp(-0.05 * steps), [0] * 6)
    assert alone.floor.estimate == pytest.approx(0.1, rel=0.1)
    assert (alone.rate.low, alone.rate.high, alone.slope.low) == (None, None, None)
    uneven = decline([*steps, 80, 80], [*(0.1 + 0.9 * np.exp(-0.05 * steps)), 0.11, 0.12], [0] * 6 + [1, 2])
    assert uneven.floor.low is not None  # draws of the sets that know one step alone are left out


def test_transfer_loss_is_welch_over_sets() -> None:
    random = np.random.default_rng(4)
    first, second = random.normal(0.05, 0.01, 6), random.normal(0.02, 0.02, 5)
    gap, method, home, cluster = [], [], [], []
    for name, losses in (("a", first), ("b", second)):
        for place, loss in enumerate(losses):
            for at_home, extra in ((True, 0.0), (False, loss - 0.01), (False, loss + 0.01)):
                gap.append(0.1 + extra)
                method.append(name)
                home.append(at_home)
                cluster.append(f"{name}{place}")
    found, p = transfer_loss(gap, method, home, cluster, "a", "b")
    test = ttest_ind(first, second, equal_var=False)
    assert p == pytest.approx(test.pvalue)
    oracle = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)
    with pytest.raises(BadData, match="two or more sets"):
        transfer_loss(gap[:3], method[:3], home[:3], cluster[:3], "a", "b")


A2 = {10: 8.0, 50: 2.0, 200: 0.5}  # of random samples, along their own paths


def measured_rows(methods: dict[str, float], sets: int = 6, noise: float = 0.01) -> list[dict[str, Any]]:
    """Sets of several methods whose A^2 is a factor times that of random samples, gaps 0.05 A, 0.02 more away."""
    random, rows = np.random.default_rng(5), []
    for method, factor in methods.items():
        for k, own in A2.items():
            for one in range(sets):
                shift = noise * random.normal()
                for where in ("home", "away"):
                    x = own * factor
                    gap = 0.05 * x**0.5 + 0.02 * (where == "away") + shift + 0.1 * noise * random.normal()
                    row = {"method": method, "k": k, "set": one, "configuration": where, "home": "home"}
                    cost = 0.0 if method == "random" else 10 * factor
                    rows.append(row | {"steps": 100, "discrepancy": x, "gap": gap, "seconds": cost})
    return rows


def test_guidance_ranks_by_gap_reads_worth_off_random_samples_and_takes_the_cheapest_of_the_best() -> None:
    rows = measured_rows({"random": 1.0, "dm": 0.25, "dc": 0.26})
    lines = {(line.method, line.k): line for line in guidance(rows)}
    assert [line.k for line in guidance(rows)] == [10] * 3 + [50] * 3 + [200] * 3
    at = lines["dm", 10]
    assert at.discrepancy.estimate == pytest.approx(2.0)
    assert at.worth.estimate == pytest.approx(50)  # random samples reach this discrepancy with 50
    assert lines["random", 50].worth.estimate == pytest.approx(50)
    assert lines["dm", 200].worth.estimate is None  # beyond what random samples were measured at
    assert at.breadth.covers(0.02)
    assert at.gap_away.estimate == pytest.approx((at.gap_home.estimate or 0) + (at.breadth.estimate or 0))
    assert lines["random", 10].p is not None
    assert lines["random", 10].p < 1e-4
    assert {lines[name, 10].advised for name in ("dm", "dc")} == {True, False}
    assert lines["dm", 10].advised  # 2.5 s against 2.6 s, and not told apart
    assert not lines["random", 10].advised


def own_gaps(rows: list[dict[str, Any]], method: str) -> Any:
    return np.reshape([row["gap"] for row in rows if row["method"] == method and row["k"] == 10], (6, 2)).mean(1)


def test_a_method_is_told_from_the_best_by_welch_and_of_many_by_games_and_howell() -> None:
    rows = measured_rows({"random": 0.35, "dm": 0.25})
    found = next(line for line in guidance(rows) if line.k == 10 and not line.best)
    other = ttest_ind(own_gaps(rows, "random"), own_gaps(rows, "dm"), equal_var=False)
    assert found.p == pytest.approx(float(other.pvalue), rel=1e-6)  # of two means both tests are one
    assert found.more.low == pytest.approx(float(other.confidence_interval().low))
    assert found.more.high == pytest.approx(float(other.confidence_interval().high))
    pytest.importorskip("scipy", minversion="1.15")  # from there on it knows unequal variances
    rows = measured_rows({"random": 0.35, "dm": 0.25, "dc": 0.3})
    names = ("random", "dm", "dc")
    many = tukey_hsd(*(own_gaps(rows, name) for name in names), equal_var=False)
    lines = {line.method: line for line in guidance(rows) if line.k == 10}
    best = next(name for name in names if lines[name].best)
    for name in set(names) - {best}:
        assert lines[name].p == pytest.approx(float(many.pvalue[names.index(name), names.index(best)]), rel=1e-6)


def test_the_answer_about_surrogates_is_whole_plain_and_refuses_what_rows_can_not_carry() -> None:
    rows = measured_rows({"random": 1.0, "dm": 0.25})
    early = [
        {**row, "steps": steps, "discrepancy": 2.0 + 6 * np.exp(-0.1 * steps)}
        for row in rows
        if row["method"] == "dm" and row["k"] == 10
        for steps in (0, 10, 30)
    ]
    found = interchange_answer([*rows, *early])
    json.dumps(found, allow_nan=False)
    assert found["runs"] == len(rows)  # sets stopped early are not judged
    assert found["sets"] == 36
    assert "At k = 10 dm leaves the smallest mean gap" in found["sentence"]
    falls = {(one["method"], one["k"]): one for one in found["decline"]}
    assert falls["dm", 10]["rate"]["estimate"] == pytest.approx(0.1, rel=0.15)
    assert "three or more numbers of distillation steps" in falls["dm", 50]["refusal"]
    (pair,) = found["transfer"]
    assert pair["low"] < 0 < pair["high"]
    assert pair["p"] > 0.05
    loud = [row | {"gap": row["gap"] + (0.5 if row["configuration"] != "home" and row["method"] == "dm" else 0.0)}
            for row in rows] + [row | {"method": "dc"} for row in rows if row["method"] == "random"]  # fmt: skip
    pairs = interchange_answer(loud)["transfer"]
    column = _columns(loud)
    alone = [transfer_loss(*(column[name] for name in ("gap", "method", "home", "cluster")), one["first"],
                           one["second"])[1] for one in pairs]  # fmt: skip
    assert [one["p"] for one in pairs] == pytest.approx(holm(alone))
    assert len(pairs) == 3
    same = ancova(*(_columns(rows)[name] for name in ("x", "gap", "method", "block", "cluster")))
    assert found["interchange"]["equal_slopes"]["p"] == pytest.approx(same.equal_slopes[1])
    assert found["interchange"]["interchangeable"] == same.interchangeable
    few = interchange_answer([row for row in rows if row["set"] == 0 and row["configuration"] == "home"])
    assert few["guidance"][0]["gap"]["low"] is None
    assert few["transfer"] == []
    with pytest.raises(BadData, match="the rows are of dm alone"):
        interchange_answer([row for row in rows if row["method"] == "dm"])
    with pytest.raises(BadData, match="lack seconds"):
        interchange_answer([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    with pytest.raises(BadData, match="above 0"):
        interchange_answer([row | {"discrepancy": 0.0} for row in rows])
