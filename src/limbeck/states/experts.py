"""Segments of trajectories that were recorded while training on the real data."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from limbeck.dynamics import Dynamics, State, train
from limbeck.errors import BadSetting
from limbeck.network import Buffers, copied
from limbeck.samples import Samples
from limbeck.states import Carry, ExpertPlan, Scene, States
from limbeck.streams import derive, numpy_stream
from limbeck.surrogates import Moment


class ExpertSegments(States):
    """A random expert's parameters at a random epoch, and where it was `ahead` epochs later.

    The epoch is uniform on `min_start` <= t < `max_start`. The upper end may grow (Guo et al. 2024): it starts at
    `first_max_start`, where that is not 0, and reaches `max_start` on a straight line after `growth` outer steps, so
    that early, easy parts of the trajectories are matched before later, hard ones.
    """

    count: int = Field(20, gt=0)
    epochs: int = Field(30, gt=0)
    ahead: int = Field(3, gt=0)
    min_start: int = Field(0, ge=0)
    max_start: int = Field(25, gt=0)
    first_max_start: int = Field(0, ge=0)
    growth: int = Field(0, ge=0)

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        assert scene.experts is not None, "the outer loop provides experts to a method that asks for them"
        random = numpy_stream(scene.seed, "expert", step)
        trajectory = scene.experts(int(random.integers(self.count)))  # (epochs + 1, p)
        start = int(random.integers(self.min_start, self.upper_end(step)))
        vector, target = trajectory[start], trajectory[start + self.ahead]
        dynamics = scene.dynamics
        vector, target = (part.to(dynamics.device, dynamics.dtype) for part in (vector, target))
        state = dynamics.restarted(vector, dynamics.initial(derive(scene.seed, "state", step)).buffers)
        return Moment(dynamics, state, derive(scene.seed, "moment", step), target, learned)

    def upper_end(self, step: int) -> int:
        """The first epoch that is not yet drawn at an outer step."""
        end = self.max_start
        if self.first_max_start and step < self.growth:
            end = self.first_max_start + (end - self.first_max_start) * step // self.growth
        return min(end, self.epochs - self.ahead + 1)

    def check(self) -> None:
        """Raise `BadSetting` where the settings leave no segment at the first step."""
        if self.upper_end(0) <= self.min_start:
            raise BadSetting(
                f"experts of {self.epochs} epochs have no segment of {self.ahead} that starts in "
                f"{self.min_start} <= t < {self.max_start}. Raise the epochs or lower min_start or ahead."
            )


class SharpnessAware(Dynamics):
    """Training that seeks flat places: the direction is taken `radius` up the slope (Foret et al. 2021).

    g_s = grad L(theta + radius g / |g|), g = grad L(theta), on the same batch; the direction is g_s - `surrogate_gap`
    times the part of g that is orthogonal to g_s (Zhuang et al. 2022; 0 is plain SAM).
    """

    def __init__(self, plain: Dynamics, radius: float, surrogate_gap: float = 0.0) -> None:
        super().__init__(plain.configuration, plain.domain, device=plain.device, dtype=plain.dtype)
        self.radius = radius
        self.surrogate_gap = surrogate_gap

    def gradient(
        self, vector: Tensor, buffers: Buffers, x: Tensor, y: Tensor, *, differentiable: bool = False
    ) -> Tensor:
        here = super().gradient(vector, buffers, x, y, differentiable=differentiable)
        climbed = vector + self.radius * here / (here.norm(dim=-1, keepdim=True) + 1e-12)
        kept = copied(buffers)  # running statistics count a batch once
        above = super().gradient(climbed, kept, x, y, differentiable=differentiable)
        along = (here * above).sum(-1, keepdim=True) / (above * above).sum(-1, keepdim=True).clamp_min(1e-30)
        return above - self.surrogate_gap * (here - along * above)


def train_expert(plan: ExpertPlan, dynamics: Dynamics, data: Samples, number: int) -> Tensor:
    """Train on the real data and record the parameters along the way (checkpoints, p), the first before any step."""
    per_epoch = math.ceil(len(data) / min(len(data), plan.configuration.schedule.batch))
    recorded: list[Tensor] = []

    def record(state: State) -> None:
        if state.step % (per_epoch * plan.every) == 0:
            recorded.append(state.vector.detach().clone())

    if plan.radius:
        dynamics = SharpnessAware(dynamics, plan.radius, plan.surrogate_gap)
    train(dynamics, data, derive(number, "expert"), steps=plan.epochs * per_epoch, on_step=record)
    return torch.stack(recorded)
