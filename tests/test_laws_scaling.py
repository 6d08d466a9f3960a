"""The scaling law's fit is the exact optimum, and its intervals are those of theory: other programs as oracles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import brentq, minimize_scalar, nnls
from scipy.stats import t as student

from limbeck.errors import BadData
from limbeck.laws import Estimate, ScalingFit, fit_scaling, level_means
from limbeck.laws.posterior import NO_FLOOR, posterior
from limbeck.laws.projection import GRID, many, optimum, quadratic
from ranges import assert_agree, range_within
from worlds import KS, Floats, World


def fit(world: World, drawn: int, **settings: object) -> ScalingFit:
    k, gap, sets, references = world.draw(drawn)
    return fit_scaling(k, gap, sets, reference_errors=references, **settings)  # type: ignore[arg-type]


def exact(world: World) -> ScalingFit:
    """Runs without noise, two sets a level a hair apart so that there is a spread."""
    k = np.repeat(np.array(world.ks, float), 2)
    hair = np.tile([1e-7, -1e-7], len(world.ks))
    return fit_scaling(k, world.gap(k) + hair, np.tile([0, 1], len(world.ks)), heteroscedastic=False)


def numbers(one: Estimate) -> list[float]:
    return [math.inf if value is None else value for value in one.to_dict().values()]


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("floor", [0.0, 0.08])
def test_a_law_without_noise_is_found_to_the_last_digits_that_matter(floor: float, exponent: float) -> None:
    world = World(floor=floor, exponent=exponent)
    found = exact(world)
    assert found.best.exponent == pytest.approx(exponent, rel=2e-3)
    assert found.best.floor == pytest.approx(floor, abs=4e-4)
    assert found.gap(1000).estimate == pytest.approx(float(world.gap(1000)), abs=1e-4)
    target = floor + 0.05
    assert found.required_k(target).estimate == pytest.approx(world.required(target), rel=0.02)
    assert found.constant == pytest.approx(0.6, rel=1e-2)
    if floor:
        assert found.saturation_k.estimate == pytest.approx((0.6 / floor) ** (1 / exponent), rel=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_that_of_non_negative_least_squares_at_every_exponent(seed: int) -> None:
    world = World(floor=0.02 * (seed % 3), set_sd=0.04, constant=0.1 * (seed % 4))
    k, gap, sets, _ = world.draw(seed)
    levels = level_means(k, gap, sets)
    root = 1 / np.sqrt(levels.variance)
    x = levels.k / levels.k[0]

    def residual(exponent: float) -> float:
        design = np.stack([np.ones_like(x), x**-exponent], 1)
        return float(nnls(design * root[:, None], levels.mean * root)[1] ** 2)

    ours = quadratic(levels, GRID).minimum()[0]
    assert ours == pytest.approx([residual(one) for one in GRID], rel=1e-8, abs=1e-8)
    fine = np.geomspace(0.08, 2.5, 3000)
    best = min(fine, key=residual)
    polished = minimize_scalar(residual, bounds=(best * 0.999, best * 1.001), method="bounded").fun
    assert optimum(levels).misfit <= polished + 1e-4


def test_many_tables_are_fitted_as_each_by_itself() -> None:
    k, gap, sets, _ = World().draw(0)
    levels = level_means(k, gap, sets)
    random = np.random.default_rng(0)
    means = levels.mean + np.sqrt(levels.variance) * random.standard_normal((50, 6))
    exponent, floor, amplitude = many(levels, means)
    for row in range(50):
        one = optimum(level_means(levels.k, means[row], np.zeros(6)))
        power = (np.array(KS) / 10.0) ** -exponent[row]
        mine = float(np.sum((means[row] - floor[row] - amplitude[row] * power) ** 2))
        theirs = one.misfit  # of unit variances, as single sets have
        assert mine <= theirs * 1.01 + 1e-9


def test_a_fixed_exponent_is_generalised_least_squares_with_t_intervals() -> None:
    k, gap, sets, references = World().draw(8)
    found = fit_scaling(k, gap, sets, reference_errors=references, exponent=0.5, heteroscedastic=False)
    levels = level_means(k, gap, sets, reference=(float(references.std(ddof=1)), 5), heteroscedastic=False)
    assert levels.df == 12
    shift = (levels.shift_sd * student.ppf(0.975, 4) / student.ppf(0.975, 12)) ** 2
    sigma = np.diag(levels.variance) + shift
    gls = sm.GLS(levels.mean, np.stack([np.ones(6), (levels.k / 10) ** -0.5], 1), sigma=sigma).fit()
    assert [found.best.floor, found.best.amplitude] == pytest.approx(gls.params, rel=1e-9)
    reach = student.ppf(0.975, 12) * np.sqrt(np.diag(gls.normalized_cov_params))
    for place, mine in enumerate([found.floor, found.amplitude]):
        assert mine.low == pytest.approx(gls.params[place] - reach[place], rel=1e-3)
        assert mine.high == pytest.approx(gls.params[place] + reach[place], rel=1e-3)
    slope = np.array([1, 1000**-0.5 * 10**0.5])
    own = student.ppf(0.975, 12) * math.sqrt(slope @ gls.normalized_cov_params @ slope)
    assert found.gap(1000).high == pytest.approx(float(slope @ gls.params) + own, rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_exponents_interval_ends_where_the_profile_passes_the_limit(seed: int) -> None:
    found = fit(World(sets=4, set_sd=0.006, seed_sd=0.006), seed, heteroscedastic=False)
    limit = found.best.misfit + student.ppf(0.975, found.profile.df) ** 2

    def above(exponent: float) -> float:
        return found.profile.misfit_at(exponent) - limit

    assert found.exponent.low is not None
    assert found.exponent.high is not None
    assert found.exponent.low == pytest.approx(brentq(above, 0.05, found.best.exponent), rel=1e-3)
    assert found.exponent.high == pytest.approx(brentq(above, found.best.exponent, 4), rel=1e-3)


Law = Callable[[Floats], float]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "quantity", ["floor", "gap 1000", "gap 30", "amplitude", "log required k"], ids=lambda name: str(name)
)
def test_intervals_are_the_range_over_the_laws_not_rejected(seed: int, quantity: str) -> None:
    """The same range by constrained optimisation (SLSQP from many starts) of the misfit written out anew."""
    world = World(sets=4, set_sd=0.006, seed_sd=0.006)
    found = fit(world, seed, heteroscedastic=False)
    levels = found.levels
    covariance = np.diag(levels.variance) + found.profile.shift_variance
    inverse = np.linalg.inv(covariance)
    limit = found.best.misfit + student.ppf(0.975, levels.df) ** 2

    def misfit(p: Floats) -> float:
        residual = levels.mean - p[1] - p[2] * (levels.k / 10) ** -p[0]
        return float(residual @ inverse @ residual)

    laws: dict[str, Law] = {
        "floor": lambda p: p[1],
        "amplitude": lambda p: p[2],
        "gap 1000": lambda p: p[1] + p[2] * 100 ** -p[0],
        "gap 30": lambda p: p[1] + p[2] * 3 ** -p[0],
        "log required k": lambda p: math.log(10) + math.log(max(p[2], 1e-9) / max(0.14 - p[1], 1e-4)) / p[0],
    }
    mine = {
        "floor": found.floor,
        "amplitude": found.amplitude,
        "gap 1000": found.gap(1000),
        "gap 30": found.gap(30),
        "log required k": found.required_k(0.14),
    }[quantity]
    best = np.array([found.best.exponent, found.best.floor, found.best.amplitude])
    starts = list(best * np.random.default_rng(1).uniform(0.9, 1.1, (6, 3)))
    ends = range_within(laws[quantity], misfit, limit, starts, [(0.08, 2.5), (0, 1), (0, 2)])
    assert_agree(mine, ends, logarithm=quantity.startswith("log"), share=0.01)


def test_the_order_of_rows_and_the_names_of_sets_do_not_matter() -> None:
    k, gap, sets, references = World().draw(9)
    first = fit_scaling(k, gap, sets, reference_errors=references)
    order = np.random.default_rng(2).permutation(len(k))
    names = [f"set {one:g}" for one in sets[order]]
    second = fit_scaling(k[order], gap[order], names, reference_errors=references[::-1])
    for mine, other in [
        (first.floor, second.floor),
        (first.exponent, second.exponent),
        (first.required_k(0.12), second.required_k(0.12)),
    ]:
        assert numbers(mine) == pytest.approx(numbers(other), rel=1e-6)


def test_k_in_other_units_only_moves_k() -> None:
    """Ten classes counted per class or in all: the same law, required k ten times as large."""
    k, gap, sets, references = World().draw(10)
    first = fit_scaling(k, gap, sets, reference_errors=references)
    second = fit_scaling(10 * k, gap, sets, reference_errors=references)
    assert numbers(second.exponent) == pytest.approx(numbers(first.exponent))
    assert numbers(second.floor) == pytest.approx(numbers(first.floor))
    mine, other = first.required_k(0.14), second.required_k(0.14)
    assert [other.estimate, other.low] == pytest.approx([10 * mine.estimate, 10 * mine.low])  # type: ignore[operator]


def test_gaps_in_other_units_scale_floor_and_amplitude() -> None:
    k, gap, sets, references = World().draw(11)
    first = fit_scaling(k, gap, sets, reference_errors=references)
    second = fit_scaling(k, 3 * gap, sets, reference_errors=3 * references)
    assert numbers(second.exponent) == pytest.approx(numbers(first.exponent), rel=1e-5)
    assert second.floor.high == pytest.approx(3 * first.floor.high, rel=1e-5)  # type: ignore[operator]
    assert numbers(second.required_k(0.42)) == pytest.approx(numbers(first.required_k(0.14)), rel=1e-4)


def test_a_higher_level_gives_a_wider_interval() -> None:
    narrow, wide = fit(World(), 12, level=0.8), fit(World(), 12, level=0.95)
    assert narrow.exponent.width < wide.exponent.width
    assert narrow.gap(1000).width < wide.gap(1000).width


def test_a_target_below_the_floor_is_never_reached_with_a_confidence() -> None:
    found = fit(World(set_sd=0.002, seed_sd=0.002, reference_sd=0.001), 13)
    assert found.required_k(0.02).estimate is None
    assert found.unreachable(0.02) > 0.99
    assert found.unreachable(0.2) < 0.01
    chances = [found.unreachable(target) for target in np.linspace(0.01, 0.2, 40)]
    assert chances == sorted(chances, reverse=True)
    assert found.unreachable(found.best.floor) == pytest.approx(0.5, abs=1e-4)


def test_required_k_grows_as_the_target_falls_and_inverts_the_gap() -> None:
    found = fit(World(), 14)
    needs = [found.required_k(target).estimate for target in (0.25, 0.2, 0.15, 0.12)]
    assert all(one is not None for one in needs)
    assert needs == sorted(needs)  # type: ignore[type-var]
    for need, target in zip(needs, (0.25, 0.2, 0.15, 0.12), strict=True):
        assert need is not None
        assert found.gap(need).estimate == pytest.approx(target)


def test_negative_gaps_are_kept_as_they_are() -> None:
    """Clipping them at zero would pull the law up: the optimum must see the numbers that were measured."""
    k = np.repeat([10.0, 20, 50, 100, 200], 2)
    gap = np.array([0.2, 0.22, 0.1, 0.12, 0.0, 0.02, -0.02, -0.01, -0.03, -0.02])
    found = fit_scaling(k, gap, np.tile([0, 1], 5))
    clipped = fit_scaling(k, np.maximum(gap, 0), np.tile([0, 1], 5))
    assert found.best.floor == 0
    assert found.gap(200).estimate < clipped.gap(200).estimate  # type: ignore[operator]


def test_one_set_a_level_takes_the_scatter_about_the_law_and_no_less_than_the_seeds() -> None:
    world = World(sets=1, seed_sd=0.02)
    k, gap, sets, references = world.draw(15)
    found = fit_scaling(k, gap, sets, reference_errors=references)
    levels = level_means(k, gap, sets)
    assert found.profile.df == 3  # six levels, three parameters
    residual = levels.mean - found.best.floor - found.best.amplitude * (levels.k / 10) ** -found.best.exponent
    scatter = float(np.sum(residual**2)) / 3
    assert levels.within_sd is not None
    assert found.levels.variance[0] == pytest.approx(max(scatter, levels.within_sd**2 / 3), rel=0.02)


@pytest.mark.parametrize(
    "settings",
    [{"level": 0.3}, {"level": 1.0}, {"exponent": 0.0}, {"exponent": 11.0}, {"interval": "cluster_bootstrap"}],
)
def test_settings_without_meaning_are_refused(settings: dict[str, object]) -> None:
    world = World(sets=2)
    with pytest.raises(BadData):
        fit(world, 0, **settings)


@pytest.mark.parametrize(("ks", "exponent"), [((10, 20), "free"), ((10,), 0.5)])
def test_fewer_levels_than_parameters_are_refused(ks: tuple[int, ...], exponent: object) -> None:
    with pytest.raises(BadData, match="needs at least"):
        fit(World(ks=ks), 0, exponent=exponent)


def test_the_bootstrap_is_repeatable_and_agrees_with_the_profile_on_quiet_data() -> None:
    world = World(sets=8, set_sd=0.003, seed_sd=0.003, reference_sd=0.001)
    first, again = (fit(world, 16, interval="cluster_bootstrap", seed=4) for _ in range(2))
    other = fit(world, 16)
    assert first.gap(1000) == again.gap(1000)
    assert first.gap(1000).width == pytest.approx(other.gap(1000).width, rel=0.35)


def test_a_bad_set_moves_a_robust_fit_less() -> None:
    world = World(sets=5, set_sd=0.004, seed_sd=0.0, seeds=1)
    k, gap, sets, references = world.draw(17)
    bad = gap.copy()
    bad[-1] += 0.15
    plain, robust = (fit_scaling(k, bad, sets, reference_errors=references, robust=one) for one in (False, True))
    truth = float(world.gap(1000))
    assert abs(robust.gap(1000).estimate - truth) < 0.5 * abs(plain.gap(1000).estimate - truth)  # type: ignore[operator]


def test_the_posterior_of_a_fixed_exponent_is_the_t_interval_of_least_squares() -> None:
    """Flat priors on floor and amplitude, away from zero: Bayes and least squares agree."""
    quiet = World(set_sd=0.004, seed_sd=0.004, reference_sd=0.001)
    bayes, profile = (fit(quiet, 18, exponent=0.5, interval=one) for one in ("bayes", "profile"))
    for mine, other in ((bayes.floor, profile.floor), (bayes.amplitude, profile.amplitude)):
        assert mine.low == pytest.approx(other.low, abs=0.12 * other.width)
        assert mine.high == pytest.approx(other.high, abs=0.12 * other.width)


def test_the_posterior_is_students_likelihood_summed_over_all_three_parameters() -> None:
    """Brute force over exponent, floor and amplitude; residuals are written out, level by level."""
    k, gap, sets, _ = World(floor=0.06).draw(1)
    found = fit_scaling(k, gap, sets, heteroscedastic=False)
    drawn = posterior(found.profile, 0.95, 0, draws=100_000)
    levels, df = found.levels, found.profile.df
    low, high = found.profile.region(0.999).range_of(lambda exponent, floor, amplitude: floor)
    floors = np.append(0.0, low + (high - low) * (np.arange(96) + 0.5) / 96)
    prior = np.append(NO_FLOOR, np.full(96, (1 - NO_FLOOR) / 96))
    amplitudes = np.linspace(0, 1.2, 241)
    misfit = np.stack(
        [
            sum(
                (mean - floors[:, None] - amplitudes * (k / levels.k[0]) ** -exponent) ** 2 / variance
                for k, mean, variance in zip(levels.k, levels.mean, levels.variance, strict=True)
            )
            for exponent in GRID
        ]
    )  # (exponents, floors, amplitudes)
    weight = (1 + (misfit - misfit.min()) / df) ** (-(df + 1) / 2) * prior[:, None]
    weight /= weight.sum()
    of_floors = weight.sum((0, 2))
    assert np.mean(drawn.floor == 0) == pytest.approx(of_floors[0], abs=0.005)
    assert drawn.exponent.mean() == pytest.approx(float(weight.sum((1, 2)) @ GRID), abs=0.01)
    for share in (0.025, 0.5, 0.975):
        expected = floors[np.searchsorted(np.cumsum(of_floors), share)]
        assert np.quantile(drawn.floor, share) == pytest.approx(expected, abs=2 * (high - low) / 96)


def test_the_posterior_allows_that_there_is_no_floor() -> None:
    """Its prior has a mass at 0; and it is repeatable."""
    first, again = (fit(World(floor=0.0), 3, interval="bayes", seed=1) for _ in range(2))
    assert first.floor.low == 0
    assert first.gap(1000) == again.gap(1000)
    assert fit(World(set_sd=0.002, seed_sd=0.002, reference_sd=0.0005), 3, interval="bayes").floor.low > 0.05  # type: ignore[operator]


def test_the_bayesian_intervals_hold_the_truth() -> None:
    """40 tables each with the floor there and not: coverage of .92 and more in the long run (120 tables)."""
    for world in (World(), World(floor=0.0)):
        held = []
        for drawn in range(40):
            found = fit(world, 2000 + drawn, interval="bayes")
            need = world.floor + 0.04
            held.append(
                [
                    found.floor.covers(world.floor),
                    found.exponent.covers(0.5),
                    found.required_k(need).covers(world.required(need)),
                ]
            )
        assert np.mean(held, axis=0).min() >= 0.92 - 3 * math.sqrt(0.95 * 0.05 / 40)
