"""M3D: kernel mean matching."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Matching
from limbeck.samples import Domain
from limbeck.states.real_path import RealPath
from limbeck.surrogates.kernel_mean import KernelMean
from limbeck.variants import make


class M3D(Matching):
    """Match all moments of the features by a Gaussian-kernel discrepancy, in tiles (Zhang et al., AAAI 2024).

    Features are those of networks in training on the real data, as in IDC. Neither the code nor the settings of the
    paper were at hand: the bandwidths and step sizes are ours.
    """

    paper: ClassVar[str] = "zhang2024m3d"
    surrogate_name: ClassVar[str] = "kernel-mean"
    states_name: ClassVar[str] = "real-path"
    cost: ClassVar[str] = "as dm with k x factor^2; 8 training steps on real samples"

    steps: int = Field(10000, gt=0)
    lr_pixels: float = Field(1.0, gt=0)
    lr_network: float = Field(0.01, gt=0)
    factor: int = Field(2, gt=0)
    length: int = Field(100, gt=0)
    passes: int = Field(8, ge=0)

    def surrogate(self) -> KernelMean:
        return KernelMean()

    def states(self, per_class: int) -> RealPath:
        return RealPath(renew=self.length, passes=self.passes)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.lr_network}, weight_decay=5e-4)"),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", "constant(batch=64)"),
        )
