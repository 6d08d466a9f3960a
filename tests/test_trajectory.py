"""Trajectory matching and its experts: TESLA is its own formula and no more, flat experts step as SAM does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from limbeck.distillation import Task, distill
from limbeck.dynamics import Dynamics, State, soft_cross_entropy
from limbeck.errors import BadSetting, NotApplicable
from limbeck.methods.datm import DATM
from limbeck.methods.ftd import FTD
from limbeck.methods.tesla import TESLA
from limbeck.pool import Pool
from limbeck.samples import Domain, Samples
from limbeck.states import ExpertPlan, Scene, buffers_on
from limbeck.states.experts import ExpertSegments, SharpnessAware, train_expert
from limbeck.study import Facts, Study
from limbeck.surrogates import Moment
from limbeck.surrogates.trajectory import Trajectory
from limbeck.testing.blobs import blobs
from limbeck.unrolling import Memory
from limbeck.variants import make

IMAGES = Domain((1, 8, 8), 3)
VECTORS = Domain((5,), 3)


def some_samples(domain: Domain, count: int = 9) -> Samples:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, *domain.shape, generator=generator, dtype=torch.float64)
    return Samples.hard(x, torch.arange(count) % domain.classes, domain.classes)


def gradients(
    memory: Memory, dynamics: Dynamics, samples: Samples, moment_target: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The surrogate after eight steps, and its gradients in pixels and step size."""
    pixels = samples.x.clone().requires_grad_()
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    moment = Moment(dynamics, dynamics.initial(2), seed=3, target=moment_target, learned={"step_size": rate})
    surrogate = Trajectory(synthetic_steps=8, memory=memory)
    value = surrogate.value(moment, Samples(pixels, samples.y, samples.group), samples)
    return value.detach(), *torch.autograd.grad(value, [pixels, rate])


def relative_error(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / second.norm())


def test_tesla_is_the_gradient_of_its_published_formula_and_not_the_exact_one() -> None:
    dynamics = Dynamics("convnet(width=4, depth=2)/sgd(momentum=0.0)/constant", IMAGES, dtype=torch.float64)
    samples = some_samples(IMAGES)
    start = dynamics.initial(2)
    target = start.vector + torch.linspace(-1, 1, len(start.vector), dtype=torch.float64)
    value, pixels, rate = gradients("tesla", dynamics, samples, target)
    exact_value, exact_pixels, exact_rate = gradients("constant", dynamics, samples, target)

    # |theta_0 - beta G - target|^2 / |theta_0 - target|^2 with every theta_i inside G held fixed.
    x = samples.x.clone().requires_grad_()
    beta = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    vector, total = start.vector, torch.zeros_like(start.vector)
    for _ in range(8):
        held = vector.detach().requires_grad_()
        loss = soft_cross_entropy(dynamics.network.logits(held, start.buffers, x), samples.y)
        (gradient,) = torch.autograd.grad(loss, held, create_graph=True)
        total = total + gradient
        vector = vector - 0.1 * gradient.detach()
    formula = ((start.vector - beta * total - target) ** 2).sum() / ((start.vector - target) ** 2).sum()
    expected_pixels, expected_rate = torch.autograd.grad(formula, [x, beta])

    torch.testing.assert_close(value, formula.detach(), rtol=1e-12, atol=0)
    assert relative_error(pixels, expected_pixels) < 1e-10
    assert relative_error(rate, expected_rate) < 1e-10
    torch.testing.assert_close(value, exact_value, rtol=1e-12, atol=0)
    assert relative_error(pixels, exact_pixels) > 0.05
    assert relative_error(rate, exact_rate) > 0.05


def test_tesla_is_refused_where_its_formula_is_not_written() -> None:
    dynamics = Dynamics("mlp(width=4)/sgd(momentum=0.9)/constant", VECTORS, dtype=torch.float64)
    with pytest.raises(NotApplicable, match="memory=constant"):
        gradients("tesla", dynamics, some_samples(VECTORS), torch.zeros(1))


def test_a_flat_step_is_a_plain_step_up_and_a_plain_step_taken_from_there() -> None:
    plain = Dynamics("mlp(width=6, depth=1, activation=tanh)/sgd(lr=0.1, momentum=0.0)/constant", VECTORS,
                     dtype=torch.float64)  # fmt: skip
    samples, radius = some_samples(VECTORS), 0.05
    state = plain.initial(1)
    slope = (state.vector - plain.step(state, samples.x, samples.y, rate=1.0).vector).norm()
    climbed = plain.step(state, samples.x, samples.y, rate=-radius / slope)
    assert (climbed.vector - state.vector).norm() == pytest.approx(radius)
    pulled = plain.step(plain.restarted(climbed.vector), samples.x, samples.y).vector - climbed.vector
    flat = SharpnessAware(plain, radius).step(state, samples.x, samples.y).vector
    torch.testing.assert_close(flat, state.vector + pulled, rtol=1e-10, atol=1e-12)


def test_the_surrogate_gap_takes_away_what_is_orthogonal_to_the_flat_direction() -> None:
    plain = Dynamics("mlp(width=6, depth=1, activation=tanh)", VECTORS, dtype=torch.float64)
    samples, vector = some_samples(VECTORS), plain.initial(1).vector.requires_grad_()
    inputs = (vector, {}, samples.x, samples.y)
    here = plain.gradient(*inputs)
    sam, gsam = (SharpnessAware(plain, 0.2, gap).gradient(*inputs) for gap in (0.0, 0.3))
    across = (sam - gsam) / 0.3
    assert across.norm() > 1e-3 * here.norm()
    assert float(across @ sam) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(across, here - (here @ sam) / (sam @ sam) * sam, rtol=1e-9, atol=1e-12)


def test_a_flat_expert_ends_where_a_step_uphill_costs_less() -> None:
    source = blobs((6,), (40, 40, 40), spread=1.5)
    dynamics = Dynamics("mlp(width=32, depth=1)/sgd(lr=0.2, momentum=0.0)/constant(batch=32)", source.domain)

    def rise(radius: float) -> float:
        plan = ExpertPlan(dynamics.configuration, epochs=60, count=1, every=60, radius=radius)
        rises = []
        for number in range(3):
            end = train_expert(plan, dynamics, source.train, number)[-1].requires_grad_()
            inputs = ({}, source.train.x, source.train.y)
            slope = dynamics.gradient(end, *inputs)
            above = dynamics.loss(end + 0.5 * slope / slope.norm(), *inputs)
            rises.append(float((above - dynamics.loss(end, *inputs)).detach()))
        return sum(rises) / len(rises)

    assert rise(0.5) < 0.8 * rise(0.0)


def test_experts_keep_the_start_and_every_so_many_epochs() -> None:
    source = blobs((6,), (20, 20, 20))
    dynamics = Dynamics("mlp(width=4)/sgd/constant(batch=16)", source.domain)
    every = ExpertPlan(dynamics.configuration, epochs=6, count=1)
    third = ExpertPlan(dynamics.configuration, epochs=6, count=1, every=3)
    full, thinned = (train_expert(plan, dynamics, source.train, 4) for plan in (every, third))
    assert len(full) == every.checkpoints == 7
    assert len(thinned) == third.checkpoints == 3
    assert torch.equal(thinned, full[::3])


def test_a_plan_reads_back_from_the_settings_that_name_its_cells() -> None:
    plan = ExpertPlan(make_configuration(), epochs=7, count=1, every=2, radius=0.01, surrogate_gap=0.3)
    assert ExpertPlan.read({**plan.settings(), "number": 3}) == plan
    changed = ["epochs", "every", "radius", "surrogate_gap"]
    assert all(key in plan.settings() for key in [*changed, "configuration"])


def make_configuration():  # type: ignore[no-untyped-def]
    return Dynamics("mlp(width=4)/sgd", VECTORS).configuration


def test_the_band_of_starts_grows_on_a_straight_line_to_its_end() -> None:
    states = ExpertSegments(epochs=30, ahead=3, min_start=2, max_start=20, first_max_start=10, growth=100)
    assert [states.upper_end(step) for step in (0, 50, 100, 10_000)] == [10, 15, 20, 20]
    assert ExpertSegments(epochs=5, ahead=3, max_start=20).upper_end(0) == 3
    with pytest.raises(BadSetting, match="no segment"):
        ExpertSegments(epochs=5, ahead=3, min_start=3).check()


def test_running_statistics_are_those_of_the_data() -> None:
    """On a first batch norm behind a linear layer, mean and variance have a closed form."""
    source = blobs((6,), (60, 60, 60))
    dynamics = Dynamics("mlp(width=4, depth=1, norm=batch)", source.domain, dtype=torch.float64)
    vector = dynamics.initial(0).vector
    buffers = buffers_on(dynamics, vector, source.train)
    data = source.train.x.double()
    weights = dynamics.network.unflatten(vector)
    hidden = data @ weights["1.weight"].T + weights["1.bias"]
    assert len(data) <= 256, "one batch, whose statistics are the data's"
    torch.testing.assert_close(buffers["2.running_mean"], hidden.mean(0))
    torch.testing.assert_close(buffers["2.running_var"], hidden.var(0))
    assert all(norm.momentum == 0.1 for norm in dynamics.network.module if isinstance(norm, torch.nn.BatchNorm1d))


def test_datm_starts_from_samples_that_experts_get_right_and_their_mean_logits() -> None:
    source = blobs((6,), (40, 40, 40), spread=2.0)
    method = DATM(judges=3, experts=3, expert_epochs=40, max_start=1, first_max_start=1, expert_lr=0.5)
    dynamics = Dynamics(method.dynamics_configuration(make_configuration(), source.domain, 5), source.domain)
    plan = method.expert_plan(dynamics)
    assert (plan.radius, plan.surrogate_gap) == (0.01, 0.3)
    trained = Dynamics(plan.configuration, source.domain)
    experts = cache(lambda number: train_expert(plan, trained, source.train, number))
    begun = method.begin(source, Scene(dynamics, source.train, 5, experts), per_class=5)
    assert torch.bincount(begun.group).tolist() == [5, 5, 5]
    for x, y, group in zip(begun.x, begun.y, begun.group, strict=True):
        logits = torch.stack([dynamics.network.logits(experts(n)[-1], {}, x[None])[0] for n in range(3)])
        right = logits.argmax(1) == group
        assert right.sum() >= 2
        torch.testing.assert_close(y, torch.softmax(logits[right].mean(0), 0), rtol=1e-4, atol=1e-6)


def test_a_surrogate_above_the_ceiling_moves_nothing_and_one_below_it_does() -> None:
    source = blobs((6,), (20, 20, 20))
    settings = {"experts": 1, "expert_epochs": 4, "max_start": 2, "first_max_start": 1, "synthetic_steps": 2}
    configuration = "mlp(width=4)/adam/constant(steps=5)"
    for ceiling, moved in ((1e6, True), (1e-6, False)):
        method = DATM(**settings, lr_pixels=1.0, ceiling=ceiling)
        task = Task.prepare(
            source, method, configuration, Pool.of([configuration], "equal"), 2, 0, None, "cpu", torch.float32
        )
        run = task.start()
        task.advance(run, 9)
        if moved:  # with something in the momenta, which an update left out would spend
            method = method.with_settings(ceiling=1e-6)
            task = replace(task, method=method)
        before = ({n: t.clone() for n, t in run.tensors.items()}, dict(run.moments))
        task.advance(run, 9)
        assert run.step == 2
        assert all(torch.equal(run.tensors[name], tensor) for name, tensor in before[0].items())
        assert all(torch.equal(a, b) for n, own in before[1].items() for a, b in zip(own, run.moments[n], strict=True))
        assert any(moment.abs().sum() > 0 for own in run.moments.values() for moment in own) == moved


def test_tesla_learns_under_the_labels_of_the_expert_whose_segment_it_matches() -> None:
    source = blobs((6,), (20, 20, 20))
    dynamics = Dynamics("mlp(width=4)/sgd(momentum=0.0)/constant", source.domain, dtype=torch.float64)
    state = dynamics.initial(0)
    target = dynamics.initial(1).vector
    moment = Moment(dynamics, state, target=target, learned={"step_size": torch.tensor(0.1, dtype=torch.float64)})
    scene = Scene(dynamics, source.train, 0)
    given = source.train[:6].to(dtype=torch.float64)
    said = torch.softmax(dynamics.network.logits(target, {}, given.x), 1)
    soft, plain = (TESLA(synthetic_steps=2, augmentation="none", labels=labels) for labels in ("soft", "hard"))
    value = soft.value(scene, moment, given, 0)
    torch.testing.assert_close(value, plain.value(scene, moment, replace(given, y=said), 0))
    assert value != plain.value(scene, moment, given, 0)


def test_a_running_average_competes_on_validation_and_its_first_steps_are_a_plain_mean() -> None:
    source = blobs((6,), (20, 20, 20))
    settings = {"experts": 1, "expert_epochs": 3, "ahead": 1, "max_start": 2, "synthetic_steps": 2, "lr_pixels": 1.0}
    made = distill(source, FTD(**settings), "mlp(width=4)/adam/constant(steps=5)", 2, steps=4, candidates=2)
    candidates = made.provenance["candidates"]
    assert [candidate.get("average", False) for candidate in candidates] == [False, False, True, False, True]
    assert [candidate["step"] for candidate in candidates] == [0, 2, 2, 4, 4]


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_without_validation_the_running_average_is_the_set(average: float) -> None:
    source = blobs((6,), (20, 20, 20))
    settings = {"experts": 1, "expert_epochs": 3, "ahead": 1, "max_start": 2, "synthetic_steps": 2, "lr_pixels": 1.0}
    steps = [
        distill(source, FTD(**settings, average=0.0), "mlp(width=4)/adam", 2, steps=n, candidates=1) for n in (1, 2, 3)
    ]
    made = distill(source, FTD(**settings, average=average), "mlp(width=4)/adam", 2, steps=3, candidates=1)
    for name in ("pixels", "step_size"):
        first, second, third = (step.tensors[name] for step in steps)
        expected = third if average == 0 else third / 2 + (first + second) / 4
        torch.testing.assert_close(made.tensors[name], expected, rtol=1e-5, atol=1e-6)


def test_two_seeds_of_one_expert_differ_and_one_seed_is_one_expert() -> None:
    source = blobs((6,), (20, 20, 20))
    dynamics = Dynamics("mlp(width=4)/sgd/constant(batch=16)", source.domain)
    plan = ExpertPlan(dynamics.configuration, epochs=2, count=2, radius=0.05)
    first, again, other = (train_expert(plan, dynamics, source.train, number) for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], other[0])


def test_a_state_with_all_its_moments_survives_being_carried() -> None:
    from limbeck.states import carried, restored

    dynamics = Dynamics("convnet(width=4, depth=1, norm=batch)/adam", IMAGES)
    samples = some_samples(IMAGES).to(dtype=torch.float32)
    state: State = dynamics.step(dynamics.initial(0), samples.x, samples.y)
    held = carried(state, "3.") | carried(dynamics.initial(1), "4.")
    back = restored(held, "3.")
    assert (back.step, back.since_restart) == (1, 1)
    assert torch.equal(back.vector, state.vector)
    assert len(back.moments) == 2
    assert all(torch.equal(one, other) for one, other in zip(back.moments, state.moments, strict=True))
    assert back.buffers.keys() == state.buffers.keys()
    assert all(torch.equal(back.buffers[name], state.buffers[name]) for name in state.buffers)


@pytest.mark.parametrize("spec", ["tesla", "tesla(labels=soft)", "ftd", "datm"])
def test_every_recipe_is_one_of_the_folder(spec: str) -> None:
    assert make("methods", spec).spec == spec


def test_methods_share_experts_that_are_trained_alike_and_no_others() -> None:
    """By content: mtt and tesla walk along the same experts, flat ones are others, teachers are kept at their ends."""
    study = Study.read(
        """
        name = "shared"
        methods = ["mtt(experts=2)", "tesla(experts=2)", "ftd(experts=2)", "datm(experts=2)", "sre2l", "rded"]
        per_class = [1, 2]
        configurations = ["convnet(width=4, depth=1, norm=batch)"]
        sets = 1
        """
    )
    facts = Facts("digits", "0" * 64, (1, 8, 8), False, ("a", "b"), (30, 30))
    cells = study.cells(facts)
    experts = {cell.id: cell for cell in cells if cell.kind == "expert"}
    needs = {
        (cell.payload["method"].partition("(")[0], cell.payload["per_class"]): set(cell.needs)
        for cell in cells
        if cell.kind == "distill"
    }
    assert needs["mtt", 1] == needs["mtt", 2] == needs["tesla", 1] != needs["ftd", 1]
    assert needs["ftd", 1] == needs["datm", 2]
    assert needs["sre2l", 1] == needs["rded", 2]
    assert len(experts) == 2 + 2 + 3
    assert {cell.payload["radius"] for cell in experts.values()} == {0.0, 0.01}
    assert {experts[need].payload["every"] for need in needs["rded", 1]} == {60}
