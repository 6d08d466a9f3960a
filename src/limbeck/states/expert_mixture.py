"""Networks between an expert's beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from limbeck.states import Carry, Scene, States, on_real
from limbeck.streams import derive, numpy_stream
from limbeck.surrogates import Moment


class ExpertMixture(States):
    """u theta_0 + (1 - u) theta_T of a random expert trained on the real data, u ~ U[0, 1] at every outer step.

    The moment's target is theta_T (Wang et al. 2025).
    """

    looks_on_real: ClassVar[bool] = True

    count: int = Field(20, gt=0)

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        assert scene.experts is not None, "the outer loop provides experts to a method that asks for them"
        random = numpy_stream(scene.seed, "expert", step)
        trajectory = scene.experts(int(random.integers(self.count)))  # (checkpoints, p)
        dynamics = scene.dynamics
        first, last = (trajectory[end].to(dynamics.device, dynamics.dtype) for end in (0, -1))
        share = float(random.random())
        state = on_real(scene, dynamics.restarted(share * first + (1 - share) * last), step)
        return Moment(dynamics, state, derive(scene.seed, "moment", step), last, learned)
