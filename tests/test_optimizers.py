"""Our update rules are torch.optim's, to float64 rounding, and can be differentiated through."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.errors import BadSetting
from limbeck.optimizers import Optimizer
from limbeck.variants import make

STEPS = 200
SIZE = 7

RULES = {
    "sgd(lr=0.05, momentum=0.0)": lambda p: torch.optim.SGD(p, lr=0.05),
    "sgd(lr=0.05, momentum=0.9)": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "sgd(lr=0.05, momentum=0.0, weight_decay=0.01)": lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.01),
    "sgd(lr=0.05, momentum=0.9, weight_decay=0.01)": lambda p: torch.optim.SGD(
        p, lr=0.05, momentum=0.9, weight_decay=0.01
    ),
    "sgd(lr=0.05, momentum=0.8, weight_decay=0.01, nesterov=true)": lambda p: torch.optim.SGD(
        p, lr=0.05, momentum=0.8, weight_decay=0.01, nesterov=True
    ),
    "adam(lr=0.02)": lambda p: torch.optim.Adam(p, lr=0.02),
    "adam(lr=0.02, betas=[0.5, 0.9], epsilon=1e-4, weight_decay=0.1)": lambda p: torch.optim.Adam(
        p, lr=0.02, betas=(0.5, 0.9), eps=1e-4, weight_decay=0.1
    ),
    "adamw(lr=0.02)": lambda p: torch.optim.AdamW(p, lr=0.02),
    "adamw(lr=0.02, betas=[0.5, 0.9], weight_decay=0.3)": lambda p: torch.optim.AdamW(
        p, lr=0.02, betas=(0.5, 0.9), weight_decay=0.3
    ),
}


def slope(vector: Tensor) -> Tensor:
    """The gradient of a curved, coupled objective whose last coordinate never has a slope."""
    sheared = vector + 0.3 * vector.roll(1, -1)
    return (torch.sin(sheared) + 0.2 * vector**3) * (torch.arange(vector.shape[-1]) < SIZE - 1)


def start() -> Tensor:
    return torch.linspace(-1.5, 2.0, SIZE, dtype=torch.float64)


@pytest.mark.parametrize("spec", RULES)
def test_updates_equal_those_of_torch_optim_over_many_steps(spec: str) -> None:
    rule: Optimizer = make("optimizers", spec)
    parameter = torch.nn.Parameter(start())
    theirs = RULES[spec]([parameter])
    ours, moments = start(), rule.start(start())
    for step in range(STEPS):
        # Both are given one gradient, so that the rule is compared and not how its rounding grows along a path.
        parameter.grad = slope(parameter.detach())
        ours, moments = rule.update(ours, parameter.grad, moments, rule.lr, step)
        theirs.step()
        torch.testing.assert_close(ours, parameter.detach(), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(ours, start())


@pytest.mark.parametrize("spec", RULES)
def test_stacked_vectors_are_updated_as_each_alone(spec: str) -> None:
    rule: Optimizer = make("optimizers", spec)
    rows = torch.stack([start(), -2 * start(), start().flip(0)])
    stacked, moments = rows, rule.start(rows)
    singles = [(row, rule.start(row)) for row in rows]
    for step in range(5):
        stacked, moments = rule.update(stacked, slope(stacked), moments, rule.lr, step)
        singles = [rule.update(row, slope(row), held, rule.lr, step) for row, held in singles]
    assert torch.equal(stacked, torch.stack([row for row, _ in singles]))


@pytest.mark.parametrize("spec", RULES)
def test_three_steps_are_differentiable_in_the_start_the_gradient_field_and_the_rate(spec: str) -> None:
    rule: Optimizer = make("optimizers", spec)

    def walk(vector: Tensor, pull: Tensor, rate: Tensor) -> Tensor:
        moments = rule.start(vector)
        for step in range(3):
            vector, moments = rule.update(vector, torch.sin(vector) + pull, moments, rate, step)
        return vector

    inputs = (start().requires_grad_(), (0.1 * start() + 3).requires_grad_(), torch.tensor(0.05).double())
    assert torch.autograd.gradcheck(walk, (*inputs[:2], inputs[2].requires_grad_()), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_coordinate_without_gradient_keeps_every_derivative_finite(name: str, dtype: torch.dtype) -> None:
    rule: Optimizer = make("optimizers", name)
    vector = torch.ones(3, dtype=dtype)
    pull = torch.tensor([1.0, 0.0, -1.0], dtype=dtype, requires_grad=True)
    moments = rule.start(vector)
    for step in range(10):
        vector, moments = rule.update(vector, pull, moments, 0.1, step)
    (gradient,) = torch.autograd.grad(vector.sum(), pull)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    "spec", ["sgd(lr=0)", "sgd(lr=-1)", "sgd(momentum=1)", "adam(lr=0)", "adamw(epsilon=0)", "sgd(weight_decay=-1)"]
)
def test_settings_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(BadSetting, match="is refused"):
        make("optimizers", spec)
