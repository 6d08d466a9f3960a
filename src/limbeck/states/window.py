"""Random points of the training on the synthetic set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from limbeck.dynamics import train
from limbeck.samples import Samples
from limbeck.states import Carry, Scene, States, carried, restored
from limbeck.streams import derive, numpy_stream
from limbeck.surrogates import Moment


class Window(States):
    """A fresh network after t steps of training on the set, t uniform on 0..`total` - `window` (Feng et al. 2024).

    It stands where a window of `window` steps begins that still ends within a training of `total` steps, with the
    optimizer's moments of the t steps. The first outer step, before which no set is known, stands at t = 0.
    """

    trial: ClassVar[Mapping[str, Any]] = {"total": 5}

    total: int = Field(200, gt=0)
    window: int = Field(60, gt=0)

    def begin(self, scene: Scene) -> Carry:
        return carried(scene.dynamics.initial(derive(scene.seed, "state", 0)))

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        return Moment(scene.dynamics, restored(carry), derive(scene.seed, "moment", step), learned=learned)

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        fresh = scene.dynamics.initial(derive(scene.seed, "state", step + 1))
        drawn = numpy_stream(scene.seed, "window", step + 1).integers(max(0, self.total - self.window) + 1)
        seed = derive(scene.seed, "path", step + 1)
        return carried(train(scene.dynamics, synthetic, seed, start=fresh, steps=int(drawn)).state)
