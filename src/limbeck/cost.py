"""What a distillation will take on this machine, measured on its first steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

import torch

from limbeck.checkpoint import Run
from limbeck.configuration import Configuration
from limbeck.distillation import check_numbers
from limbeck.dynamics import Dynamics
from limbeck.memory import peak_memory
from limbeck.methods import Matching, Method
from limbeck.pool import Pool, Weighting
from limbeck.sources import Source, given_source
from limbeck.states import ExpertPlan, Experts
from limbeck.states.experts import train_expert
from limbeck.streams import derive
from limbeck.task import Task
from limbeck.validation import validate


@dataclass(frozen=True)
class Forecast:
    """What a distillation will cost on this machine, measured on its first steps.

    `seconds` is all of it: the start (a selection is made there), the steps, the validations and the experts.
    `peak_memory_bytes` is that of a process which reads the source, does this work and no other, `bytes` the size of
    the set.
    """

    steps: int
    seconds: float
    seconds_per_step: float
    peak_memory_bytes: int
    experts: int
    expert_seconds: float = 0.0
    start_seconds: float = 0.0
    bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def forecast(
    source: Source | str,
    method: str | Method,
    configuration: str | Configuration,
    per_class: int,
    *,
    steps: int | None = None,
    candidates: int = 4,
    configurations: Sequence[str | Configuration] = (),
    weights: Weighting = "equal",
    device: torch.device | str = "cpu",
) -> Forecast:
    """Measure a distillation's first steps and one validation, and say what the whole will take; nothing is kept.

    Experts are replaced by initial networks in the steps; what training them takes is measured on a few steps of one.
    """

    def standing_in(plan: ExpertPlan, dynamics: Dynamics) -> Experts:
        vectors = [dynamics.initial(derive(0, "forecast", i)).vector for i in range(2)]
        return lambda number: torch.stack([vectors[i % 2] for i in range(plan.checkpoints)])

    source = given_source(source)
    check_numbers(per_class=per_class, steps=1 if steps is None else steps, candidates=candidates)
    pool = Pool.of(configurations or [configuration], weights)
    with peak_memory() as peak:
        begun = time.perf_counter()
        task = Task.prepare(
            source, method, configuration, pool, per_class, 0, standing_in, device, torch.float32, standing_in
        )
        run = task.start()
        start = time.perf_counter() - begun
        total = task.method.outer_steps() if steps is None else min(steps, task.method.outer_steps())
        per_step = validation = 0.0
        if isinstance(task.method, Matching):
            per_step = _seconds_per_step(task, run, total)
            validation = _validation_seconds(task, run, candidates + (candidates > 1 and task.method.keep_start))
        plans = [plan for scene in task.scenes if (plan := task.method.expert_plan(scene.dynamics))]
        further = task.method.further_plan(pool.configurations[0], task.scenes[0].dynamics)
        plans += [further] if further else []
        experts = sum(-(-plan.count // len(pool)) * expert_seconds(plan, source, device) for plan in plans)
        seconds = start + per_step * total + validation + experts
        stored = sum(tensor.nbytes for tensor in [*run.tensors.values(), *task.shared.values(), task.group])
        count = sum(-(-plan.count // len(pool)) for plan in plans)
        return Forecast(total, seconds, per_step, max(peak(), source.loading_bytes), count, experts, start, stored)


def _seconds_per_step(task: Task, run: Run, total: int) -> float:
    """Of the first steps the median, or over a pool, which is visited in turn, the mean.

    The very first, which pays for what is made once, is left out where it can be.
    """
    taken: list[float] = []
    while len(taken) < min(max(5, 1 + len(task.pool)), total) and (sum(taken) < 10.0 or len(taken) <= len(task.pool)):
        begun = time.perf_counter()
        task.advance(run, total)
        taken.append(time.perf_counter() - begun)
    return (median if len(task.pool) == 1 else fmean)(taken[1:] or taken)


def _validation_seconds(task: Task, run: Run, candidates: int) -> float:
    """All validations; the first one of a pool trains on the full data too."""
    taken = [0.0]
    for _ in range(0 if candidates == 1 else 1 if len(task.pool) == 1 else 2):
        begun = time.perf_counter()
        validate(task, run)
        taken.append(time.perf_counter() - begun)
    return taken[min(1, len(taken) - 1)] + (candidates - 1) * taken[-1]


def expert_seconds(plan: ExpertPlan, source: Source, device: torch.device | str = "cpu") -> float:
    """What training one expert takes, measured on a few steps."""
    dynamics = Dynamics(plan.configuration, source.domain, device=device)
    batch = min(len(source.train), plan.configuration.schedule.batch)
    few = source.train[: 2 * batch]
    taken, steps = [], 0
    for epochs in (1, 2):
        begun = time.perf_counter()
        train_expert(replace(plan, epochs=epochs), dynamics, few, 0)
        taken.append(time.perf_counter() - begun)
        steps = epochs * math.ceil(len(few) / batch)
    per_epoch = math.ceil(len(source.train) / batch)
    return float(taken[-1] / steps * plan.epochs * per_epoch)
