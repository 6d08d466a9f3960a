"""How fast a loss can be lowered: where it ends, and how strongly it curves."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.dynamics import Dynamics, State, train
from limbeck.measures.objective import Objective
from limbeck.measures.passage import Optimum
from limbeck.samples import Samples
from limbeck.streams import stream

LENGTHS = (1, 2, 4)
ITERATIONS = 30  # of the power method
SETTLED = 1e-6  # a relative fall over the last doubling that is no fall any more


def find_optimum(
    dynamics: Dynamics, data: Samples, seed: int, *, views: int = 1, lengths: tuple[int, int, int] = LENGTHS
) -> tuple[Optimum, State]:
    """The lower end L* of the objective on some samples, and the state that the configuration's own length reaches.

    Trains for one, two and four times the schedule's steps, each with its whole schedule. Losses that fall as
    L* + c T^-gamma are geometric in doublings, so Aitken's step gives what is left below the last:
    remainder = (l2 - l4)^2 / ((l1 - l2) - (l2 - l4)). Cross-entropy can't pass the mean entropy of the labels.
    """
    data = data.to(dynamics.device, dynamics.dtype)
    objective = Objective(dynamics, data, views)
    schedule, ends = dynamics.configuration.schedule, []
    for length in lengths:
        longer = dynamics.configuration.replace(schedule=schedule.with_settings(steps=schedule.steps * length))
        held = Dynamics(longer, dynamics.domain, device=dynamics.device, dtype=dynamics.dtype)
        ends.append(train(held, data, seed).state)
    values = [objective.value(state) for state in ends]
    entropy = float(torch.special.entr(data.y.double()).sum(1).mean())
    return lower_end(values[0], values[1], values[2], entropy), ends[0]


def lower_end(one: float, two: float, four: float, bound: float) -> Optimum:
    """What losses after one, two and four lengths say of where they end. Exact for L* + c T^-gamma."""
    lowest = min(one, two, four)
    first, second = one - two, two - four
    if abs(second) <= SETTLED * abs(lowest):
        return Optimum(lowest, 0.0, bound)
    remainder = second**2 / (first - second) if first > second > 0 else lowest - bound
    return Optimum(lowest, min(remainder, lowest - bound), bound)


def smoothness(
    dynamics: Dynamics,
    state: State,
    data: Samples,
    metric: Tensor | float = 1.0,
    *,
    views: int = 1,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> float:
    """beta: the largest absolute eigenvalue of P^-1/2 H P^-1/2 at a state, by power iteration on Hessian products.

    A descent step of effective rate eta needs eta beta <= 1 for the descent lemma; beyond 2 a quadratic model is
    thrown further out at every step (the edge of stability, Cohen et al. 2021).
    """
    objective = Objective(dynamics, data.to(dynamics.device, dynamics.dtype), views)
    root = metric**0.5
    vector = torch.randn(len(state.vector), generator=stream(seed, "power"), dtype=torch.float64).to(state.vector)
    value = 0.0
    for _ in range(iterations):
        vector = vector / vector.norm()
        product = objective.pushed(state, vector / root) / root
        value, vector = float(product.norm()), product
        if value == 0:
            break
    return value
