"""Levels: the set is the unit, spreads are pooled over k, and every source of noise is counted once."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy.stats import t as student
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from limbeck.errors import BadData
from limbeck.laws import Code, fit_levels, groups, level_means
from limbeck.laws.components import shared_effect
from limbeck.laws.levels import levels_of_means
from limbeck.laws.robust import flag_outliers, huber_levels
from worlds import Rows, World


def test_a_level_is_the_mean_over_sets_of_their_means_over_seeds() -> None:
    # One set with three seeds and one with a single seed count alike: 0.5 (0.2 + 0.5), not the mean of four runs.
    levels = level_means([10, 10, 10, 10, 20, 20], [0.1, 0.2, 0.3, 0.5, 0.1, 0.3], ["a", "a", "a", "b", "a", "b"])
    assert levels.mean == pytest.approx([0.35, 0.2])
    assert levels.sets.tolist() == [2, 2]
    assert levels.runs.tolist() == [4, 2]


def test_the_spread_of_sets_is_pooled_over_levels() -> None:
    gap = [0.10, 0.14, 0.20, 0.26, 0.32, 0.30]  # squares about the level means: 0.0008, 0.0072 with 1 and 3 - 1 df
    levels = level_means([10, 10, 20, 20, 20, 40], gap, list("abcdea"))
    pooled = (0.0008 + 0.0072) / 3
    assert levels.df == 3
    assert levels.variance == pytest.approx([pooled / 2, pooled / 3, pooled])


def test_variance_components_equal_the_mixed_model_of_statsmodels() -> None:
    world = World(set_sd=0.03, seed_sd=0.015, sets=5, seeds=4)
    k, gap, sets, _ = world.draw(3)
    found = level_means(k, gap, sets, heteroscedastic=False).components
    frame = pd.DataFrame({"gap": gap, "k": k, "unit": [f"{a}/{b}" for a, b in zip(k, sets, strict=True)]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of its optimiser's gradient, not of the answer
        mixed = smf.mixedlm("gap ~ C(k)", frame, groups=frame["unit"]).fit(reml=True)
    assert found.seed_sd == pytest.approx(math.sqrt(mixed.scale), rel=1e-3)
    assert found.set_sd == pytest.approx(math.sqrt(float(mixed.cov_re.iloc[0, 0])), rel=1e-3)
    share = found.set_sd**2 / (found.set_sd**2 + found.seed_sd**2)
    assert found.intraclass == pytest.approx(share)
    # Kish's design effect: 30 sets of 4 runs.
    assert found.effective_runs == pytest.approx(120 / (1 + 3 * share))


def test_components_that_the_design_can_not_show_are_none() -> None:
    k, gap, sets, _ = World(seeds=1).draw(0)
    assert level_means(k, gap, sets).components.seed_sd is None
    k, gap, sets, _ = World(sets=1).draw(0)
    found = level_means(k, gap, sets).components
    assert found.set_sd is None
    assert found.seed_sd == pytest.approx(0.015, rel=0.4)


def test_the_shared_effect_of_seeds_is_the_two_way_analysis_of_statsmodels() -> None:
    random = np.random.default_rng(5)
    k = np.repeat([10.0, 20.0, 50.0], 6)
    sets = np.tile(np.repeat([0, 1], 3), 3)
    seeds = np.tile([0, 1, 2], 6)
    gap = 0.1 + 0.01 * random.standard_normal(18) + np.array([0.0, 0.02, -0.02])[seeds]
    units = [f"{a}/{b}" for a, b in zip(k, sets, strict=True)]
    variance, p = shared_effect(units, list(seeds), gap)
    frame = pd.DataFrame({"gap": gap, "unit": units, "seed": seeds})
    anova = sm.stats.anova_lm(smf.ols("gap ~ C(unit) + C(seed)", frame).fit())
    assert p == pytest.approx(float(anova.loc["C(seed)", "PR(>F)"]), rel=1e-9)
    between, rest = anova.loc["C(seed)", "mean_sq"], anova.loc["Residual", "mean_sq"]
    assert variance == pytest.approx(float(between - rest) / 6)


def nested(drawn: int) -> tuple[Rows, float]:
    """Sets of one name are good or poor at every k alike, as where each holds the smaller one; and the floor."""
    world = World(sets=6)
    of_set = 0.03 * np.random.default_rng(700 + drawn).standard_normal(6)
    rows = world.rows(drawn)
    return [row if row["k"] is None else row | {"error": row["error"] + of_set[int(row["set"])]} for row in rows], 0.08


def test_sets_that_move_together_at_every_k_are_told_and_widen_what_they_move() -> None:
    told, held, alone = [], [], []
    for drawn in range(40):
        rows, floor = nested(drawn)
        (group,) = groups(rows)
        told.append(any(note.code == "shared_set_effect" for note in group.notes))
        assert group.levels is not None
        held.append(fit_levels(group.levels).gap(300).covers(floor + 0.6 * 300**-0.5))
        shift = math.sqrt(0.005**2 / 5)
        alone.append(fit_levels(replace(group.levels, shift_sd=shift)).gap(300).covers(floor + 0.6 * 300**-0.5))
    assert np.mean(told) > 0.9
    assert np.mean(held) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 40)
    assert np.mean(held) > np.mean(alone) + 0.1
    assert not any(note.code == "shared_set_effect" for note in groups(World(sets=4).rows(1))[0].notes)


def test_an_unbalanced_design_shows_no_shared_effect_rather_than_a_wrong_one() -> None:
    assert shared_effect(["10a", "10a", "20b"], [0, 1, 0], [0.1, 0.3, 0.2]) == (0.0, 1.0)


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_a_spread_that_falls_with_k_is_found_and_a_constant_one_is_left_alone(slope: float) -> None:
    random = np.random.default_rng(11)
    ks = np.array([10.0, 30, 100, 300, 1000, 3000])
    gammas = []
    for _ in range(40):
        k = np.repeat(ks, 6)
        gap = 0.1 + 0.02 * (k / 10) ** -slope * random.standard_normal(36)
        gammas.append(level_means(k, gap, np.tile(np.arange(6), 6)).gamma)
    # gamma is shrunk towards zero, never past the truth.
    assert abs(np.mean(gammas)) < 0.02 if slope == 0 else 0.3 < np.mean(gammas) < 0.5


def test_the_reference_is_widened_to_its_own_few_degrees_of_freedom() -> None:
    k, gap, sets, _ = World().draw(1)
    levels = level_means(k, gap, sets, reference=(0.005, 3), heteroscedastic=False)
    assert levels.shift_sd == pytest.approx(0.005 / math.sqrt(3))
    ratio = student.ppf(0.975, 2) / student.ppf(0.975, 12)
    assert levels.shift_variance(0.95) == pytest.approx((levels.shift_sd * ratio) ** 2)


def test_one_reference_borrows_the_noise_of_the_seeds_and_says_so() -> None:
    k, gap, sets, _ = World().draw(1)
    levels = level_means(k, gap, sets, reference=(math.nan, 1))
    assert [note.code for note in levels.notes] == [Code.reference_noise_borrowed]
    assert levels.shift_sd == pytest.approx(levels.within_sd)


def test_published_means_give_the_same_levels_as_the_runs_behind_them() -> None:
    k, gap, sets, _ = World(seeds=1, sets=4).draw(2)
    runs = level_means(k, gap, sets, reference=(0.01, 5), heteroscedastic=False)
    ks = np.unique(k)[::-1]  # any order of rows
    means = levels_of_means(
        ks,
        [gap[k == one].mean() for one in ks],
        [gap[k == one].std(ddof=1) for one in ks],
        [4] * len(ks),
        reference=(0.01, 5),
    )
    assert means.mean == pytest.approx(runs.mean)
    assert means.variance == pytest.approx(runs.variance)
    assert means.df == runs.df
    assert Code.means_only in {note.code for note in means.notes}


@pytest.mark.parametrize(
    ("k", "gap", "sets"),
    [
        ([10, 20], [0.1, math.nan], [0, 0]),
        ([10, 20], [0.1, math.inf], [0, 0]),
        ([0, 20], [0.1, 0.2], [0, 0]),
        ([10, 20], [0.1], [0, 0]),
        ([], [], []),
    ],
)
def test_what_is_no_number_is_refused(k: list[float], gap: list[float], sets: list[int]) -> None:
    with pytest.raises(BadData):
        level_means(k, gap, sets)


def test_a_planted_outlier_is_flagged_and_clean_sets_hardly_ever() -> None:
    k, gap, sets, _ = World(sets=5, seeds=1).draw(4)
    gap[7] += 0.2
    notes = flag_outliers(level_means(k, gap, sets))
    assert "k=20" in notes[0].message
    clean = [World(sets=5, seeds=1).draw(seed) for seed in range(200)]
    flagged = sum(bool(flag_outliers(level_means(k, gap, sets))) for k, gap, sets, _ in clean)
    assert flagged <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_outliers_are_the_studentised_residuals_of_statsmodels() -> None:
    k, gap, sets, _ = World(sets=5, seeds=1).draw(4)
    gap[7] += 0.12
    levels = level_means(k, gap, sets, heteroscedastic=False)
    frame = pd.DataFrame({"gap": gap, "k": k})
    test = smf.ols("gap ~ C(k)", frame).fit().outlier_test(method="bonf")
    assert (test["bonf(p)"].to_numpy() < 0.05).sum() == 1
    limit = float(test["bonf(p)"].min())
    assert flag_outliers(levels, level=limit * 1.0001)
    assert not flag_outliers(levels, level=limit * 0.9999)


def test_huber_weights_are_one_without_outliers_and_bound_a_bad_set() -> None:
    k, gap, sets, _ = World(sets=4, seeds=1, set_sd=0.001, seed_sd=0.0).draw(4)
    levels = level_means(k, gap, sets, heteroscedastic=False)
    bad = gap.copy()
    bad[5] += 0.5
    spoiled = level_means(k, bad, sets, heteroscedastic=False)
    held = huber_levels(spoiled, None)
    assert abs(spoiled.mean[1] - levels.mean[1]) == pytest.approx(0.125)
    assert abs(held.mean[1] - levels.mean[1]) < 0.004
    assert np.delete(held.mean, 1) == pytest.approx(np.delete(levels.mean, 1), abs=0.002)


def test_keeping_some_levels_keeps_their_sets_and_the_pooled_variance() -> None:
    k, gap, sets, _ = World().draw(6)
    levels = level_means(k, gap, sets, heteroscedastic=False)
    kept = levels.keep(levels.k < 200)
    assert kept.k.tolist() == [10, 20, 50, 100]
    assert kept.variance.tolist() == levels.variance[:4].tolist()
    assert kept.df == levels.df
    assert set(kept.unit_k) == {10, 20, 50, 100}
    assert replace(kept, notes=()).notes == ()
