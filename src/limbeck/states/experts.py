"""Segments of trajectories that were recorded while training on the real data."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from limbeck.dynamics import Dynamics, State, train
from limbeck.errors import BadSetting
from limbeck.samples import Samples
from limbeck.states import Carry, ExpertPlan, Scene, States
from limbeck.streams import derive, numpy_stream
from limbeck.surrogates import Moment


class ExpertSegments(States):
    """A random expert's parameters at a random epoch t < `max_start`, and where it was `ahead` epochs later."""

    count: int = Field(20, gt=0)
    epochs: int = Field(30, gt=0)
    ahead: int = Field(3, gt=0)
    max_start: int = Field(25, gt=0)

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        assert scene.experts is not None, "the outer loop provides experts to a method that asks for them"
        random = numpy_stream(scene.seed, "expert", step)
        trajectory = scene.experts(int(random.integers(self.count)))  # (epochs + 1, p)
        start = int(random.integers(min(self.max_start, self.epochs - self.ahead + 1)))
        vector, target = trajectory[start], trajectory[start + self.ahead]
        dynamics = scene.dynamics
        vector, target = (part.to(dynamics.device, dynamics.dtype) for part in (vector, target))
        state = dynamics.restarted(vector, dynamics.initial(derive(scene.seed, "state", step)).buffers)
        return Moment(dynamics, state, derive(scene.seed, "moment", step), target, learned)

    def plan(self, dynamics: Dynamics) -> ExpertPlan:
        """The experts that these segments are cut from. Raises `BadSetting` where `ahead` leaves no segment."""
        if self.ahead > self.epochs:
            raise BadSetting(f"experts of {self.epochs} epochs have no segment of {self.ahead}. Raise the epochs.")
        return ExpertPlan(dynamics.configuration, self.epochs, self.count)


def train_expert(plan: ExpertPlan, dynamics: Dynamics, data: Samples, number: int) -> Tensor:
    """Train on the real data and record the parameters before the first epoch and after each: (epochs + 1, p)."""
    per_epoch = math.ceil(len(data) / min(len(data), plan.configuration.schedule.batch))
    recorded: list[Tensor] = []

    def record(state: State) -> None:
        if state.step % per_epoch == 0:
            recorded.append(state.vector.detach().clone())

    train(dynamics, data, derive(number, "expert"), steps=plan.epochs * per_epoch, on_step=record)
    return torch.stack(recorded)
