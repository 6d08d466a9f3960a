"""Paths that training on the real data takes, a few steps at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from limbeck.dynamics import train
from limbeck.samples import Samples
from limbeck.states import Carry, Scene, States, carried, on_real, restored
from limbeck.streams import derive, numpy_stream
from limbeck.surrogates import Moment


class RealPath(States):
    """A network out of a queue that is trained on real samples between outer steps.

    The queue begins with one fresh network; every `renew` steps another enters, in place of the oldest once there are
    `networks`. Each outer step visits one of them at random, then trains `trained` random ones for `passes` batches of
    real samples under the scene's dynamics. One network is the path of Kim et al. 2022, a queue that of Zhao et al.
    2023 (IDM).
    """

    looks_on_real: ClassVar[bool] = True

    networks: int = Field(1, gt=0)
    renew: int = Field(100, gt=0)
    trained: int = Field(1, gt=0)
    passes: int = Field(8, ge=0)

    def begin(self, scene: Scene) -> Carry:
        return carried(scene.dynamics.initial(derive(scene.seed, "state", 0)), "0.")

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        place = int(numpy_stream(scene.seed, "visited", step).integers(self._length(step)))
        state = on_real(scene, restored(carry, f"{place}."), step)
        return Moment(scene.dynamics, state, derive(scene.seed, "moment", step), learned=learned)

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        length = self._length(step)
        chosen = numpy_stream(scene.seed, "trained", step).permutation(length)[: self.trained]
        carry = dict(carry)
        for place in map(int, chosen) if self.passes else ():
            seed = derive(scene.seed, "path", step, place)
            start = restored(carry, f"{place}.")
            trained = train(scene.dynamics, scene.train, seed, start=start, steps=self.passes)
            carry |= carried(trained.state, f"{place}.")
        if (step + 1) % self.renew == 0:
            oldest = (step + 1) // self.renew % self.networks
            carry |= carried(scene.dynamics.initial(derive(scene.seed, "state", step + 1)), f"{oldest}.")
        return carry

    def _length(self, step: int) -> int:
        """Networks in the queue at an outer step."""
        return min(self.networks, 1 + step // self.renew)
