"""Fresh initialisations."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limbeck.states import Carry, Scene, States
from limbeck.streams import derive
from limbeck.surrogates import Moment


class Initial(States):
    """A new random network at every outer step, never trained."""

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        state = scene.dynamics.initial(derive(scene.seed, "state", step))
        return Moment(scene.dynamics, state, derive(scene.seed, "moment", step), learned=learned)
