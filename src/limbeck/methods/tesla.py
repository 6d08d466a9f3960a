"""TESLA: trajectory matching with a frozen adjoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.errors import BadSetting
from limbeck.methods.mtt import MTT
from limbeck.network import copied
from limbeck.optimizers import Optimizer
from limbeck.parameterizations import Tensors
from limbeck.samples import Domain, Samples
from limbeck.states import Scene
from limbeck.surrogates import Moment
from limbeck.surrogates.trajectory import Trajectory


class TESLA(MTT):
    """MTT with the approximate constant-memory gradient of Cui et al. (ICML 2023).

    What a sample does to the parameters of later steps, and through them to later gradients, is left out; `mtt` has the
    exact gradient at the same order of memory, so this is here to compare with. With `labels=soft` the set's labels are
    those that the expert at the end of the matched segment gives, renewed at every step; the finished set keeps those
    of the last one. The paper takes 10000 steps.
    In 20 s of a core on Fashion-MNIST, some 20 updates at 10 a class, it is not told apart from `random`, in 120 s it
    is .3 points above `k-means` (docs/results/methods.md).

    Where steps are large the difference is one of outcome: on text embeddings at 1 a class, five steps of 0.3, its
    surrogate ends lower than that of `mtt` (.57 and .71) and its set worse, 53 and 86 % on validation samples (one set,
    150 updates, five experts of one epoch).
    """

    paper: ClassVar[str] = "cui2023tesla"
    surrogate_name: ClassVar[str] = "trajectory(memory=tesla)"
    cost: ClassVar[str] = "synthetic_steps backwards of the batch, one of them double; experts as mtt"

    steps: int = Field(10000, gt=0)
    lr_step_size: float = Field(1e-7, gt=0)

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        super().check(configuration, domain, per_class)
        if self.labels == "soft" and self.parameterization().copies > 1:
            raise BadSetting("tesla renews one label a training image; tiles have one for several. Use factor=1.")

    def optimizers(self) -> Mapping[str, Optimizer]:
        return {name: rule for name, rule in super().optimizers().items() if name != "logits"}

    def surrogate(self) -> Trajectory:
        return Trajectory(synthetic_steps=self.synthetic_steps, memory="tesla")

    def value(self, scene: Scene, moment: Moment, synthetic: Samples, step: int) -> Tensor:
        if self.labels == "soft":
            synthetic = replace(synthetic, y=torch.softmax(self._said(moment, synthetic.x), 1))
        return super().value(scene, moment, synthetic, step)

    def settled(self, scene: Scene, moment: Moment, tensors: Tensors, unfold: Callable[[Tensors], Samples]) -> Tensors:
        tensors = super().settled(scene, moment, tensors, unfold)
        if self.labels != "soft":
            return tensors
        return {**tensors, "logits": self._said(moment, unfold(tensors).x)}

    @staticmethod
    @torch.no_grad()
    def _said(moment: Moment, x: Tensor) -> Tensor:
        """Logits (n, classes) of the expert at the end of the segment."""
        assert moment.target is not None
        return moment.dynamics.network.logits(moment.target, copied(moment.state.buffers), x, training=True)
