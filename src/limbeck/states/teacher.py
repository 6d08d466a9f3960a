"""A network that was trained on the real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from limbeck.dynamics import Dynamics
from limbeck.states import Carry, ExpertPlan, Scene, States, buffers_on, carried, restored
from limbeck.streams import derive
from limbeck.surrogates import Moment


class Teacher(States):
    """The end of one training on the real data, with its running statistics, at every outer step.

    Each set draws one of `teachers`, which are experts of `epochs` that are kept at their ends alone: trained once,
    shared by content with every method that asks for the same. One teacher for all sets would tie them together, and
    the spread between sets would say less than it should.
    """

    trial: ClassVar[Mapping[str, Any]] = {"teachers": 1000}

    teachers: int = Field(3, gt=0)
    epochs: int = Field(60, gt=0)

    def begin(self, scene: Scene) -> Carry:
        assert scene.experts is not None, "the outer loop provides experts to a method that asks for them"
        dynamics = scene.dynamics
        trajectory = scene.experts(derive(scene.seed, "teacher") % self.teachers)
        vector = trajectory[-1].to(dynamics.device, dynamics.dtype)
        return carried(dynamics.restarted(vector, buffers_on(dynamics, vector, scene.train)))

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        return Moment(scene.dynamics, restored(carry), derive(scene.seed, "moment", step), learned=learned)

    def plan(self, dynamics: Dynamics) -> ExpertPlan:
        """The trainings that the teachers come from."""
        return ExpertPlan(dynamics.configuration, self.epochs, self.teachers, every=self.epochs)
