"""The constant-memory gradient is the gradient of the whole unroll, not an approximation of it."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from limbeck.dynamics import Dynamics, State, train
from limbeck.samples import Domain, Samples
from limbeck.unrolling import _saved_bytes, unroll

IMAGES = Domain((1, 8, 8), 3)
VECTORS = Domain((5,), 3)
STEPS = 6
RULES = [
    "sgd(lr=0.1, momentum=0.0)",
    "sgd(lr=0.1, momentum=0.9, weight_decay=0.01)",
    "sgd(lr=0.1, momentum=0.9, nesterov=true)",
    # A bias before a norm has no slope but rounding, and Adam's usual epsilon would make whole steps of it.
    "adam(lr=0.01, epsilon=1e-3)",
    "adamw(lr=0.01, epsilon=1e-3, weight_decay=0.1)",
]
NETWORKS = {
    "mlp(width=6, depth=1, activation=tanh)": VECTORS,
    "convnet(width=4, depth=2)": IMAGES,
    "convnet(width=4, depth=2, norm=batch)": IMAGES,
}
Leaves = tuple[Tensor, Tensor, Tensor, State]


def leaves(dynamics: Dynamics, count: int = 7) -> Leaves:
    """Pixels, label logits, a step size and a start in mid-training, with no moment near zero."""
    generator = torch.Generator().manual_seed(4)
    domain = dynamics.domain
    x = torch.randn(count, *domain.shape, generator=generator, dtype=torch.float64)
    logits = torch.randn(count, domain.classes, generator=generator, dtype=torch.float64)
    samples = Samples(x, torch.softmax(logits, 1), logits.argmax(1))
    begun = train(dynamics, samples, 3, steps=2).state
    moments = tuple(moment + 1e-3 for moment in begun.moments)
    start = State(begun.vector, dynamics.initial(9).buffers, moments, 0, begun.since_restart)
    return x, logits, torch.tensor(0.07, dtype=torch.float64), start


def outcome_gradients(
    dynamics: Dynamics, held: Leaves, memory: Literal["constant", "graph"], learn_rate: bool = True
) -> tuple[Tensor, list[Tensor]]:
    """The end of an unroll, and the gradient of its distance to a far target in everything that can be learned."""
    x, logits, rate = (leaf.clone().requires_grad_() for leaf in held[:3])
    vector = held[3].vector.clone().requires_grad_()
    moments = tuple(moment.clone().requires_grad_() for moment in held[3].moments)
    start = State(vector, held[3].buffers, moments, 0, held[3].since_restart)
    samples = Samples(x, torch.softmax(logits, 1), logits.argmax(1))
    step_size = rate if learn_rate else None
    reached = unroll(dynamics, start, samples, steps=STEPS, seed=5, rate=step_size, memory=memory)
    target = torch.linspace(-1, 1, len(reached), dtype=torch.float64)
    inputs = [x, logits, vector, *moments] + ([rate] if learn_rate else [])
    return reached.detach(), list(torch.autograd.grad(((reached - target) ** 2).sum(), inputs))


def relative_error(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / second.norm())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch", [3, 256])
def test_the_adjoint_equals_the_full_graph_in_pixels_labels_start_and_step_size(
    network: str, rule: str, batch: int
) -> None:
    domain = NETWORKS[network]
    views = "siamese" if domain.is_image else "none"
    dynamics = Dynamics(f"{network}/{rule}/{views}/constant(batch={batch})", domain, dtype=torch.float64)
    held = leaves(dynamics)
    reached, constant = outcome_gradients(dynamics, held, "constant")
    expected, graph = outcome_gradients(dynamics, held, "graph")
    torch.testing.assert_close(reached, expected, rtol=1e-12, atol=1e-13)
    assert len(constant) == 4 + len(held[3].moments)
    for ours, theirs in zip(constant, graph, strict=True):
        assert theirs.norm() > 0
        assert relative_error(ours, theirs) < 1e-10


@pytest.mark.parametrize("rule", RULES)
def test_the_adjoint_follows_the_schedule_and_its_restarts(rule: str) -> None:
    dynamics = Dynamics(
        f"mlp(width=6, depth=1, activation=tanh)/{rule}/step(steps={STEPS}, at=[0.3], restart=true)",
        VECTORS,
        dtype=torch.float64,
    )
    held = leaves(dynamics)
    reached, constant = outcome_gradients(dynamics, held, "constant", learn_rate=False)
    _, graph = outcome_gradients(dynamics, held, "graph", learn_rate=False)
    samples = Samples(held[0], torch.softmax(held[1], 1), held[1].argmax(1))
    torch.testing.assert_close(reached, train(dynamics, samples, 5, start=held[3]).state.vector, rtol=1e-12, atol=0)
    for ours, theirs in zip(constant, graph, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("network", ["mlp(width=6)", "convnet(width=27, depth=2)"])
def test_which_graphs_are_kept_for_the_way_back_changes_nothing_but_rounding(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.first_block.WORTH", 0)
    dynamics = Dynamics(f"{network}/sgd(lr=0.1, momentum=0.5)/siamese/constant", IMAGES, dtype=torch.float64)
    linked: list[bool] = []
    step = dynamics.step
    monkeypatch.setattr(
        dynamics, "step", lambda *args, **named: linked.append(named["differentiable"]) or step(*args, **named)
    )
    x = torch.randn(7, *IMAGES.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64)[torch.arange(7) % 3]
    with _saved_bytes() as size:
        vector = dynamics.initial(0).vector.requires_grad_()
        step(dynamics.restarted(vector), x.clone().requires_grad_(), y, differentiable=True)
        one_step = size()
    assert one_step > x.nbytes

    def unrolled(room: int) -> list[Tensor]:
        monkeypatch.setattr("limbeck.unrolling.GRAPH_BYTES", room)
        pixels = x.clone().requires_grad_()
        linked.clear()
        reached = unroll(dynamics, dynamics.initial(0), Samples(pixels, y, y.argmax(1)), steps=STEPS, seed=0)
        kept.append(sum(linked))
        return [reached.detach(), *torch.autograd.grad((reached**3).sum(), pixels)]

    kept: list[int] = []
    none, two, all_but_one = (unrolled(int(share * one_step)) for share in (0, 2.9, 1000))
    assert kept == [0, 1 + 2, STEPS]
    for ours in (two, all_but_one):
        for part, expected in zip(ours, none, strict=True):
            assert relative_error(part, expected) < 1e-11
    assert all(torch.equal(*pair) for pair in zip(two, unrolled(int(2.9 * one_step)), strict=True))


def test_the_adjoint_equals_finite_differences() -> None:
    dynamics = Dynamics(
        "mlp(width=4, depth=1, activation=tanh)/sgd(lr=0.1, momentum=0.5)/constant(batch=3)",
        VECTORS,
        dtype=torch.float64,
    )
    x, logits, rate, start = leaves(dynamics, count=4)

    def reached(pixels: Tensor, label_logits: Tensor, step_size: Tensor, vector: Tensor) -> Tensor:
        samples = Samples(pixels, torch.softmax(label_logits, 1), label_logits.argmax(1))
        begun = State(vector, {}, start.moments)
        return unroll(dynamics, begun, samples, steps=3, seed=1, rate=step_size).square().sum()

    inputs = [leaf.clone().requires_grad_() for leaf in (x, logits, rate, start.vector)]
    assert torch.autograd.gradcheck(reached, inputs, eps=1e-6, atol=1e-7)


def test_only_what_is_learned_gets_a_gradient() -> None:
    dynamics = Dynamics("mlp(width=4)/constant", VECTORS, dtype=torch.float64)
    x, logits, _, start = leaves(dynamics)
    pixels = x.clone().requires_grad_()
    samples = Samples(pixels, torch.softmax(logits, 1), logits.argmax(1))
    unroll(dynamics, start, samples, steps=3, seed=0).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    assert logits.grad is None
    assert start.vector.grad is None


def test_unrolling_leaves_running_statistics_alone_and_can_be_repeated() -> None:
    dynamics = Dynamics("convnet(width=4, depth=1, norm=batch)/constant", IMAGES, dtype=torch.float64)
    held = leaves(dynamics)
    kept = {name: buffer.clone() for name, buffer in held[3].buffers.items()}
    first = outcome_gradients(dynamics, held, "constant")
    second = outcome_gradients(dynamics, held, "constant")
    assert all(torch.equal(held[3].buffers[name], buffer) for name, buffer in kept.items())
    assert all(torch.equal(one, other) for one, other in zip(first[1], second[1], strict=True))


def test_freezing_the_adjoint_as_tesla_does_gives_another_gradient() -> None:
    """Why the exact adjoint is here: with a_i = a_N for all i, the pixels' gradient points elsewhere."""
    dynamics = Dynamics("convnet(width=4, depth=2)/sgd(momentum=0.0)/constant", IMAGES, dtype=torch.float64)
    x, logits, _, start = leaves(dynamics)
    y = torch.softmax(logits, 1)
    rate, steps = 0.1, 8

    def distance(pixels: Tensor) -> Tensor:
        samples = Samples(pixels, y, logits.argmax(1))
        reached = unroll(dynamics, start, samples, steps=steps, seed=0, rate=rate)
        return ((reached - torch.linspace(-1, 1, len(reached), dtype=torch.float64)) ** 2).sum()

    exact_input = x.clone().requires_grad_()
    (exact,) = torch.autograd.grad(distance(exact_input), exact_input)
    state, path = start, []
    for _ in range(steps):
        path.append(state)
        state = dynamics.step(state, x, y, rate=rate)
    adjoint = 2 * (state.vector - torch.linspace(-1, 1, len(state.vector), dtype=torch.float64))

    def pulled(frozen: bool) -> Tensor:
        a, total = adjoint, torch.zeros_like(x)
        for before in reversed(path):
            pixels, vector = x.clone().requires_grad_(), before.vector.clone().requires_grad_()
            after = dynamics.step(State(vector, before.buffers), pixels, y, rate=rate, differentiable=True).vector
            to_pixels, to_vector = torch.autograd.grad(after, [pixels, vector], a)
            total, a = total + to_pixels, (a if frozen else to_vector)
        return total

    assert relative_error(pulled(frozen=False), exact) < 1e-10
    assert relative_error(pulled(frozen=True), exact) > 0.05
