"""Many laws: pooled as other programs pool them, calibrated where normal summaries are not, and tested as a family."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests

from command import Command
from limbeck.errors import BadData
from limbeck.laws import ScalingFit, answer, benjamini_hochberg, fit_levels, fit_scaling, holm, pool_laws
from limbeck.laws.levels import levels_of_means
from limbeck.laws.pooling import Pooled, equal_exponents, pool_profiles
from limbeck.laws.shared_sets import shared_noise
from worlds import Floats, Rows, World

MANY = np.array([1e6])


def normal(estimates: Floats, variances: Floats, prior: float = 1.0, shares: float = 0.0) -> Pooled:
    """Laws whose profiles are parabolas: then the model is the textbook's."""
    theta = np.linspace(-3, 3, 301)
    misfit = (theta[None, :] - estimates[:, None]) ** 2 / variances[:, None]
    return pool_profiles(theta, misfit, np.repeat(MANY, len(estimates)), prior, shares=shares)


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.8])
def test_parabolas_are_pooled_as_statsmodels_pools_normal_summaries(spread: float) -> None:
    random = np.random.default_rng(int(10 * spread))
    variances = random.uniform(0.02, 0.1, 14)
    estimates = 0.4 + spread * random.standard_normal(14) + np.sqrt(variances) * random.standard_normal(14)
    ours = normal(estimates, variances)
    theirs = combine_effects(estimates, variances, method_re="iterated", use_t=True)
    assert ours.q == pytest.approx(theirs.q, rel=2e-3)
    assert ours.i_squared == pytest.approx(max(0.0, theirs.i2), abs=2e-3)
    assert ours.equal_p == pytest.approx(float(theirs.test_homogeneity().pvalue), abs=2e-3)
    assert ours.mean.estimate == pytest.approx(theirs.mean_effect_re, abs=0.25 * theirs.sd_eff_w_re_hksj)
    low, high = theirs.conf_int(alpha=0.05, use_t=True)[3]  # Hartung and Knapp's interval of the random-effects mean
    # Where the estimates agree better than their noise allows, Hartung and Knapp's interval is too short to be copied.
    known = 2 * 1.96 * math.sqrt(1 / np.sum(1 / (variances + theirs.tau2)))
    assert ours.mean.width == pytest.approx(max(high - low, 1.1 * known), rel=0.25)
    assert ours.tau.covers(math.sqrt(max(theirs.tau2, 0)))


def test_equal_laws_are_one_and_far_ones_stay_their_own() -> None:
    same = normal(np.full(8, 0.5), np.full(8, 0.04))
    assert all(one.estimate == pytest.approx(0.5, abs=0.01) for one in same.own)
    assert same.own[0].width < 0.6 * 2 * 1.96 * 0.2
    apart = normal(np.array([-2.0, -1, 0, 1, 2]), np.full(5, 1e-3))
    assert [one.estimate for one in apart.own] == pytest.approx([-2, -1, 0, 1, 2], abs=0.03)
    assert apart.i_squared > 0.99


def test_a_law_that_says_nothing_changes_nothing_and_is_lent_the_others() -> None:
    estimates, variances = np.array([0.2, 0.5, 0.4, 0.3]), np.full(4, 0.02)
    theta = np.linspace(-3, 3, 301)
    misfit = (theta[None, :] - estimates[:, None]) ** 2 / variances[:, None]
    alone = pool_profiles(theta, misfit, np.repeat(MANY, 4), 1.0)
    with_empty = pool_profiles(theta, np.vstack([misfit, np.zeros(301)]), np.repeat(MANY, 5), 1.0)
    assert with_empty.mean.estimate == pytest.approx(alone.mean.estimate, abs=0.01)
    assert with_empty.own[4].estimate == pytest.approx(alone.new_law.estimate, abs=0.02)
    assert with_empty.own[4].width == pytest.approx(alone.new_law.width, rel=0.05)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_parabolas_that_err_together_are_pooled_as_generalised_least_squares_pools_them(share: float) -> None:
    """V(mean) = rho s^2 + ((1 - rho) s^2 + tau^2) / n, and what is left between estimates is (1 - rho) s^2 + tau^2."""
    n, s, tau = 24, 0.2, 0.15
    random = np.random.default_rng(3)
    apart = random.standard_normal(n)
    apart *= math.sqrt((1 - share) * s**2 + tau**2) / apart.std(ddof=1)
    ours = normal(0.4 + apart - apart.mean(), np.full(n, s**2), shares=share)
    expected = math.sqrt(share * s**2 + ((1 - share) * s**2 + tau**2) / n)
    assert ours.mean.estimate == pytest.approx(0.4, abs=0.01)
    assert ours.mean.width / 3.92 == pytest.approx(expected, rel=0.08)
    assert ours.tau.covers(tau)
    assert ours.q == pytest.approx((n - 1) * (1 + tau**2 / ((1 - share) * s**2)), rel=0.02)


def test_laws_that_err_together_wholly_are_worth_one_law() -> None:
    same = normal(np.full(8, 0.5), np.full(8, 0.04), shares=0.9)
    assert same.mean.width == pytest.approx(2 * 1.96 * 0.2 * math.sqrt(0.9), rel=0.1)
    assert all(one.width == pytest.approx(same.mean.width, rel=0.1) for one in same.own)


def family(
    base: World, laws: int, spread: float, drawn: int, same_sets: bool = False
) -> tuple[list[ScalingFit], Floats]:
    """Laws whose exponents spread about the base's as a logit does."""
    random = np.random.default_rng(drawn)
    theta = math.log((base.exponent - 0.08) / (2.5 - base.exponent)) + spread * random.standard_normal(laws)
    exponents = 0.08 + 2.42 / (1 + np.exp(-theta))
    fits = []
    for place, exponent in enumerate(exponents):
        excess = 0.19 * math.exp(0.2 * random.standard_normal())
        world = replace(base, exponent=float(exponent), constant=excess * 10**exponent)
        k, gap, sets, references = world.draw(1000 * drawn + place)
        if same_sets:
            of_sets = base.set_sd * np.random.default_rng(10**6 + drawn).standard_normal(len(gap) // base.seeds)
            gap = gap + np.repeat(of_sets, base.seeds)
        fits.append(fit_scaling(k, gap, sets, reference_errors=references))
    return fits, exponents


def test_pooled_exponents_hold_the_truth_and_own_ones_gain_from_the_others() -> None:
    """30 families of 5 laws with nothing but their profiles: .97 of means and .94 of own exponents in the long run."""
    held, own, narrower = [], [], []
    for drawn in range(30):
        fits, exponents = family(World(), 5, 0.3, drawn)
        found = pool_laws(fits).parameters["exponent"]
        held.append(found.mean.covers(0.5))
        own += [one.covers(truth) for one, truth in zip(found.own, exponents, strict=True)]
        narrower += [one.width < fit.exponent.width for one, fit in zip(found.own, fits, strict=True)]
    assert np.mean(held) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 30)
    assert np.mean(own) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 150)
    assert np.mean(narrower) > 0.6


def test_the_mean_of_laws_from_the_same_sets_is_no_more_certain_than_the_sets_allow() -> None:
    """Half of what a set adds is the same under all configurations; as if laws were independent, about .7 are held."""
    base = World(set_sd=0.02, seed_sd=0.01)
    held, believed, shared = [], [], []
    for drawn in range(30):
        fits, _ = family(base, 6, 0.0, drawn, same_sets=True)
        shared.append(shared_noise(fits))
        found = pool_laws(fits).parameters["exponent"]
        held.append(found.mean.covers(0.5))
        alone = [replace(fit, levels=replace(fit.levels, unit_set=np.char.add(fit.levels.unit_set, str(i))))
                 for i, fit in enumerate(fits)]  # fmt: skip
        believed.append(pool_laws(alone).parameters["exponent"].mean.width / found.mean.width)
    own = base.set_sd**2 + base.seed_sd**2 / base.seeds
    assert np.mean(shared) == pytest.approx(base.set_sd**2 / (base.set_sd**2 + own), abs=0.09)
    assert np.mean(held) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 30)
    assert np.mean(believed) < 0.8


def test_sets_of_other_names_and_published_means_share_no_noise() -> None:
    fits, _ = family(World(), 3, 0.0, 1)
    assert shared_noise(fits[:1]) == 0
    means = [
        fit_levels(levels_of_means(one.levels.k, one.levels.mean, np.full(6, 0.02), np.full(6, 5))) for one in fits
    ]
    assert shared_noise(means) == 0
    assert pool_laws(means).shared == 0


def test_one_exponent_is_rejected_as_often_as_it_says_and_different_ones_are_found() -> None:
    quiet = World(set_sd=0.004, seed_sd=0.004, reference_sd=0.002)
    equal = [equal_exponents(family(quiet, 4, 0.0, drawn)[0])[1] for drawn in range(120)]
    assert np.mean(np.array(equal) < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
    apart = [equal_exponents(family(quiet, 4, 0.6, drawn)[0])[1] for drawn in range(20)]
    assert np.mean(np.array(apart) < 0.05) >= 0.8


def test_two_laws_of_one_noise_are_compared_by_the_extra_sum_of_squares() -> None:
    """Written out anew: both curves by one exponent against each by its own, by brute force over exponents."""
    fits, _ = family(World(set_sd=0.004, seed_sd=0.004, references=1000, reference_sd=1e-9), 2, 0.4, 3)
    df = [fit.profile.df for fit in fits]
    s2 = sum(d * fit.levels.set_sd**2 for d, fit in zip(df, fits, strict=True)) / sum(df)

    def rss(fit: ScalingFit, exponent: float) -> float:
        levels = fit.levels
        weight = levels.set_sd**2 / levels.variance / s2
        design = np.stack([np.ones(6), (levels.k / 10) ** -exponent], 1) * np.sqrt(weight)[:, None]
        best = np.linalg.lstsq(design, levels.mean * np.sqrt(weight), rcond=None)
        return float(best[1][0])

    grid = np.geomspace(0.08, 2.5, 400)
    curves = np.array([[rss(fit, one) for one in grid] for fit in fits])
    f = curves.sum(0).min() - curves.min(1).sum()
    ours, p = equal_exponents(fits)
    assert ours == pytest.approx(f, rel=0.05)
    assert p == pytest.approx(float(f_distribution.sf(ours, 1, sum(df))))


@pytest.mark.parametrize("method", ["holm", "fdr_bh"])
def test_adjusted_p_values_are_those_of_statsmodels(method: str) -> None:
    p = np.random.default_rng(0).random(25) ** 3
    p[3] = p[7]
    ours = holm(p) if method == "holm" else benjamini_hochberg(p)
    assert ours == pytest.approx(multipletests(p, method=method)[1])
    assert len(holm([])) == 0
    with pytest.raises(BadData):
        holm([0.1, math.nan])


def rows_of_three() -> Rows:
    return [
        row
        for drawn, name in enumerate(["mlp", "vit", "lenet"])
        for row in World(set_sd=0.004, seed_sd=0.004).rows(drawn, configuration=name)
    ]


def test_an_answer_pools_on_demand_and_the_command_prints_it(tmp_path: Path, limbeck: Command) -> None:
    rows = rows_of_three()
    found = answer(rows, pool=True)
    family = found["pooled"][0]
    assert family["laws"] == 3
    assert family["configurations"] == ["lenet", "mlp", "vit"]
    assert family["parameters"]["exponent"]["mean"]["low"] < 0.5 < family["parameters"]["exponent"]["mean"]["high"]
    assert len(found["tests"]["floor"]) == 3
    json.dumps(found, allow_nan=False)
    assert "pooled" not in answer(rows)
    path = tmp_path / "rows.csv"
    columns = list(rows[0])
    lines = [",".join("" if row[name] is None else str(row[name]) for name in columns) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]))
    assert "new configuration" in limbeck("laws", path, "--pool").out
    assert limbeck("laws", path, "--pool", "--json").json == json.loads(json.dumps(found))


def test_sources_in_one_table_are_configurations_of_their_own() -> None:
    """One configuration on two data sets: two laws, each against its own reference, pooled if asked."""
    rows = [row | {"source": "digits"} for row in World().rows(0)]
    rows += [row | {"source": "mnist"} for row in World(floor=0.02).rows(1, base=0.02)]
    found = answer(rows, pool=True)
    assert [fit["configuration"] for fit in found["fits"]] == ["mlp on digits", "mlp on mnist"]
    assert found["pooled"][0]["laws"] == 2
    assert found["fits"][0] == answer([row | {"configuration": "mlp on digits"} for row in World().rows(0)])["fits"][0]
