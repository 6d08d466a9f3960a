"""DC: gradient matching."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Matching, Start
from limbeck.samples import Domain
from limbeck.states.synthetic_path import SyntheticPath
from limbeck.surrogates.gradient import Gradient
from limbeck.variants import make


class DC(Matching):
    """Match loss gradients along the path that training on the set takes (Zhao, Mopuri & Bilen, ICLR 2021).

    One step is one update of the set; a network serves `length` of them and takes `epochs` passes over the set after
    each. At 0 both follow the paper: length = per_class, and epochs 1, 50, 25, 20, 15, 10 at 1, 10, 20, 30, 40, 50 a
    class, interpolated between and 2 from 100 on. The paper's 1000 networks at 10 a class are 10000 steps.
    """

    paper: ClassVar[str] = "zhao2021dc"
    surrogate_name: ClassVar[str] = "gradient(rows)"
    states_name: ClassVar[str] = "synthetic-path"
    cost: ClassVar[str] = "forward and backward of batch_real x classes, double backward of k, epochs x k"

    steps: int = Field(10000, gt=0)
    lr_pixels: float = Field(0.1, gt=0)
    lr_network: float = Field(0.01, gt=0)
    initial: Start = "noise"
    augmentation: str = "none"
    length: int = Field(0, ge=0)
    epochs: int = Field(0, ge=0)

    def surrogate(self) -> Gradient:
        return Gradient()

    def states(self, per_class: int) -> SyntheticPath:
        published = np.interp(per_class, [1, 10, 20, 30, 40, 50, 100], [1, 50, 25, 20, 15, 10, 2])
        return SyntheticPath(length=self.length or per_class, epochs=self.epochs or round(float(published)))

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.lr_network}, momentum=0.0)"),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", "constant(batch=256)"),
        )
