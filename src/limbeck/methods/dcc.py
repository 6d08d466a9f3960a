"""DCC: contrastive gradient matching."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from limbeck.methods.dc import DC
from limbeck.samples import Samples
from limbeck.states import Scene
from limbeck.states.synthetic_path import SyntheticPath
from limbeck.surrogates import Moment
from limbeck.surrogates.gradient import Gradient


class DCC(DC):
    """DC whose gradients are summed over the classes before they are compared (Lee et al., ICML 2022).

    What all classes' gradients share then counts once, and what tells classes apart counts more. The first
    `warm_steps` steps of each of the first `warm_networks` networks compare class by class, as DC. At 0 a network
    serves 10 steps, with 5 epochs after each at 1 a class and DC's at more, as in the paper; `augmentation=siamese`
    gives its DSAC.
    """

    paper: ClassVar[str] = "lee2022dcc"
    surrogate_name: ClassVar[str] = "gradient(rows, classes together)"

    warm_networks: int = Field(250, ge=0)
    warm_steps: int = Field(10, ge=0)

    def surrogate(self) -> Gradient:
        return Gradient(classes="together")

    def states(self, per_class: int) -> SyntheticPath:
        published = round(float(np.interp(per_class, [1, 10, 20, 30, 40, 50], [5, 50, 25, 20, 15, 10])))
        length = self.length or max(10, per_class)
        return SyntheticPath(length=length, epochs=self.epochs or published)

    def value(self, scene: Scene, moment: Moment, synthetic: Samples, step: int) -> Tensor:
        length = self.length or max(10, len(synthetic) // synthetic.y.shape[1])
        warm = step // length < self.warm_networks and step % length < self.warm_steps
        return self.compared(scene, moment, synthetic, step, Gradient() if warm else self.surrogate())
