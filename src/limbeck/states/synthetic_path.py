"""The path that training on the synthetic set itself takes."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from limbeck.dynamics import train
from limbeck.samples import Samples
from limbeck.states import Carry, Scene, States, carried, restored
from limbeck.streams import derive
from limbeck.surrogates import Moment


class SyntheticPath(States):
    """A network trained on the synthetic set between outer steps, and replaced by a new one every `length` steps.

    After each update of the set the network takes `epochs` passes over it under the scene's dynamics.
    """

    length: int = Field(10, gt=0)
    epochs: int = Field(50, ge=0)

    def begin(self, scene: Scene) -> Carry:
        return self._fresh(scene, 0)

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        return Moment(scene.dynamics, restored(carry), derive(scene.seed, "moment", step), learned=learned)

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        if (step + 1) % self.length == 0:
            return self._fresh(scene, step + 1)
        batch = scene.dynamics.configuration.schedule.batch
        held = restored(carry)
        start = scene.dynamics.restarted(held.vector, held.buffers)
        passes = self.epochs * -(-len(synthetic) // batch)
        trained = train(scene.dynamics, synthetic, derive(scene.seed, "path", step), start=start, steps=passes)
        return carried(trained.state)

    @staticmethod
    def _fresh(scene: Scene, step: int) -> Carry:
        return carried(scene.dynamics.initial(derive(scene.seed, "state", step)))
