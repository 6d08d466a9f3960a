"""The path that training on the synthetic set itself takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.dynamics import State, train
from limbeck.samples import Samples
from limbeck.states import Carry, Scene, States, carried, on_real, restored
from limbeck.streams import derive, stream
from limbeck.surrogates import Moment

WATCHED = 10  # accuracies whose range is looked at
JUDGES = 128  # real samples of each class that an accuracy is taken on


class SyntheticPath(States):
    """A network trained on the synthetic set between outer steps, and replaced by a new one every `length` steps.

    After each update of the set the network takes `epochs` passes over it under the scene's dynamics. With an
    `outer_range` above 0 it is replaced earlier, once its accuracy on real samples, at most 128 drawn of each class,
    had a smaller range over 10 outer steps; with an `inner_range` passes end earlier, once the accuracy had a larger
    range over 10 of them (Wang et al. 2022).
    """

    looks_on_real: ClassVar[bool] = True

    length: int = Field(10, gt=0)
    epochs: int = Field(50, ge=0)
    outer_range: float = Field(0.0, ge=0)
    inner_range: float = Field(0.0, ge=0)

    def begin(self, scene: Scene) -> Carry:
        return self._fresh(scene, 0)

    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        state = on_real(scene, restored(carry), step)
        return Moment(scene.dynamics, state, derive(scene.seed, "moment", step), learned=learned)

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        if (step + 1) % self.length == 0:
            return self._fresh(scene, step + 1)
        held, watched = restored(carry), {}
        if self.outer_range:
            seen = carry.get("watched", torch.empty(0, dtype=torch.float64))
            seen = torch.cat([seen, self.accuracy(scene, held, step, 0)])[-WATCHED:]
            if len(seen) == WATCHED and seen.max() - seen.min() < self.outer_range:
                return self._fresh(scene, step + 1)
            watched = {"watched": seen}
        return carried(self._trained(scene, held, step, synthetic)) | watched

    def _trained(self, scene: Scene, held: State, step: int, synthetic: Samples) -> State:
        """The network after its passes over the set."""
        dynamics, state = scene.dynamics, scene.dynamics.restarted(held.vector, held.buffers)
        steps = -(-len(synthetic) // dynamics.configuration.schedule.batch)
        if not self.inner_range:
            seed = derive(scene.seed, "path", step)
            return train(dynamics, synthetic, seed, start=state, steps=self.epochs * steps).state
        seen = torch.empty(0, dtype=torch.float64)
        for turn in range(self.epochs):
            state = train(dynamics, synthetic, derive(scene.seed, "path", step, turn), start=state, steps=steps).state
            seen = torch.cat([seen, self.accuracy(scene, state, step, turn + 1)])[-WATCHED:]
            if len(seen) == WATCHED and seen.max() - seen.min() > self.inner_range:
                break
        return state

    @staticmethod
    def accuracy(scene: Scene, state: State, step: int, turn: int) -> Tensor:
        """The mean over classes of the network's accuracy on random real samples (1,)."""
        random = stream(scene.seed, "judges", step, turn)
        right = []
        for label, own in enumerate(scene.members):
            chosen = own[torch.randperm(len(own), generator=random)[:JUDGES]]
            x = scene.train.x[chosen].to(scene.dynamics.device, scene.dynamics.dtype)
            right.append((scene.dynamics.predict(state, x).argmax(1) == label).double().mean().cpu())
        return torch.stack(right).mean()[None]

    @staticmethod
    def _fresh(scene: Scene, step: int) -> Carry:
        return carried(scene.dynamics.initial(derive(scene.seed, "state", step)))
