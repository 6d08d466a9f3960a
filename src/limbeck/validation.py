"""Which set of a distillation is kept: candidates compete for the lowest error on validation samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from limbeck.checkpoint import Run
from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, error_and_loss, train
from limbeck.errors import Diverged
from limbeck.labeller import labelled
from limbeck.parameterizations import Tensors
from limbeck.samples import Samples
from limbeck.streams import derive
from limbeck.task import Task


def validate(task: Task, run: Run) -> None:
    """Let the set as it is, and its running average, compete for the lowest validation error yet."""
    _compete(task, run, task.completed(run, run.tensors), {})
    if run.average:
        _compete(task, run, task.completed(run, {**run.tensors, **run.average}), {"average": True})


def _compete(task: Task, run: Run, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Train one network on a set under each configuration; keep it where it does best yet on validation."""
    samples = labelled(task.unfold(tensors), task.shared, task.source.domain)
    learned = float(tensors["step_size"]) if "step_size" in tensors else None
    errors = [_validated(task, one, samples, "validate", learned) for one in task.pool.configurations]
    found: dict[str, Any] = {"step": run.step, "error": sum(errors) / len(errors), **facts}
    pool, score = run.pool, found["error"]
    if len(task.pool) > 1:
        if bool(pool["reference"].isnan().any()):
            full = [_validated(task, one, task.source.train, "reference") for one in task.pool.configurations]
            pool = {**pool, "reference": torch.tensor(full, dtype=torch.float64)}
        gaps = torch.tensor(errors, dtype=torch.float64) - pool["reference"]
        pool, score = task.pool.reweighed(pool, gaps), task.pool.score(gaps)
        found |= {"score": score, "gaps": gaps.tolist(), "weights": pool["weights"].tolist()}
    if score <= min((candidate.get("score", candidate["error"]) for candidate in run.candidates), default=math.inf):
        run.best = {name: tensor.clone() for name, tensor in tensors.items()}
    run.pool = pool
    run.candidates.append(found)


def _validated(
    task: Task, configuration: Configuration, samples: Samples, purpose: str, step_size: float | None = None
) -> float:
    """The validation error of one network trained on samples; 1 where its training diverges."""
    walked = task.scenes[0].dynamics
    try:
        judged = configuration.with_step_size(step_size)
        dynamics = Dynamics(judged, task.source.domain, device=walked.device, dtype=walked.dtype)
        trained = train(dynamics, samples, derive(task.seed, purpose))
    except Diverged:
        return 1.0
    held_out = configuration.domain.apply(task.source.validation, task.source.domain)
    return error_and_loss(dynamics, trained.state, held_out)[0]
