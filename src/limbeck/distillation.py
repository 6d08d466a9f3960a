"""The one outer loop: lower a method's surrogate until the budget is spent, and keep the set that validates best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch

from limbeck.checkpoint import checkpointing, resume, save
from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.errors import BadSetting
from limbeck.methods import Matching, Method
from limbeck.pool import Pool, Weighting
from limbeck.sources import Source, given_source
from limbeck.states import Experts
from limbeck.synthetic import SyntheticSet
from limbeck.task import Task, recorded
from limbeck.validation import validate

CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Progress:
    """Where a distillation is: updates done of how many, the surrogate's value, seconds spent and left."""

    step: int
    steps: int
    loss: float
    seconds: float
    seconds_left: float


def distill(
    source: Source | str,
    method: str | Method,
    configuration: str | Configuration,
    per_class: int,
    *,
    seed: int = 0,
    steps: int | None = None,
    seconds: float | None = None,
    candidates: int = 4,
    folder: Path | None = None,
    experts: Experts | None = None,
    teachers: Experts | None = None,
    configurations: Sequence[str | Configuration] = (),
    weights: Weighting = "equal",
    on_progress: Callable[[Progress], None] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SyntheticSet:
    """Distil a source into `per_class` samples of each class by a method, for a configuration.

    The budget is the method's own `steps`, or `steps`, or `seconds` of work, whichever ends first. At `candidates`
    evenly spaced steps one network is trained on the set under the configuration (and one on its running average, where
    the method keeps one, and one on the set at its start, with `keep_start`), and the set with the lowest *validation*
    error is kept. With `candidates=1` nothing is validated, and the last set (its running average, where there is one)
    is kept. The test split is never read. One `seed` at several `per_class` begins with some of the same samples: for a
    law, give each size other seeds.

    With `configurations`, the states are drawn from the dynamics of all of them in turn (see `Pool`), and candidates
    are judged by their validation gaps under all of them: the mean with `weights` "equal", the largest with
    "worst-case", which also visits those more often where the gap is large. `configuration` is then what the set is
    said to be for. A recipe that fixes its own optimizer and schedule (dc, mtt) varies with the architecture alone.

    `experts` and `teachers` are those that were trained elsewhere, by number; without them they are trained here. With
    a `folder` the run is checkpointed there and resumes where it was, exactly (to the bit, on a CPU). Ctrl-C
    checkpoints and raises `Interrupted`. Raises `Diverged` with the step and the surrogate's value, `NotApplicable`
    for a method that can't run on this source, and `BadData` where a class has too few samples.
    """
    source = given_source(source)
    check_numbers(per_class=per_class, steps=1 if steps is None else steps, candidates=candidates)
    pool = Pool.of(configurations or [configuration], weights)
    if pool.weighting == "worst-case" and candidates < 2:
        raise BadSetting("worst-case weights are moved at validations, so they need candidates=2 or more.")
    if (experts or teachers) is not None and len(pool) > 1:
        raise BadSetting("experts recorded elsewhere are of one configuration. Leave them out: a pool trains its own.")
    elsewhere = [None if held is None else recorded(held) for held in (experts, teachers)]
    prepared = time.perf_counter()
    task = Task.prepare(
        source, method, configuration, pool, per_class, seed, elsewhere[0], device, dtype, of_teachers=elsewhere[1]
    )
    budget = {"steps": steps, "seconds": seconds, "candidates": candidates}
    steps = task.method.outer_steps() if steps is None else min(steps, task.method.outer_steps())
    identity = digest([task.identity, steps, candidates])
    asked = {"budget": budget, "run": identity}
    if not isinstance(task.method, Matching):
        chosen = task.start()
        return task.finished(chosen, steps=0, seconds=time.perf_counter() - prepared).with_provenance(**asked)
    run = resume(folder, identity, len(pool)) or task.start()
    validate_at = {round(steps * (i + 1) / candidates) for i in range(candidates)} if candidates > 1 else set()
    begun = saved = time.perf_counter() - run.seconds
    with checkpointing(folder, identity, run):
        if candidates > 1 and task.method.keep_start and not run.step and not run.candidates:
            validate(task, run)
        while run.step < steps and (seconds is None or run.seconds < seconds):
            task.advance(run, steps)
            if run.step in validate_at:
                validate(task, run)
            now = time.perf_counter()
            run.seconds = now - begun
            if folder and now - saved > CHECKPOINT_SECONDS:
                save(folder, identity, run)
                saved = now
            if on_progress:
                left = run.seconds / run.step * (steps - run.step)
                left = left if seconds is None else min(left, seconds - run.seconds)
                on_progress(Progress(run.step, steps, run.losses[-1], run.seconds, max(0.0, left)))
    return task.finished(run, steps=run.step, seconds=run.seconds).with_provenance(**asked)


def check_numbers(**numbers: Any) -> None:
    """Raise `BadSetting` for a number that is not whole, or below 1."""
    for name, value in numbers.items():
        if not isinstance(value, Integral) or value < 1:
            raise BadSetting(f"{name}={value!r} is refused. Give a whole number of at least 1.")
