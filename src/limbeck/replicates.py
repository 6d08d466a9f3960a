"""Many networks trained at once: one after the other, or their layers side by side, whichever is quicker here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch

from limbeck.calibration import quickest
from limbeck.dynamics import Dynamics, State, Trained, batches, check_finite, train
from limbeck.samples import Samples
from limbeck.streams import derive

How = Literal["auto", "loop", "stacked"]

CALIBRATION_STEPS = 3


def train_many(
    dynamics: Dynamics, samples: Samples | Sequence[Samples], seeds: Sequence[int], *, how: How = "auto"
) -> list[Trained]:
    """Train one network a seed, on shared samples or on one set each (all of one size).

    `loop` trains one after the other; `stacked` trains all at once, their layers side by side; `auto` takes what was
    quicker in a few measured steps, which this machine remembers. The results are equal up to float rounding: 1e-9
    relative in float64; in float32, rounding grows with the number of steps. A parameter without a slope, as a bias
    before a norm, has nothing but rounding to follow, and an adaptive optimizer with a small epsilon makes whole steps
    of it; the network's function is not changed by them.
    """
    shared = isinstance(samples, Samples)
    sets = [samples] * len(seeds) if isinstance(samples, Samples) else list(samples)
    if how == "auto":
        how = _quicker(dynamics, sets, seeds, shared) if len(seeds) > 1 else "loop"
    if how == "loop" or len(seeds) <= 1:
        return [train(dynamics, part, seed) for part, seed in zip(sets, seeds, strict=True)]
    begun = time.perf_counter()
    state = _train_stacked(dynamics, sets, seeds, dynamics.configuration.schedule.steps, shared)
    check_finite(state.vector, dynamics, state.step)
    seconds = (time.perf_counter() - begun) / len(seeds)
    return [Trained(single, seed, seconds) for single, seed in zip(_unstack(state), seeds, strict=True)]


def _train_stacked(
    dynamics: Dynamics, sets: Sequence[Samples], seeds: Sequence[int], steps: int, shared: bool
) -> State:
    """The stacked state after some steps. Where all see the same batch at every step, it is passed once."""
    batch = dynamics.configuration.schedule.batch
    sets = [part.to(dynamics.device, dynamics.dtype) for part in (sets[:1] if shared else sets)] * (
        len(seeds) if shared else 1
    )
    same = shared and len(sets[0]) <= batch and dynamics.configuration.augmentation.variant_name() == "none"
    state = _stack([dynamics.initial(derive(seed, "init")) for seed in seeds])
    if same:
        for _ in range(steps):
            state = dynamics.step(state, sets[0].x, sets[0].y)
        return state
    plans = [batches(seed, len(part), batch, steps) for part, seed in zip(sets, seeds, strict=True)]
    for indices in zip(*plans, strict=True):
        views = [
            dynamics.view(part[index], seed, state.step) for part, index, seed in zip(sets, indices, seeds, strict=True)
        ]
        x, y = (torch.stack(parts) for parts in zip(*views, strict=True))
        state = dynamics.step(state, x, y)
    return state


def _quicker(dynamics: Dynamics, sets: Sequence[Samples], seeds: Sequence[int], shared: bool) -> How:
    """`loop` or `stacked`, by the quickest of a few steps of each on this machine."""
    if len({len(part) for part in sets}) != 1:
        return "loop"
    parts = dynamics.configuration.parts
    work = [*(part.spec for part in parts[:3]), dynamics.configuration.schedule.batch, list(dynamics.domain.shape)]
    size = [dynamics.domain.classes, len(sets[0]), len(seeds), shared]

    def one_after_the_other() -> None:
        for part, seed in zip(sets, seeds, strict=True):
            train(dynamics, part, seed, steps=CALIBRATION_STEPS)

    def at_once() -> None:
        _train_stacked(dynamics, sets, seeds, CALIBRATION_STEPS, shared)

    ways: dict[str, Callable[[], object]] = {"loop": one_after_the_other, "stacked": at_once}
    return cast(How, quickest("train_many", [*work, *size, str(dynamics.dtype)], ways, str(dynamics.device)))


def _stack(states: list[State]) -> State:
    first = states[0]
    return State(
        torch.stack([state.vector for state in states]),
        {name: torch.stack([state.buffers[name] for state in states]) for name in first.buffers},
        tuple(torch.stack(parts) for parts in zip(*(state.moments for state in states), strict=True)),
    )


def _unstack(state: State) -> list[State]:
    return [
        State(
            state.vector[i].clone(),
            {name: buffer[i].clone() for name, buffer in state.buffers.items()},
            tuple(moment[i].clone() for moment in state.moments),
            state.step,
            state.since_restart,
        )
        for i in range(len(state.vector))
    ]
