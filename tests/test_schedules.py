"""Schedules are torch's where torch has them, and the literature's where it has not."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from limbeck.schedules import Schedule
from limbeck.variants import make, members


def theirs(scheduler: type, steps: int, **settings: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = scheduler(optimizer, **settings)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def ours(spec: str) -> list[float]:
    schedule: Schedule = make("schedules", spec)
    return [schedule.factor(step) for step in range(schedule.steps)]


def test_constant_is_one() -> None:
    assert ours("constant(steps=17)") == [1.0] * 17


@pytest.mark.parametrize("final", [0.0, 0.25])
def test_cosine_is_cosine_annealing(final: float) -> None:
    expected = theirs(lr_scheduler.CosineAnnealingLR, 50, T_max=50, eta_min=final)
    assert ours(f"cosine(steps=50, final={final})") == pytest.approx(expected, abs=1e-12)


def test_cosine_warms_up_linearly_then_anneals_over_what_is_left() -> None:
    rates = ours("cosine(steps=50, warmup=10)")
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:] == pytest.approx(theirs(lr_scheduler.CosineAnnealingLR, 40, T_max=40), abs=1e-12)


def test_step_is_multi_step_decay() -> None:
    expected = theirs(lr_scheduler.MultiStepLR, 100, milestones=[51, 76], gamma=0.1)
    assert ours("step(steps=100, decay=0.1, at=[0.5, 0.75])") == pytest.approx(expected, rel=1e-12)


def test_the_literatures_evaluation_drops_once_at_half_of_its_1001_epochs_and_forgets_its_momentum() -> None:
    schedule: Schedule = make("schedules", "step(steps=1001, decay=0.1, at=[0.5], restart=true)")
    assert [schedule.factor(step) for step in (0, 500, 501, 1000)] == pytest.approx([1.0, 1.0, 0.1, 0.1])
    assert [step for step in range(1001) if schedule.restarts(step)] == [501]


@pytest.mark.parametrize("name", sorted(members("schedules")))
def test_every_schedule_is_a_positive_factor_of_at_most_one_at_every_step(name: str) -> None:
    for steps in (1, 2, 7, 100):
        rates = ours(f"{name}(steps={steps})")
        assert all(0 <= rate <= 1 for rate in rates)
        assert rates[0] == 1.0
