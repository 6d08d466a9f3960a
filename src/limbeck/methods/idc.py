"""IDC: gradient matching in tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Matching
from limbeck.parameterizations import Tensors
from limbeck.samples import Domain, Samples
from limbeck.states import Scene
from limbeck.states.real_path import RealPath
from limbeck.surrogates import Moment
from limbeck.surrogates.gradient import Gradient
from limbeck.variants import make


class IDC(Matching):
    """Match hidden-weight gradients along the path of real training, an image holding factor^2 (Kim et al., ICML 2022).

    A network serves `length` steps and takes `passes` batches of real samples after each, with CutMix. The distance is
    |g^S - g^T|_1, as the paper has it for grey images (`distance=squared` for coloured ones). `factor=1` is its IDC-I.
    Views take one operation of color and crop; the released ones take every one, for MNIST in tiles color and crop, for
    other data cutout as well, and networks see those but cutout before CutMix (MNIST in tiles: no CutMix):
    `augmentation=chain(of=['siamese(operations=[color])', 'siamese(operations=[crop])',
    'siamese(operations=[cutout])'])` and alike for `network_augmentation`. Where a network begins, pixels are cut off
    at the data's range, as released (`clip`). There they lie in [0, 1], here in the source's prepared space: a rate r
    there is r / sd^2 here, and goes with per_class / 10 (`studies/published/` has them for each size and source).
    """

    paper: ClassVar[str] = "kim2022idc"
    surrogate_name: ClassVar[str] = "gradient(l1, hidden weights)"
    states_name: ClassVar[str] = "real-path"
    cost: ClassVar[str] = "as dc with k x factor^2; 8 training steps on real samples"
    # Tiles that are nearest to real samples overshoot their range: cutting that off is no descent.
    trial: ClassVar[Mapping[str, Any]] = {"lr_pixels": 0.1, "clip": False}
    later: ClassVar[frozenset[str]] = Matching.later - {"clip"}

    steps: int = Field(200000, gt=0)
    lr_pixels: float = Field(1e-4, gt=0)
    lr_network: float = Field(0.01, gt=0)
    batch_real: int = Field(64, gt=0)
    factor: int = Field(2, gt=0)
    augmentation: str = "siamese(operations=[color, crop])"
    network_augmentation: str = "cutmix"
    distance: Literal["l1", "squared", "rows", "cosine"] = "l1"
    length: int = Field(100, gt=0)
    passes: int = Field(8, ge=0)
    clip: bool = True

    def surrogate(self) -> Gradient:
        return Gradient(distance=self.distance, weights="hidden")

    def states(self, per_class: int) -> RealPath:
        return RealPath(renew=self.length, passes=self.passes)

    def settled(self, scene: Scene, moment: Moment, tensors: Tensors, unfold: Callable[[Tensors], Samples]) -> Tensors:
        return tensors if moment.state.step else super().settled(scene, moment, tensors, unfold)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        self.views(domain)
        kept = domain.is_image or not self.at_default("network_augmentation")
        return configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.lr_network}, weight_decay=5e-4)"),
            augmentation=make("augmentations", self.network_augmentation if kept else "none"),
            schedule=make("schedules", "constant(batch=64)"),
        )
