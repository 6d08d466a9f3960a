"""CAFE: layer-wise feature alignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Matching, Start
from limbeck.samples import Domain
from limbeck.states.synthetic_path import SyntheticPath
from limbeck.surrogates.layers import Layers
from limbeck.variants import make


class CAFE(Matching):
    """Match mean activations of every layer along the path that the set induces (Wang et al., CVPR 2022).

    Late layers weigh ten times what early ones do, as released; beside them, the synthetic class centres must lie at
    the real ones and tell the real samples apart. A network serves `length` steps, with `epochs` passes over the set
    after each. As in the released code the rate of pixels is halved at .6, .8 and .9 of the steps (`decay`).

    The paper ends both loops by the accuracy on real samples: `outer_range=0.04, inner_range=0.03` and large ends, such
    as `length=1000, epochs=30`. A step is ten times as dear then.
    """

    paper: ClassVar[str] = "wang2022cafe"
    surrogate_name: ClassVar[str] = "layers"
    states_name: ClassVar[str] = "synthetic-path"
    cost: ClassVar[str] = "forward of batch_real x classes, forward and backward of k, epochs x k"

    later: ClassVar[frozenset[str]] = Matching.later | {"outer_range", "inner_range"}

    steps: int = Field(20000, gt=0)
    lr_pixels: float = Field(0.1, gt=0)
    lr_network: float = Field(0.01, gt=0)
    initial: Start = "noise"
    augmentation: str = "none"
    length: int = Field(10, gt=0)
    epochs: int = Field(10, ge=0)
    discrimination: float = Field(0.01, ge=0)
    decay: float = Field(0.5, gt=0, le=1)
    outer_range: float = Field(0.0, ge=0)
    inner_range: float = Field(0.0, ge=0)
    revision: Literal[2] = 2  # of the objective: sets made before were of another one (decision 0101)

    def surrogate(self) -> Layers:
        return Layers(discrimination=self.discrimination)

    def states(self, per_class: int) -> SyntheticPath:
        ranges = {"outer_range": self.outer_range, "inner_range": self.inner_range}
        return SyntheticPath(length=self.length, epochs=self.epochs, **ranges)

    def pace(self, progress: float, losses: Sequence[float]) -> float:
        return float(self.decay ** sum(progress >= share for share in (0.6, 0.8, 0.9)))

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.lr_network}, momentum=0.0)"),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", "constant(batch=256)"),
        )
