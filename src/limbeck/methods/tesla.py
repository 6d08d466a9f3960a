"""TESLA: trajectory matching with a frozen adjoint."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from limbeck.methods.mtt import MTT
from limbeck.parameterizations import Tensors
from limbeck.parameterizations.pixels import Pixels
from limbeck.states import Scene
from limbeck.surrogates import Moment
from limbeck.surrogates.trajectory import Trajectory


class TESLA(MTT):
    """MTT with the approximate constant-memory gradient of Cui et al. (ICML 2023).

    What a sample does to the parameters of later steps, and through them to later gradients, is left out; `mtt` has the
    exact gradient at the same order of memory, so this is here to compare with. With `soft_labels` the set's labels are
    those that the expert at the end of the matched segment gives, renewed at every step. The paper takes 10000 steps.
    """

    paper: ClassVar[str] = "cui2023tesla"
    surrogate_name: ClassVar[str] = "trajectory(memory=tesla)"
    cost: ClassVar[str] = "synthetic_steps backwards of the batch, one of them double; experts as mtt"

    steps: int = Field(10000, gt=0)
    lr_step_size: float = Field(1e-7, gt=0)
    soft_labels: bool = False

    def parameterization(self) -> Pixels:
        return Pixels(labels="soft" if self.soft_labels else "hard")

    def surrogate(self) -> Trajectory:
        return Trajectory(synthetic_steps=self.synthetic_steps, memory="tesla")

    def settled(self, scene: Scene, moment: Moment, tensors: Tensors) -> Tensors:
        if not self.soft_labels:
            return tensors
        assert moment.target is not None
        network, buffers = moment.dynamics.network, moment.state.buffers
        return {**tensors, "logits": network.logits(moment.target, buffers, tensors["pixels"], training=True)}
