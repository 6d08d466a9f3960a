"""Outcome matching against closed forms: one step of a linear model, random windows, clipped gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.dynamics import Dynamics, State, train
from limbeck.errors import BadSetting
from limbeck.methods.bptt import BPTT
from limbeck.methods.rat_bptt import RaTBPTT
from limbeck.optimizers import Clipped
from limbeck.optimizers.sgd import SGD
from limbeck.samples import Domain, Samples
from limbeck.states import Scene
from limbeck.states.window import Window
from limbeck.surrogates import Moment
from limbeck.surrogates.outcome import Outcome
from limbeck.variants import make

DOMAIN = Domain((5,), 3)


def some_samples(count: int, seed: int = 0) -> Samples:
    x = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Samples.hard(x, torch.arange(count) % 3, 3)


def test_one_step_of_a_linear_model_from_zero_has_a_closed_form() -> None:
    """At W = 0 every class has probability 1/3, so one step of rate r leads to W = r (Y - 1/3)^T X / k."""
    dynamics = Dynamics("mlp(depth=0)/sgd(lr=0.3, momentum=0.9)/constant", DOMAIN, dtype=torch.float64)
    synthetic, real = some_samples(6), some_samples(20, seed=1)
    zero = dynamics.restarted(torch.zeros_like(dynamics.initial(0).vector))
    pixels, rate = synthetic.x.clone().requires_grad_(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    held = Samples(pixels, synthetic.y, synthetic.group)
    value = Outcome(synthetic_steps=1).value(Moment(dynamics, zero, learned={"step_size": rate}), held, real)

    weight = rate * (synthetic.y - 1 / 3).T @ pixels / 6
    bias = rate * (synthetic.y - 1 / 3).mean(0)
    logits = real.x @ weight.T + bias
    expected = -(real.y * torch.log_softmax(logits, 1)).sum(1).mean()
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    ours, theirs = (torch.autograd.grad(one, [pixels, rate]) for one in (value, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("inner", ["sgd(lr=0.1, momentum=0.9)", "adam(lr=0.05, epsilon=1e-3)"])
def test_the_outcome_is_the_loss_that_plain_training_reaches(inner: str) -> None:
    method = BPTT(inner=inner, total=7, augmentation="none")
    plain = Dynamics("mlp(width=6, depth=1)", DOMAIN).configuration
    dynamics = Dynamics(method.dynamics_configuration(plain, DOMAIN, 2), DOMAIN, dtype=torch.float64)
    synthetic, real = some_samples(6), some_samples(20, seed=1)
    moment = method.states(2).visit(Scene(dynamics, real, 3), {}, 0, {})
    value = method.surrogate().value(moment, synthetic, real)
    reached = train(dynamics, synthetic, moment.seed, start=moment.state, steps=7).state
    expected = dynamics.loss(reached.vector, {}, real.x, real.y)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


def test_batch_norms_see_the_real_batch_and_their_own_statistics_stay() -> None:
    dynamics = Dynamics("mlp(width=6, norm=batch)/sgd/constant", DOMAIN, dtype=torch.float64)
    state = dynamics.initial(0)
    kept = {name: buffer.clone() for name, buffer in state.buffers.items()}
    shifted = some_samples(20, seed=1)
    moved = Samples(shifted.x + 100.0, shifted.y, shifted.group)
    value, far = (
        Outcome(synthetic_steps=1).value(Moment(dynamics, state), some_samples(6), x) for x in (shifted, moved)
    )
    torch.testing.assert_close(value, far, rtol=1e-6, atol=0)  # a shift of all samples is taken out by the first norm
    assert all(torch.equal(kept[name], buffer) for name, buffer in state.buffers.items())


def window_states(states: Window, scene: Scene, synthetic: Samples, steps: int) -> list[State]:
    carry, seen = states.begin(scene), []
    for step in range(steps):
        seen.append(states.visit(scene, carry, step, {}).state)
        carry = states.advance(scene, carry, step, synthetic)
    return seen


def test_windows_begin_everywhere_that_leaves_them_room() -> None:
    dynamics = Dynamics("mlp(depth=0)/adam/constant", DOMAIN)
    scene = Scene(dynamics, some_samples(9).to(dtype=torch.float32), 1)
    states = Window(total=7, window=3)
    seen = window_states(states, scene, some_samples(6).to(dtype=torch.float32), 400)
    counts = torch.bincount(torch.tensor([state.step for state in seen[1:]]), minlength=5)
    assert len(counts) == 5, "t is at most total - window"
    expected = 399 / 5
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees of freedom, p = 0.001
    assert seen[0].step == 0


def test_a_window_begins_with_the_moments_of_the_training_before_it() -> None:
    dynamics = Dynamics("mlp(width=4, depth=1)/adam/constant", DOMAIN, dtype=torch.float64)
    synthetic = some_samples(6)
    scene = Scene(dynamics, some_samples(9), 1)
    for state in window_states(Window(total=9, window=2), scene, synthetic, 6)[1:]:
        assert state.since_restart == state.step
        assert all((moment != 0).any() for moment in state.moments) == (state.step > 0)


def test_a_gradient_is_shortened_to_twice_the_running_mean_of_its_length() -> None:
    rule = Clipped(rule=SGD(lr=1.0, momentum=0.0), lr=1.0)
    vector = torch.zeros(2, dtype=torch.float64)
    moments = rule.start(vector)
    taken = []
    for step, length in enumerate([1.0, 1.5, 100.0, 100.0]):
        after, moments = rule.update(vector, torch.tensor([0.6, 0.8]).double() * length, moments, 1.0, step)
        taken.append(float((vector - after).norm()))
        vector = after
    means = [1.0, 1.0, 0.9 * 1.0 + 0.1 * 1.5]
    assert taken[:2] == pytest.approx([1.0, 1.5])
    assert taken[2] == pytest.approx(2 * means[2])
    assert taken[3] == pytest.approx(2 * (0.9 * means[2] + 0.1 * taken[2]))


def test_clipping_is_off_at_zero_and_learned_tensors_follow_the_settings() -> None:
    assert not isinstance(BPTT(clipping=0).optimizers()["pixels"], Clipped)
    assert set(BPTT(step_size=0.1, labels="soft").optimizers()) == {"pixels", "logits", "step_size"}
    assert set(RaTBPTT().optimizers()) == {"pixels"}


def test_rat_bptt_says_why_it_learns_no_step_size() -> None:
    plain = Dynamics("mlp(width=6, depth=1)", DOMAIN).configuration
    with pytest.raises(BadSetting, match="Use bptt"):
        RaTBPTT(step_size=0.1).dynamics_configuration(plain, DOMAIN, 1)


def test_an_inner_optimizer_is_written_as_in_a_configuration() -> None:
    method = make("methods", "bptt(inner=adam(lr=0.02))")
    assert method.spec == "bptt(inner='adam(lr=0.02)')"
    assert make("methods", method.spec) == method
    plain = Dynamics("mlp(width=6, depth=1)", DOMAIN).configuration
    assert method.dynamics_configuration(plain, DOMAIN, 1).optimizer.spec == "adam(lr=0.02)"


def test_a_zero_gradient_is_left_at_zero() -> None:
    rule = Clipped(rule=SGD(lr=1.0, momentum=0.0), lr=1.0)
    vector: Tensor = torch.ones(3)
    after, _ = rule.update(vector, torch.zeros(3), rule.start(vector), 1.0, 0)
    assert torch.equal(after, vector)
