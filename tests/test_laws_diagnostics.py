"""Tests of the law, of its floor and of its exponent are the textbook's; other laws are weighed by AICc."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.optimize import curve_fit
from scipy.stats import f as f_distribution
from statsmodels.stats.anova import anova_lm

from command import Command
from limbeck.errors import BadData
from limbeck.laws import Code, ScalingFit, answer, fit_scaling
from limbeck.laws.alternatives import compare
from limbeck.laws.bent_fit import fit_bent
from limbeck.laws.choice import compared
from limbeck.laws.cloud import cloud
from limbeck.laws.decisions import Budget, diminishing_k, floor_versus_k, required_k
from limbeck.laws.diagnostics import (
    exponent_statements,
    floor_exponent_correlation,
    floor_p_value,
    identifiability,
    lack_of_fit_p_value,
    leave_largest_out,
    runs_p_value,
    signed_floor,
)
from worlds import KS, Floats, World

QUIET = World(set_sd=0.002, seed_sd=0.002, reference_sd=0.0005)


def fit(world: World, drawn: int, **settings: object) -> ScalingFit:
    k, gap, sets, references = world.draw(drawn)
    return fit_scaling(k, gap, sets, reference_errors=references, **settings)  # type: ignore[arg-type]


def unreferenced(world: World, drawn: int, **settings: object) -> tuple[ScalingFit, pd.DataFrame]:
    """A fit whose noise is that of sets alone, and the same sets as a frame for other programs."""
    k, gap, sets, _ = world.draw(drawn)
    found = fit_scaling(k, gap, sets, heteroscedastic=False, **settings)  # type: ignore[arg-type]
    frame = pd.DataFrame({"gap": gap, "k": k, "set": sets}).groupby(["k", "set"], as_index=False).mean()
    return found, frame.assign(x=(frame["k"] / 10) ** -0.5)


def test_lack_of_fit_is_the_pure_error_test_of_statsmodels() -> None:
    found, frame = unreferenced(World(), 1, exponent=0.5)
    table = anova_lm(smf.ols("gap ~ x", frame).fit(), smf.ols("gap ~ C(k)", frame).fit())
    assert lack_of_fit_p_value(found) == pytest.approx(float(table["Pr(>F)"].iloc[1]), rel=1e-9)


def test_no_floor_is_half_the_f_test_of_statsmodels() -> None:
    """The F of an intercept, but against the sets' own scatter, which needs no law."""
    found, frame = unreferenced(World(floor=0.01, sets=4), 2, exponent=0.5)
    assert found.best.floor > 0
    with_floor, without = smf.ols("gap ~ x", frame).fit(), smf.ols("gap ~ x - 1", frame).fit()
    pure = smf.ols("gap ~ C(k)", frame).fit()
    f = (without.ssr - with_floor.ssr) / pure.mse_resid
    assert floor_p_value(found) == pytest.approx(float(f_distribution.sf(f, 1, pure.df_resid)) / 2, rel=1e-6)


def test_three_statements_on_the_exponent() -> None:
    found = fit(World(exponent=1.0, constant=4.0), 3)
    said = exponent_statements(found)
    assert said is not None
    assert said.equals_half_p < 0.05
    assert said.at_least_half_p == pytest.approx(1 - said.equals_half_p / 2)  # 1 is no evidence against a bound of 1/2
    assert said.interval.low is not None
    assert said.interval.low > 0.5
    slow = exponent_statements(fit(World(exponent=0.2, floor=0, set_sd=0.001, seed_sd=0.001, reference_sd=0.0005), 3))
    assert slow is not None
    assert slow.at_least_half_p == pytest.approx(slow.equals_half_p / 2)
    assert slow.at_least_half_p < 0.01
    assert exponent_statements(fit(World(), 3, exponent=0.5)) is None


def test_tests_of_a_true_hypothesis_reject_as_often_as_they_say() -> None:
    """At 5 %, over 300 tables; the floor's test at a true floor of 0, where the boundary halves it."""
    half, floor, misfit = [], [], []
    for drawn in range(300):
        found = fit(World(floor=0.0), drawn)
        said = exponent_statements(found)
        assert said is not None
        half.append(said.equals_half_p)
        floor.append(floor_p_value(found) or 0.0)
        misfit.append(lack_of_fit_p_value(found) or 0.0)
    # .05 + 3 standard errors is .088; the theory's own simulation of the misfit had a size of .07 to .09
    assert np.mean(np.array(half) < 0.05) <= 0.09
    assert np.mean(np.array(floor) < 0.05) <= 0.09
    assert np.mean(np.array(misfit) < 0.05) <= 0.12


def test_a_floor_an_exponential_and_a_reversal_are_found() -> None:
    assert (floor_p_value(fit(QUIET, 4)) or 1) < 0.01
    k = np.repeat(np.array([10.0, 20, 50, 100, 200, 500]), 4)
    noise = 0.004 * np.random.default_rng(0).standard_normal(24)
    wave = np.where(np.isin(k, [20, 100]), 0.05, 0.0)
    found = fit_scaling(k, 0.1 + 0.3 * (k / 10) ** -0.5 + wave + noise, np.tile(np.arange(4), 6))
    assert (lack_of_fit_p_value(found) or 1) < 1e-4


@pytest.mark.parametrize("signs", ["++-+--", "+++---", "+-+-+-", "++++-", "-++---+"])
def test_the_runs_test_is_exact(signs: str) -> None:
    """All arrangements counted one by one."""
    up = signs.count("+")
    runs = 1 + sum(a != b for a, b in itertools.pairwise(signs))
    arrangements = list(itertools.combinations(range(len(signs)), up))
    few = 0
    for places in arrangements:
        drawn = [place in places for place in range(len(signs))]
        few += 1 + sum(a != b for a, b in itertools.pairwise(drawn)) <= runs
    found = _with_residuals([0.01 if sign == "+" else -0.01 for sign in signs])
    assert runs_p_value(found) == pytest.approx(few / len(arrangements))


def _with_residuals(residuals: list[float]) -> ScalingFit:
    """A fit whose levels lie off its law by given amounts."""
    from dataclasses import replace

    world = World(ks=tuple(10 * 2**i for i in range(len(residuals))))
    found = fit(world, 0)
    predicted = found.best.floor + found.best.amplitude * (found.levels.k / 10) ** -found.best.exponent
    return replace(found, levels=replace(found.levels, mean=predicted + np.array(residuals)))


def test_the_correlation_of_floor_and_exponent_is_that_of_curve_fit() -> None:
    found, _ = unreferenced(World(set_sd=0.004, seed_sd=0.004), 5)
    assert found.best.floor > 0

    def law(k: Floats, floor: float, amplitude: float, exponent: float) -> Floats:
        return np.asarray(floor + amplitude * (k / 10) ** -exponent)

    k, y = found.levels.k, found.levels.mean
    start = (found.best.floor, found.best.amplitude, found.best.exponent)
    _, covariance = curve_fit(law, k, y, p0=start, sigma=np.sqrt(found.levels.variance), absolute_sigma=True)
    theirs = covariance[0, 2] / math.sqrt(covariance[0, 0] * covariance[2, 2])
    assert floor_exponent_correlation(found) == pytest.approx(theirs, abs=1e-3)


def test_leaving_the_largest_k_out_predicts_it_from_the_others() -> None:
    world = World(sets=4)
    k, gap, sets, references = world.draw(6)
    found = leave_largest_out(fit_scaling(k, gap, sets, reference_errors=references))
    assert found is not None
    kept = k < 500
    alone = fit_scaling(k[kept], gap[kept], sets[kept], reference_errors=references)
    assert found.k == 500
    assert found.measured == pytest.approx(gap[~kept].mean())
    assert found.predicted.estimate == pytest.approx(alone.foretold.gap(500).estimate, abs=2e-3)
    assert found.straight is not None
    assert found.straight.predicted.estimate == pytest.approx(alone.gap(500).estimate, abs=2e-3)
    assert found.error == pytest.approx(found.measured - (found.predicted.estimate or 0))


def test_the_largest_k_lies_within_its_prediction_as_often_as_it_says() -> None:
    inside = [one.inside for drawn in range(200) if (one := leave_largest_out(fit(World(), drawn))) is not None]
    assert len(inside) == 200
    assert 0.90 <= np.mean([bool(one) for one in inside]) <= 0.995


def test_a_gap_that_ends_below_zero_is_told_and_a_positive_floor_is_not() -> None:
    found = fit(World(floor=-0.05, constant=0.6, set_sd=0.003, seed_sd=0.003, reference_sd=0.001), 7)
    assert found.profile.below_zero() < 0.01
    assert found.best.floor == 0
    assert signed_floor(found) == pytest.approx(-0.05, abs=0.03)
    above = [fit(World(floor=0.0), drawn).profile.below_zero() for drawn in range(100)]
    assert np.mean([(p or 0) < 0.05 for p in above]) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


# Alternatives -------------------------------------------------------------------------------------------------------


def test_aicc_is_that_of_statsmodels_up_to_its_constant() -> None:
    """Constant, log and half-power laws are linear: statsmodels fits the same sets."""
    found, frame = unreferenced(World(), 8)
    laws = {law.name: law for law in compare(found.levels).laws}
    frame = frame.assign(log=np.log(frame["k"]))
    n = len(frame)
    theirs = {}
    for name, formula in [("constant", "gap ~ 1"), ("floor + half power", "gap ~ x"), ("log", "gap ~ log")]:
        done = smf.ols(formula, frame).fit()
        p = done.df_model + 2  # with the intercept and the noise
        theirs[name] = n * math.log(done.ssr / n) + 2 * p + 2 * p * (p + 1) / (n - p - 1)
    for name, value in theirs.items():
        assert laws[name].aicc == pytest.approx(value, rel=1e-9)
    assert sum(law.weight for law in laws.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("floor + exponential", lambda x: 0.1 + 0.3 * np.exp(-(x - 1) / 5)),
        ("broken power", lambda x: 0.4 * np.where(x <= 10, x**-0.15, 10**-0.15 * (x / 10) ** -1.2)),
        ("constant", lambda x: 0.2 + 0 * x),
        ("power", lambda x: 0.4 * x**-0.3),
    ],
)
def test_another_law_is_found_where_it_is_the_truth(name: str, shape: object) -> None:
    k = np.repeat(np.array([10.0, 20, 50, 100, 200, 500, 1000]), 4)
    random, best = np.random.default_rng(1), []
    for _ in range(15):
        gap = shape(k / 10) + 0.002 * random.standard_normal(28)  # type: ignore[operator]
        best.append(compare(fit_scaling(k, gap, np.tile(np.arange(4), 7)).levels).best)
    assert best.count(name) >= 10


def test_predictions_are_averaged_by_weight_and_no_narrower_than_the_laws_disagree() -> None:
    found = fit(World(), 9)
    compared = compare(found.levels, [2000.0])
    mean = sum(law.weight * law.predictions[0] for law in compared.laws)
    k, gap = compared.averaged[0]
    assert k == 2000
    assert gap.estimate == pytest.approx(mean)
    spread = math.sqrt(sum(law.weight * (law.predictions[0] - mean) ** 2 for law in compared.laws))
    assert gap.width > 2 * spread


def test_averaged_predictions_hold_the_truth() -> None:
    world, held = World(), []
    for drawn in range(150):
        held.append(compare(fit(world, drawn).levels, [1000.0]).averaged[0][1].covers(float(world.gap(1000))))
    assert np.mean(held) >= 0.90


# Decisions ----------------------------------------------------------------------------------------------------------


def test_diminishing_returns_saturation_and_budget_are_the_laws_closed_forms() -> None:
    found = fit(QUIET, 10)
    law = found.best
    k = diminishing_k(found, 0.01).estimate
    assert k is not None
    slope = law.exponent * law.amplitude * (k / 10) ** -law.exponent  # of the gap in log k
    assert slope == pytest.approx(0.01)


def test_a_budget_buys_whole_samples_and_the_answer_says_the_gap_there(limbeck: Command, tmp_path: Path) -> None:
    assert Budget(1000, 2.5, 100).k == 360
    assert Budget(1001, 2.5, 100).k == 360
    with pytest.raises(BadData, match=r"does not pay for one sample: 100 is fixed and each costs 2\.5"):
        _ = Budget(101, 2.5, 100).k
    with pytest.raises(BadData, match="a cost for each sample above 0"):
        _ = Budget(101, 0).k
    rows = QUIET.rows(10)
    (held,) = answer(rows, at=[360], budget=Budget(1000, 2.5, 100))["fits"]
    assert held["affordable"] == held["predictions"][0]
    assert len(held["predictions"]) == 1
    assert held["affordable"] == answer(rows, at=[360])["fits"][0]["predictions"][0]
    few = [row for row in rows if row["k"] in (None, 10)]
    (refused,) = answer(few, budget=Budget(100, 1))["fits"]
    assert refused["affordable"]["estimate"] is None
    path, columns = tmp_path / "rows.csv", list(rows[0])
    lines = [",".join("" if row[name] is None else str(row[name]) for name in columns) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]))
    words = ("laws", path, "--budget", 1000, "--cost", 2.5, "--fixed-cost", 100)
    assert "gap at 360" in limbeck(*words).out
    assert limbeck(*words, "--json").json["fits"][0]["affordable"]["k"] == 360


def test_lower_the_floor_where_the_curve_is_flat_and_raise_k_where_it_is_steep() -> None:
    found = fit(QUIET, 11)
    assert floor_versus_k(found, 10).advice == "raise k"
    high = fit(replace(QUIET, floor=0.3), 11)
    flat, law = floor_versus_k(high, 500), high.foretold
    assert flat.advice == "lower the floor"
    assert flat.double_k.estimate == pytest.approx(law.gap(500).estimate - law.gap(1000).estimate)
    assert flat.double_k.covers(0.6 * 500**-0.5 * (1 - 2**-0.5))
    assert flat.lower_floor.covers(0.03)
    held = fit_scaling(*QUIET.draw(11)[:3], exponent=0.5)
    assert floor_versus_k(held, 500).lower_floor.estimate == pytest.approx(0.1 * held.best.floor)


def test_where_sets_beat_their_reference_the_law_may_end_below_zero() -> None:
    """Held at zero or above, 95 % intervals held the k of 5 points in 18 of 100 tables, and the gap at 2000 in none."""
    world = World(floor=-0.06, constant=1.3, exponent=0.8, set_sd=0.006, seed_sd=0.006)
    truth, held, before = world.required(0.05), [], []
    for drawn in range(40):
        found = fit(world, drawn)
        assert found.offset == 1
        held.append(found.foretold.required_k(0.05).covers(truth) and found.foretold.gap(2000).covers(world.gap(2000)))
        before.append(fit_bent(found.profile, 0.95).required_k(0.05).covers(truth))
    assert np.mean(held) >= 0.85
    assert np.mean(before) <= 0.5
    found = fit(world, 0)
    assert compared({"dm": [found], "dc": [fit(world, 50)]}, 0.05)[0].ratio.covers(1.0)
    assert abs(float(cloud(found).gap(2000).mean()) - float(world.gap(2000))) < 0.03
    assert fit(QUIET, 0).offset == 0


def test_sets_that_agree_exactly_tell_nothing_of_the_noise() -> None:
    """Gaps rounded to whole points: the misfit is what was rounded away, and no proof against the law."""
    k = np.repeat(np.array(KS, float), 3)
    gap = np.round(0.02 + 0.3 * (k / 10) ** -0.6, 2)
    found = fit_scaling(k, gap, np.tile(np.arange(3), len(KS)))
    assert {Code.zero_variance, Code.residual_variance} <= {note.code for note in found.notes}
    assert found.required_k(0.05).covers(10 * (0.3 / 0.03) ** (1 / 0.6))
    assert found.foretold.gap(1000).covers(0.02 + 0.3 * 100**-0.6)
    assert lack_of_fit_p_value(found) is None
    few = fit_scaling(k[:9], gap[:9], np.tile(np.arange(3), 3))
    assert few.region is None


def test_required_k_says_what_it_is_worth() -> None:
    found = fit(QUIET, 13)
    assert required_k(found, 0.11).refusal == ""
    refused = required_k(found, 0.05)
    assert "not reachable" in refused.refusal
    assert [note.code for note in refused.notes] == [Code.unreachable]
    far = found.foretold.gap(20 * found.largest_k).estimate or 0
    assert [note.code for note in required_k(found, far).notes] == [Code.extrapolation]
    assert [note.code for note in required_k(found, 0.4).notes] == [Code.reached_below_smallest_k]


def test_a_clear_table_raises_no_doubts() -> None:
    ks = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    world = World(ks=ks, exponent=1.0, constant=3.0, set_sd=0.0005, seed_sd=0.0005, reference_sd=0.0001)
    assert identifiability(fit(world, 13)) == []
