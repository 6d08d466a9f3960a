"""The bound on the excess loss, on models where every constant is known, and on real updates of every optimizer."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.dynamics import Dynamics, train
from limbeck.laws.contraction import contraction
from limbeck.laws.decomposition import decompose, recursion
from limbeck.laws.first_order import first_order
from limbeck.laws.notes import PathCode
from limbeck.measures.alignment import alignment, walk
from limbeck.measures.contraction import find_optimum, lower_end, smoothness
from limbeck.measures.decomposition import measure
from limbeck.measures.fluctuation import gradient_variance, subset_control
from limbeck.measures.objective import Objective
from limbeck.measures.passage import Optimum, Passage
from limbeck.samples import Domain, Samples
from limbeck.streams import stream
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs

RIDGE = 0.04  # on each of two logit vectors: 0.02 on their difference, the weight of a logistic regression


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Linear(shape[0], classes, bias=False)


def quadratic(curvatures: np.ndarray, rate: float, errors: np.ndarray, start: np.ndarray) -> tuple[Passage, float]:
    """Descent on L = sum h_i x_i^2 / 2 with the given errors of the gradient (steps, p), and the last loss."""
    x, rows = start, []
    loss = lambda z: float((curvatures * z**2).sum() / 2)  # noqa: E731
    for step, error in enumerate(errors):
        gradient = curvatures * x
        after = x - rate * (gradient + error)
        squares = [float((v**2).sum()) for v in (gradient, error, error, gradient + error)]
        rows.append([step, 1, rate, loss(x), loss(after), 0, *squares, math.nan, math.nan])
        x = after
    columns = [np.array(column, float) for column in zip(*rows, strict=True)]
    return Passage(*columns, samples=10, population=100), loss(x)


def test_on_an_isotropic_quadratic_the_bound_has_a_closed_form() -> None:
    """mu = beta = h: the bound's recursion has constant coefficients, and at rate = 1 / h it is exact."""
    h, steps = 0.5, 12
    errors = np.array([[0.3, -0.1], [-0.3, 0.1]] * (steps // 2))
    for rate in (0.4, 1 / h):
        passage, last = quadratic(np.full(2, h), rate, errors, np.array([2.0, 1.0]))
        np.testing.assert_allclose(passage.mu(0.0), h, rtol=1e-10)
        np.testing.assert_allclose(passage.curvature, h, rtol=1e-9)
        found = recursion(passage, 0.0, last)
        left = (1 - rate * h) ** steps
        error = 0.3**2 + 0.1**2
        assert found.residual == pytest.approx(left * passage.loss[0], rel=1e-9, abs=1e-15)
        assert found.matching == pytest.approx(error / (2 * h) * (1 - left), rel=1e-9)
        assert found.bound[-1] == pytest.approx(found.residual + found.matching, rel=1e-9)
        assert found.update == 0.0
        assert found.curvature == pytest.approx(0.0, abs=1e-12)
        assert found.slack.min() >= -1e-12
    assert found.tightness == pytest.approx(1.0, abs=1e-9)


def test_steps_longer_than_the_curvature_allows_are_paid_for_and_the_bound_still_holds() -> None:
    random = np.random.default_rng(0)
    curvatures = np.array([0.1, 1.0, 4.0])
    passage, last = quadratic(curvatures, 0.45, 0.1 * random.normal(size=(40, 3)), np.array([3.0, 1.0, 0.5]))
    found = recursion(passage, 0.0, last)
    assert found.longest > 1
    assert found.curvature > 0
    assert found.slack.min() >= -1e-12
    parts = found.residual + found.matching + found.update + found.curvature
    assert parts == pytest.approx(found.bound[-1], rel=1e-10)


def test_the_first_order_bound_is_exact_where_errors_agree_and_the_loss_is_linear_in_them() -> None:
    """On an isotropic quadratic with one error throughout, |x^S - x^D| = |e| / h (1 - (1 - rate h)^T) exactly."""
    h, rate, steps, start = 0.5, 0.4, 12, np.array([2.0, 1.0])
    error = np.array([0.3, -0.1])
    passage, last = quadratic(np.full(2, h), rate, np.tile(error, (steps, 1)), start)
    _, without = quadratic(np.full(2, h), rate, np.zeros((steps, 2)), start)
    left = (1 - rate * h) ** steps
    apart = float(np.linalg.norm(error)) / h * (1 - left)
    found = first_order(passage, h, last - without, steepness=1.0)
    assert found.bound == pytest.approx(apart, rel=1e-10)
    ends = [left * start - (1 - left) / h * error, left * start]
    assert float(np.linalg.norm(ends[0] - ends[1])) == pytest.approx(found.bound, rel=1e-9)
    own = first_order(passage, h, last - without)
    assert own.steepness == pytest.approx(h * float(np.linalg.norm(start)), rel=1e-9)  # steepest at the start
    assert own.holds
    assert own.constant is None


def test_the_first_order_bound_holds_where_the_map_contracts_and_says_where_it_does_not() -> None:
    """Curvatures .1 to 2 at rate .9 <= 2 / (mu + beta): the map brings points together by 1 - rate mu."""
    random = np.random.default_rng(2)
    curvatures, start = np.array([0.1, 0.7, 2.0]), np.array([3.0, -1.0, 0.5])
    for scale in (0.05, 0.5):
        passage, last = quadratic(curvatures, 0.9, scale * random.normal(size=(30, 3)), start)
        _, without = quadratic(curvatures, 0.9, np.zeros((30, 3)), start)
        found = first_order(passage, 0.1, last - without, steepness=float(np.sqrt(passage.gradient.max())))
        assert found.holds
        assert found.tightness < 200
    flat = first_order(passage, 5.0, last - without, steepness=1e-3)
    assert not flat.holds
    assert flat.to_dict()["holds"] is False


def logistic(n: int, steps: int) -> tuple[Dynamics, Samples, float]:
    """L2-regularised logistic regression of 20 features, descended at 1 / beta, and its lowest loss."""
    generator, features = stream(0, "logistic"), 20
    truth = torch.randn(features, generator=generator, dtype=torch.float64)
    x = torch.randn(n, features, generator=generator, dtype=torch.float64) / features**0.5
    chance = torch.sigmoid(x @ (3 * truth / truth.norm() * features**0.5))
    labels = (torch.rand(n, generator=generator, dtype=torch.float64) < chance).long()
    samples = Samples.hard(x, labels, 2)
    # Both logits move: the Hessian of the difference counts twice.
    beta = 2 * float(torch.linalg.eigvalsh(x.T @ x / n)[-1]) / 4 + RIDGE
    rule = f"sgd(lr={1 / beta}, momentum=0.0, weight_decay={RIDGE})/constant(steps={steps}, batch={n})"
    dynamics = Dynamics(f"test_decomposition:linear/{rule}", Domain((features,), 2), dtype=torch.float64)
    end = train(dynamics, samples, 0, steps=500).state
    return dynamics, samples, Objective(dynamics, samples).value(end)


def test_the_published_lemma_on_logistic_regression_reproduces_the_planned_figures() -> None:
    """Lemma 1 with mu = ridge is never violated and 1.6 times loose; with the path's own mu 1.0 times; excess ~ 1/k."""
    dynamics, data, optimum = logistic(n=2000, steps=60)
    excess = {}
    for k in (10, 100, 300):
        found = []
        for seed in range(4):
            own = data[torch.randperm(len(data), generator=stream(seed, "subset"))[:k]]
            passage, end = walk(dynamics, own, data, seed, variances=0)
            last = Objective(dynamics, data).value(end)
            mu = passage.mu(optimum)
            assert mu.min() >= RIDGE * (1 - 1e-9)
            known, own_mu = recursion(passage, optimum, last, mu=RIDGE), recursion(passage, optimum, last)
            for one in (known, own_mu):
                assert one.slack.min() >= -1e-12
                assert one.longest <= 1
                assert one.update == pytest.approx(0.0, abs=1e-12)
                assert one.curvature == 0.0
            found.append((own_mu.excess[-1], known.tightness, own_mu.tightness, float(np.median(mu))))
        excess[k], known_ratio, path_ratio, median = np.mean(found, axis=0)
        assert known_ratio == pytest.approx(1.6, abs=0.1)
        assert 1.0 - 1e-9 <= path_ratio <= 1.1
        assert median / 2 == pytest.approx(0.031, abs=0.003)
    slope = np.polyfit(np.log(list(excess)), np.log(list(excess.values())), 1)[0]
    assert slope == pytest.approx(-0.94, abs=0.1)


def test_both_rates_on_logistic_regression_first_order_as_the_root_of_second() -> None:
    """Strongly convex with mu = ridge: both bounds hold for every subset; in k they fall as k^-1/2 and as 1/k."""
    dynamics, data, optimum = logistic(n=2000, steps=60)
    reference = Objective(dynamics, data).value(train(dynamics, data, 0).state)
    sizes, bounds = (10, 40, 160), []
    for k in sizes:
        found = []
        for seed in range(4):
            own = data[torch.randperm(len(data), generator=stream(seed, "subset"))[:k]]
            passage, end = walk(dynamics, own, data, seed, variances=2)
            last = Objective(dynamics, data).value(end)
            one = first_order(passage, RIDGE, last - reference)
            assert one.holds
            assert one.constant is not None
            assert one.random == pytest.approx(one.constant * math.sqrt(1 / k - 1 / 2000), rel=1e-12)
            second = recursion(passage, optimum, last, mu=RIDGE)
            found.append((one.bound / one.steepness, one.random / one.steepness, second.matching))
        bounds.append(np.mean(found, axis=0))
    first, random, second = np.polyfit(np.log(sizes), np.log(bounds), 1)[0]
    assert first == pytest.approx(-0.5, abs=0.1)
    assert random == pytest.approx(-0.5, abs=0.1)
    assert second == pytest.approx(-1.0, abs=0.2)
    assert np.exp(np.mean(np.log(np.array(bounds)[:, 0] / np.array(bounds)[:, 1]))) == pytest.approx(1.0, abs=0.25)


def test_recursion_holds_for_every_optimizer_on_a_network() -> None:
    """Momentum, Nesterov, mini-batches, coupled and decoupled decay, adaptive metrics: one inequality for all."""
    source = blobs(counts=(40, 40, 40))
    own = source.train[torch.randperm(len(source.train), generator=stream(0, "own"))[:20]]
    rules = [
        "sgd(lr=0.05, momentum=0.9, weight_decay=1e-3)", "sgd(lr=0.1, momentum=0.9, nesterov=true)",
        "adam(lr=5e-3, weight_decay=1e-3)", "adamw(lr=5e-3, weight_decay=0.1)",
    ]  # fmt: skip
    for rule in rules:
        text = f"mlp(width=8, depth=1, activation=tanh)/{rule}/cosine(steps=40, batch=12)"
        dynamics = Dynamics(text, source.domain, dtype=torch.float64)
        passage, end = walk(dynamics, own, source.train, 3, variances=0)
        last = Objective(dynamics, source.train.to(dtype=torch.float64)).value(end)
        found = recursion(passage, 0.0, last)
        assert passage.exact
        assert found.slack.min() >= -1e-9, rule
        assert abs(found.update) > 1e-6, rule
        parts = found.residual + found.matching + found.update + found.curvature
        assert parts == pytest.approx(found.bound[-1], rel=1e-9)
        assert found.tightness < 50


def test_in_the_optimizer_s_norm_the_direction_of_adamw_is_a_gradient() -> None:
    """Without momentum and decay d is the set's own gradient, so all of |d - g_D|^2 is mismatch, in Adam's norm too."""
    source = blobs(shape=(6,), counts=(30, 30))
    own = source.train[:15]
    for rule in ("adamw(betas=[0.0, 0.999], weight_decay=0)", "sgd(momentum=0.0)"):
        dynamics = Dynamics(f"mlp(width=4, depth=1)/{rule}/cosine(steps=15)", source.domain, dtype=torch.float64)
        passage, _ = walk(dynamics, own, source.train, 0, variances=0)
        np.testing.assert_allclose(passage.error, passage.mismatch, rtol=1e-6)
    euclid, _ = walk(dynamics, own, source.train, 0, variances=0, preconditioned=False)
    np.testing.assert_allclose(euclid.mismatch, passage.mismatch, rtol=1e-12)


def test_random_samples_fluctuate_by_the_lemma_exactly() -> None:
    """Over all subsets of 3 of 9 samples, E|g_S - g_D|^2 = sigma^2 (1/3 - 1/9); within classes likewise."""
    source = blobs(shape=(4,), counts=(30, 30, 30))
    index = torch.cat([(source.train.group == label).nonzero().flatten()[:3] for label in range(3)])
    data = source.train[index].to(dtype=torch.float64)
    dynamics = Dynamics("mlp(width=4, depth=1)/adamw/cosine", source.domain, dtype=torch.float64)
    state = dynamics.initial(0)
    metric = torch.rand(len(state.vector), generator=stream(0, "metric"), dtype=torch.float64) + 0.5
    total, within = gradient_variance(dynamics, state, data, metric, chunk=4)
    _, full = Objective(dynamics, data).at(state)

    def squared(chosen: tuple[int, ...]) -> float:
        _, own = Objective(dynamics, data[torch.tensor(chosen)]).at(state)
        return float(((own - full).square() / metric).sum())

    uniform = [squared(chosen) for chosen in itertools.combinations(range(9), 3)]
    assert np.mean(uniform) == pytest.approx(total * (1 / 3 - 1 / 9), rel=1e-9)
    balanced = [squared(chosen) for chosen in itertools.product(range(3), range(3, 6), range(6, 9))]
    assert np.mean(balanced) == pytest.approx(within * (1 / 3 - 1 / 9), rel=1e-9)
    drawn = subset_control(dynamics, state, data, 3, draws=400, metric=metric)
    error = float(drawn.std()) / 20
    assert float(drawn.mean()) == pytest.approx(total * (1 / 3 - 1 / 9), abs=4 * error)


def test_effective_samples_of_a_random_set_are_its_own_number_and_of_the_data_all() -> None:
    source = blobs(shape=(4,), counts=(40, 40))
    dynamics = Dynamics("mlp(width=4, depth=1)/sgd(lr=1e-6)/constant(steps=3)", source.domain, dtype=torch.float64)
    inverse = []
    for seed in range(60):
        own = source.train[torch.randperm(len(source.train), generator=stream(seed, "own"))[:10]]
        passage, _ = walk(dynamics, own, source.train, 0, variances=1)
        inverse.append(1 / passage.effective_samples())
    error = np.std(inverse) / math.sqrt(len(inverse))
    assert np.mean(inverse) == pytest.approx(1 / 10, abs=4 * error)
    whole, _ = walk(dynamics, source.train, source.train, 0, variances=1)
    assert whole.discrepancy() == pytest.approx(0.0, abs=1e-20)
    assert whole.effective_samples() == pytest.approx(len(source.train), rel=1e-9)
    assert alignment(dynamics, own, source.train, 0) == passage.discrepancy()


def test_weights_are_those_of_the_lemma_and_a_sampled_path_stands_for_all_its_steps() -> None:
    source = blobs(shape=(4,), counts=(40, 40))
    dynamics = Dynamics("mlp(width=4, depth=1)/sgd/constant(steps=12)", source.domain, dtype=torch.float64)
    passage, _ = walk(dynamics, source.train[:8], source.train, 0, variances=0)
    mu = 3.0
    rate = 0.01 / (1 - 0.9)
    lemma = rate * mu * (1 - rate * mu) ** (11 - np.arange(12))
    np.testing.assert_allclose(passage.weights(mu), lemma / lemma.sum(), rtol=1e-12)
    np.testing.assert_allclose(passage.weights(), 1 / 12, rtol=1e-12)
    sampled, _ = walk(dynamics, source.train[:8], source.train, 0, every=4, variances=0)
    np.testing.assert_allclose(sampled.weights(mu), (lemma / lemma.sum()).reshape(3, 4).sum(1), rtol=1e-12)
    assert not sampled.exact
    np.testing.assert_allclose(sampled.loss, passage.loss[::4], rtol=1e-12)


def test_smoothness_is_the_largest_eigenvalue_in_the_optimizer_s_norm() -> None:
    source = blobs(shape=(3,), counts=(30, 30))
    data = source.train.to(dtype=torch.float64)
    text = "mlp(width=3, depth=1, activation=tanh)/sgd(weight_decay=0.1)/cosine"
    dynamics = Dynamics(text, source.domain, dtype=torch.float64)
    state = dynamics.initial(0)
    metric = torch.rand(len(state.vector), generator=stream(1, "metric"), dtype=torch.float64) + 0.5

    def loss(vector: Tensor) -> Tensor:
        return dynamics.loss(vector, {}, data.x, data.y) + 0.05 * vector.square().sum()

    hessian = torch.func.hessian(loss)(state.vector) / torch.outer(metric.sqrt(), metric.sqrt())
    largest = float(torch.linalg.eigvalsh(hessian).abs().max())
    assert smoothness(dynamics, state, data, metric, iterations=200) == pytest.approx(largest, rel=1e-6)


def test_objective_is_what_is_trained_in_chunks_views_and_batch_norm() -> None:
    source = blobs(counts=(30, 30, 30))
    data = source.train.to(dtype=torch.float64)
    for text in ("mlp(width=4)/adam(weight_decay=0.1)", "convnet(width=4, depth=1, norm=batch)/sgd"):
        dynamics = Dynamics(text, source.domain, dtype=torch.float64)
        state = dynamics.initial(0)
        kept = {name: buffer.clone() for name, buffer in state.buffers.items()}
        value, gradient = Objective(dynamics, data, chunk=7).at(state)
        vector = state.vector.clone().requires_grad_()
        penalty = dynamics.configuration.optimizer.penalty
        loss = dynamics.loss(vector, {name: b.clone() for name, b in kept.items()}, data.x, data.y)
        loss = loss + penalty / 2 * vector.square().sum()
        assert value == pytest.approx(float(loss.detach()), rel=1e-12)
        torch.testing.assert_close(gradient, torch.autograd.grad(loss, vector)[0], rtol=1e-10, atol=1e-14)
        assert all(torch.equal(buffer, kept[name]) for name, buffer in state.buffers.items())
    viewed = Dynamics("mlp(width=4)/sgd/siamese", source.domain, dtype=torch.float64)
    objective = Objective(viewed, data, views=3)
    assert objective.value(viewed.initial(0)) == objective.value(viewed.initial(0))
    assert objective.value(viewed.initial(0)) != Objective(viewed, data, views=1).value(viewed.initial(0))


def test_lower_end_of_a_loss_is_found_and_never_below_its_bound() -> None:
    dynamics, data, optimum = logistic(n=300, steps=20)
    found, state = find_optimum(dynamics, data, 0)
    assert state.step == 20
    assert found.value == pytest.approx(optimum, rel=0.02)
    assert found.lowest >= optimum - 1e-12
    assert found.value >= found.bound == 0.0
    power = [0.2 + 0.7 * length**-0.4 for length in (1, 2, 4)]
    assert lower_end(*power, bound=0.0).value == pytest.approx(0.2, rel=1e-9)
    assert lower_end(0.5, 0.4, 0.45, bound=0.1).value == 0.1  # noise: nothing can be extrapolated


def test_pl_constants_on_a_planted_path() -> None:
    """mu is the quadratic's own; where |g|^2 ~ (L - L*)^1.5 the slope says so and no constant is claimed."""
    random = np.random.default_rng(1)
    passage, _ = quadratic(np.full(2, 0.3), 0.1, 0.01 * random.normal(size=(80, 2)), np.array([2.0, 1.0]))
    found = contraction(passage, Optimum(0.0, 0.0, 0.0))
    assert found.smallest == pytest.approx(0.3, rel=1e-9)
    assert found.slope.estimate == pytest.approx(1.0, abs=1e-9)
    assert found.intercept == pytest.approx(math.log(2 * 0.3), abs=1e-9)
    assert "PL holds on the visited path" in found.verdict
    weaker = [
        Passage(**{**vars(passage), "gradient": passage.loss**1.5 * np.exp(0.05 * random.normal(size=80))})
        for _ in range(4)
    ]
    slow = contraction(weaker, Optimum(0.0, 0.0, 0.0))
    assert slow.slope.covers(1.5)
    assert slow.slope.low is not None
    assert slow.slope.low > 1.3
    assert "mu shrinks with the loss" in slow.verdict
    assert slow.paths == 4
    unsure = contraction(passage, Optimum(lowest=0.02, remainder=0.015, bound=0.0))
    assert [note.code for note in unsure.notes] == [PathCode.optimum_extrapolated]


def test_decomposition_of_a_real_gap_adds_up_and_says_what_to_do() -> None:
    source = blobs(counts=(40, 40, 40), spread=2.0)
    own = source.train[torch.randperm(len(source.train), generator=stream(0, "own"))[:6]]
    made = SyntheticSet({"pixels": own.x}, own.group, "pixels", source.domain, source.preprocessing.about(), "random")
    short, long = (
        decompose(measure(made, source, f"mlp(width=8, depth=1)/sgd(lr={lr}, momentum=0.0)/constant(steps={steps})"))
        for lr, steps in ((0.01, 10), (0.2, 120))
    )
    for found in (short, long):
        assert found.violations == 0
        assert found.bound >= found.excess
        parts = found.residual + found.matching + found.update + found.curvature
        assert parts == pytest.approx(found.bound, rel=1e-9)
        assert found.first_order.measured == pytest.approx(abs(found.excess - found.reference_residual), rel=1e-9)
        assert found.to_dict()["first_order"]["mu"] == found.pl.smallest
        # Lemma 2 is an identity before the bound is taken.
        assert found.gap_loss == pytest.approx(found.excess - found.reference_residual + found.generalisation, abs=1e-9)
        assert found.to_dict()["pl"]["slope"]["estimate"] is not None
    sampled = decompose(
        measure(made, source, "mlp(width=8, depth=1)/sgd(lr=3.0, momentum=0.0)/constant(steps=9)", every=3)
    )
    assert {note.code for note in sampled.notes} >= {PathCode.path_sampled, PathCode.edge_of_stability}
    assert sampled.to_dict()["notes"][0]["code"] in list(PathCode)
    assert short.residual > short.matching
    assert "train longer" in short.advice[0]
    assert long.matching > long.residual
    assert long.fluctuation is not None
    assert long.effective_samples is not None
    assert 0 < long.effective_samples < len(source.train)
