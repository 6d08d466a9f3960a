"""IDM: improved distribution matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Matching
from limbeck.samples import Domain
from limbeck.states.real_path import RealPath
from limbeck.surrogates.distribution import Distribution
from limbeck.variants import make


class IDM(Matching):
    """Distribution matching in tiles, on a queue of networks in training, calibrated (Zhao et al., CVPR 2023).

    DM with three changes: an image holds factor^2 training images; the networks come out of a queue of `networks`, two
    of which are trained for ten batches of real samples at each step, a new one entering every `renew`; and the
    synthetic samples' cross-entropy in each class is added, weighed by `calibration` times the network's accuracy on
    the real batch (the paper's weight of 0.5 is on percent; the released code takes its accuracy in training). There
    two networks of the queue are matched on at each step and the set is moved class by class; here one is, and once.
    Features are the last map before pooling, as in the released code, to which the weight and `lr_pixels` belong: with
    DM's `features=pooled` distances are several times smaller and want a tenth of the rate.
    """

    paper: ClassVar[str] = "zhao2023idm"
    surrogate_name: ClassVar[str] = "distribution(mean, calibration)"
    states_name: ClassVar[str] = "real-path(queue)"
    cost: ClassVar[str] = "as dm with k x factor^2; 20 training steps on real samples"
    trial: ClassVar[Mapping[str, Any]] = {"lr_pixels": 0.01}

    steps: int = Field(20000, gt=0)
    lr_pixels: float = Field(0.2, gt=0)
    lr_network: float = Field(0.01, gt=0)
    factor: int = Field(2, gt=0)
    networks: int = Field(100, gt=0)
    renew: int = Field(30, gt=0)
    trained: int = Field(2, gt=0)
    passes: int = Field(10, ge=0)
    calibration: float = Field(50.0, ge=0)
    features: Literal["pooled", "map"] = "map"
    revision: Literal[2] = 2  # of the objective: sets made before were of another one (decision 0101)

    def surrogate(self) -> Distribution:
        return Distribution(calibration=self.calibration, features=self.features)

    def states(self, per_class: int) -> RealPath:
        return RealPath(networks=self.networks, renew=self.renew, trained=self.trained, passes=self.passes)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.lr_network}, weight_decay=5e-4)"),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", "constant(batch=256)"),
        )
