"""Laws that bend: the curve by calculus, the profile set by another optimiser, the intervals by planted bends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm
from scipy.stats import t as student

from limbeck.laws import ScalingFit, fit_scaling
from limbeck.laws.bend import BentLaws, decay
from limbeck.laws.bent_fit import BentFit
from limbeck.laws.decisions import held_at_zero
from limbeck.laws.surface import BEND_SD
from ranges import assert_agree, range_within
from worlds import KS, Floats, World

MIDDLE = math.sqrt(KS[0] * KS[-1])


@dataclass(frozen=True)
class BentWorld(World):
    """A planted law whose exponent is `exponent` at the middle k and changes by `bend` a decade."""

    bend: float = 0.0

    def law(self) -> BentLaws:
        ends = float(self.ks[0]), math.sqrt(self.ks[0] * self.ks[-1])
        excess = self.constant * ends[0] ** -self.exponent
        return BentLaws(*(np.array([x]) for x in (self.exponent, self.bend, self.floor, excess)), *ends)

    def gap(self, k: object) -> Floats:
        return np.array([self.law().gap(float(one))[0] for one in np.asarray(k, float).ravel()])

    def required(self, target: float) -> float:
        return float(self.law().required_k(target)[0])


def fit(world: World, drawn: int) -> ScalingFit:
    k, gap, sets, references = world.draw(drawn)
    return fit_scaling(k, gap, sets, reference_errors=references, heteroscedastic=False)


def bent(fitted: ScalingFit) -> BentFit:
    found = fitted.foretold
    assert isinstance(found, BentFit)
    return found


def some_laws(count: int, seed: int = 0) -> BentLaws:
    random = np.random.default_rng(seed)
    return BentLaws(
        random.uniform(0.1, 2, count),
        random.normal(0, 0.6, count),
        random.uniform(0, 0.1, count),
        random.uniform(0.1, 0.6, count),
        10.0,
        MIDDLE,
    )


# The curve ------------------------------------------------------------------------------------------------------------


def test_without_a_bend_the_excess_is_a_power() -> None:
    k, exponents = np.geomspace(1, 1e6, 30), np.array([0.2, 0.5, 1.7])
    assert decay(k, 10.0, MIDDLE, exponents, np.zeros(3)) == pytest.approx((k / 10) ** -exponents[:, None])


@pytest.mark.parametrize("k", [3.0, 20.0, 300.0, 4000.0])
def test_the_local_exponent_changes_by_the_bend_a_decade_and_never_below_nothing(k: float) -> None:
    laws, step = some_laws(50), 1e-5
    ends = [np.log(laws.gap(k * math.exp(side)) - laws.floor) for side in (-step, step)]
    local = laws.exponent + laws.bend * math.log10(k / MIDDLE)
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(np.maximum(local, 0), abs=1e-5)


@pytest.mark.parametrize("target", [0.02, 0.07, 0.12, 0.3])
def test_required_k_is_where_the_law_passes_the_gap(target: float) -> None:
    laws = some_laws(400)
    k = laws.required_k(target)
    assert (k >= 1).all()
    found = np.isfinite(k) & (k > 1)
    assert found.sum() > 20
    for place in np.flatnonzero(found):
        own = BentLaws(
            *(part[place : place + 1] for part in (laws.exponent, laws.bend, laws.floor, laws.amplitude)), 10.0, MIDDLE
        )
        assert own.gap(k[place])[0] == pytest.approx(target, rel=1e-9)
        assert own.gap(0.9 * k[place])[0] > target
    assert (laws.gap(1.0)[k == 1] <= target + 1e-12).all()
    assert (laws.gap(1e300)[np.isinf(k)] >= target - 1e-12).all()


def test_a_law_without_excess_is_at_its_floor_from_the_first_sample() -> None:
    law = BentLaws(*(np.array([x]) for x in (0.5, 0.2, 0.08, 0.0)), 10.0, MIDDLE)
    assert law.required_k(0.1)[0] == 1
    assert math.isinf(law.required_k(0.05)[0])


# The fit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.4, 0.9])
@pytest.mark.parametrize("bend", [-0.3, 0.0, 0.5])
def test_a_bent_law_without_noise_is_found_and_foretells(bend: float, exponent: float) -> None:
    """Noise of 1e-6 leaves the prior nothing to say. A floor would look like a bend, so there is none."""
    world = BentWorld(floor=0.0, exponent=exponent, bend=bend)
    k = np.repeat(np.array(world.ks, float), 2)
    found = bent(fit_scaling(k, world.gap(k) + np.tile([1e-6, -1e-6], len(world.ks)), np.tile([0, 1], len(world.ks))))
    assert found.bend.estimate == pytest.approx(bend, abs=0.02)
    assert found.gap(2000).estimate == pytest.approx(world.gap(2000)[0], abs=2e-4)
    target = float(world.gap(70)[0])
    assert found.required_k(target).estimate == pytest.approx(70, rel=3e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("quantity", ["gap 2000", "gap 30", "bend", "log required k"])
def test_intervals_are_the_range_over_the_bent_laws_not_rejected(seed: int, quantity: str) -> None:
    """The same range by constrained optimisation (SLSQP from many starts) of the misfit written out anew."""
    fitted = fit(World(sets=4, set_sd=0.006, seed_sd=0.006), seed)
    found, levels = bent(fitted), fitted.levels
    inverse = np.linalg.inv(np.diag(levels.variance) + fitted.profile.shift_variance)
    t = float(student.ppf(0.975, levels.df))

    def excess(p: Floats, k: Floats) -> Floats:
        """The local exponent, or nothing where it is negative, summed over log k."""
        u = np.linspace(math.log10(levels.k[0] / MIDDLE), np.log10(k / MIDDLE), 400)
        local = np.maximum(p[0] + p[1] * u, 0)
        return np.asarray(10 ** -np.trapezoid(local, u, axis=0))

    def misfit(p: Floats) -> float:
        residual = levels.mean - p[2] - p[3] * excess(p, levels.k)
        return float(residual @ inverse @ residual + (p[1] * t / (BEND_SD * norm.ppf(0.975))) ** 2)

    def log_k(p: Floats) -> float:
        fall = math.log10(max(p[3], 1e-9) / max(0.14 - p[2], 1e-4))
        first = math.log10(levels.k[0] / MIDDLE)
        fall += p[0] * first + p[1] * first**2 / 2
        u = 2 * fall / (p[0] + math.sqrt(max(p[0] ** 2 + 2 * p[1] * fall, 0)))
        return math.log(MIDDLE) + u * math.log(10)

    laws: dict[str, Callable[[Floats], float]] = {
        "gap 2000": lambda p: float(p[2] + p[3] * excess(p, np.array(2000.0))),
        "gap 30": lambda p: float(p[2] + p[3] * excess(p, np.array(30.0))),
        "bend": lambda p: float(p[1]),
        "log required k": log_k,
    }
    mine = {
        "gap 2000": found.gap(2000),
        "gap 30": found.gap(30),
        "bend": found.bend,
        "log required k": found.required_k(0.14),
    }[quantity]
    best = np.array([found.best.exponent, found.best.bend, found.best.floor, found.best.amplitude])[:, 0]
    assert misfit(best) == pytest.approx(found.misfit, rel=1e-6)
    least = minimize(misfit, best, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000})
    assert found.misfit <= least.fun + 1e-3
    limit = found.misfit + t**2
    starts = best + np.random.default_rng(1).normal(0, [0.05, 0.1, 0.005, 0.005], (8, 4))
    bounds = [(0.08, 2.5), (-3, 3), (0, 1), (0, 2)]
    ends = range_within(laws[quantity], misfit, limit, list(np.maximum(starts, [0.08, -3, 0, 0])), bounds)
    assert_agree(mine, ends, logarithm=quantity.startswith("log"), share=0.02)


def test_a_level_that_leaves_no_upper_end_is_the_confidence_that_no_k_is_enough() -> None:
    """The confidence passes 2.5 % where the 95 % interval of the required k loses its upper end."""
    told = 0
    for drawn in range(12):
        found = bent(fit(World(), drawn))
        for target in np.linspace(0.06, 0.14, 9):
            chance = found.unreachable(float(target))
            if not 0.015 < chance < 0.035:
                assert (found.required_k(float(target)).high is None) == (chance > 0.025)
                told += 1
    assert told > 90


def test_what_is_foretold_of_bent_laws_holds_where_a_straight_law_does_not() -> None:
    """Bends drawn from the prior, 80 tables: the gap at 4 times the largest k."""
    random = np.random.default_rng(3)
    straight, allowed = [], []
    for drawn in range(80):
        world = BentWorld(floor=0.03, exponent=0.6, bend=random.normal(0, BEND_SD), set_sd=0.003, seed_sd=0.003)
        fitted, truth = fit(world, drawn), float(world.gap(2000.0)[0])
        straight.append(fitted.gap(2000).covers(truth))
        allowed.append(bent(fitted).gap(2000).covers(truth))
    assert np.mean(allowed) >= 0.90
    assert np.mean(straight) < np.mean(allowed) - 0.1


def test_the_straight_law_speaks_where_its_exponent_or_another_interval_was_asked_for() -> None:
    k, gap, sets, references = World().draw(0)
    for settings in ({"exponent": 0.5}, {"interval": "bayes"}, {"interval": "cluster_bootstrap"}):
        found = fit_scaling(k, gap, sets, reference_errors=references, **settings)  # type: ignore[arg-type]
        assert found.foretold is found
    assert isinstance(fit_scaling(k, gap, sets, reference_errors=references).foretold, BentFit)


def test_sets_that_agree_exactly_leave_the_best_law_at_least() -> None:
    """A misfit of 1e16 variances: rounding alone is more than the set's width."""
    for drawn in range(30):
        gaps = np.random.default_rng(drawn).normal(size=len(KS))
        found = bent(fit_scaling(np.repeat(KS, 2), np.repeat(gaps, 2), np.tile([0, 1], len(KS))))
        for one in (found.gap(1000), found.lowest_gap, found.bend):
            assert one.covers(one.estimate or 0.0)
        assert 0 <= found.unreachable(0.1) <= 1


def test_k_in_other_units_only_moves_what_is_foretold() -> None:
    k, gap, sets, references = World().draw(4)
    one = bent(fit_scaling(k, gap, sets, reference_errors=references))
    other = bent(fit_scaling(7 * k, gap, sets, reference_errors=references))
    assert other.bend.estimate == pytest.approx(one.bend.estimate, abs=1e-6)
    assert other.gap(7000).high == pytest.approx(one.gap(1000).high, rel=1e-6)
    assert other.required_k(0.14).estimate == pytest.approx(7 * (one.required_k(0.14).estimate or 0), rel=1e-6)


def test_where_noise_hides_that_gaps_end_below_zero_the_answer_says_what_it_would_be_if_they_did() -> None:
    """Floor -.02: the held law's interval can't hold the gap at 2,000, -.007; what the note says instead does."""
    world, told, inside = World(floor=-0.02, seed_sd=0.012), 0, 0
    for seed in range(30):
        k, gap, sets, references = world.draw(seed)
        found = fit_scaling(k, gap, sets, reference_errors=references)
        if found.offset:
            continue
        (note,) = held_at_zero(found, [0.01], [2000])
        free = found.unheld
        assert free is not None
        told += free.gap(2000).text(2) in note.message
        inside += free.gap(2000).covers(float(world.gap(2000)))
        assert not found.foretold.gap(2000).covers(float(world.gap(2000)))
    assert told >= 25
    assert inside >= 0.85 * told


def test_where_a_floor_is_seen_nothing_is_said_of_zero() -> None:
    for seed in range(10):
        k, gap, sets, references = World().draw(seed)
        found = fit_scaling(k, gap, sets, reference_errors=references)
        assert held_at_zero(found, [0.15, 0.12], [1000]) == []
    straight = fit_scaling(k, gap, sets, reference_errors=references, exponent=0.5)
    assert held_at_zero(straight, [0.01], [2000]) == []
