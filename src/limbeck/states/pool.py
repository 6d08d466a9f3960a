"""A pool of networks that are trained on the synthetic set as it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field
from torch import Tensor

from limbeck.dynamics import train
from limbeck.samples import Samples
from limbeck.states import Carry, Scene, States, carried, restored
from limbeck.streams import derive, numpy_stream
from limbeck.surrogates import Moment


class Pool(States):
    """One of a pool of networks, each trained on the set a step at a time and then replaced (Zhou et al. 2022).

    Every outer step draws one of `networks`; after the set's update that one takes one step on it, with its optimizer's
    own moments, and after `lifetime` steps a fresh one takes its place. The first ones count as of ages spread evenly,
    so that they are not replaced all at once.
    """

    networks: int = Field(10, gt=0)
    lifetime: int = Field(100, gt=0)

    def begin(self, scene: Scene) -> Carry:
        carry: Carry = {}
        for place in range(self.networks):
            fresh = scene.dynamics.initial(derive(scene.seed, "state", 0, place))
            carry |= carried(replace(fresh, step=place * self.lifetime // self.networks), f"{place}.")
        return carry

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        state = restored(carry, f"{self._drawn(scene, step)}.")
        return Moment(scene.dynamics, state, derive(scene.seed, "moment", step), learned=learned)

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        place = self._drawn(scene, step)
        state = restored(carry, f"{place}.")
        seed = derive(scene.seed, "path", step)
        state = train(scene.dynamics, synthetic, seed, start=state, steps=1).state
        if state.step >= self.lifetime:
            state = scene.dynamics.initial(derive(scene.seed, "state", step + 1, place))
        return {**carry, **carried(state, f"{place}.")}

    def _drawn(self, scene: Scene, step: int) -> int:
        return int(numpy_stream(scene.seed, "pool", step).integers(self.networks))
