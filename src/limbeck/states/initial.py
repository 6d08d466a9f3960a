"""Fresh initialisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from limbeck.states import Carry, Scene, States, on_real
from limbeck.streams import derive
from limbeck.surrogates import Moment


class Initial(States):
    """A new random network at every outer step, never trained."""

    looks_on_real: ClassVar[bool] = True

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        state = scene.dynamics.initial(derive(scene.seed, "state", step))
        state = on_real(scene, state, step)
        return Moment(scene.dynamics, state, derive(scene.seed, "moment", step), learned=learned)
