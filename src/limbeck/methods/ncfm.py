"""NCFM: characteristic-function matching."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.methods import Matching
from limbeck.optimizers import Optimizer
from limbeck.optimizers.adamw import AdamW
from limbeck.optimizers.sgd import SGD
from limbeck.parameterizations import Tensors
from limbeck.samples import Domain
from limbeck.states import ExpertPlan, Scene
from limbeck.states.expert_mixture import ExpertMixture
from limbeck.surrogates.characteristic import Characteristic, initial_sampler
from limbeck.variants import make


class NCFM(Matching):
    """Match the characteristic functions of features, under networks between init and expert (Wang et al., CVPR 2025).

    The set lowers the distance, in tiles; with `sampling=learned` a network of frequencies raises it at the same time,
    as in the paper (the released settings draw 4096 normal frequencies instead, the default here is the paper's 1024).
    Each step looks through a random mixture of one expert's first and last parameters, and adds the synthetic samples'
    cross-entropy in each class under its last ones. The released code moves one class after the other, first by the
    distance, then by the cross-entropy; here all move at once, by the sum. Views take one of color, crop and cutout
    where the released ones take all three (`chain`, see `idc`). Where the loss has reached no new low for `patience`
    steps, the rate of pixels is halved. The released code also cuts pixels off at black and white, `clip=true`, and
    moves the network of frequencies by plain descent, `sampler=sgd`.
    """

    paper: ClassVar[str] = "wang2025ncfm"
    surrogate_name: ClassVar[str] = "characteristic"
    states_name: ClassVar[str] = "expert-mixture"
    cost: ClassVar[str] = "forward of batch_real x classes and their frequencies; experts x epochs of the data before"

    later: ClassVar[frozenset[str]] = Matching.later | {"sampler"}

    steps: int = Field(20000, gt=0)
    lr_pixels: float = Field(0.01, gt=0)
    lr_sampler: float = Field(1e-3, gt=0)
    batch_real: int = Field(1024, gt=0)
    factor: int = Field(2, gt=0)
    augmentation: str = "siamese(operations=[color, crop, cutout])"
    frequencies: int = Field(1024, gt=0)
    sampling: Literal["normal", "learned"] = "learned"
    sampler: Literal["adamw", "sgd"] = "adamw"
    calibration: float = Field(1.0, ge=0)
    experts: int = Field(20, gt=0)
    expert_epochs: int = Field(60, gt=0)
    expert_lr: float = Field(0.01, gt=0)
    patience: int = Field(500, gt=0)
    revision: Literal[2] = 2  # of the objective: sets made before were of another one (decision 0101)

    def surrogate(self) -> Characteristic:
        return Characteristic(frequencies=self.frequencies, sampling=self.sampling, calibration=self.calibration)

    def states(self, per_class: int) -> ExpertMixture:
        return ExpertMixture(count=self.experts)

    def auxiliary(self, scene: Scene) -> Tensors:
        return {"sampler": initial_sampler(scene.dynamics.network.feature_size)} if self.sampling == "learned" else {}

    def optimizers(self) -> Mapping[str, Optimizer]:
        rules = {**super().optimizers(), self.content: AdamW(lr=self.lr_pixels)}
        return rules | ({"sampler": self._of_sampler()} if self.sampling == "learned" else {})

    def _of_sampler(self) -> Optimizer:
        if self.sampler == "adamw":
            return AdamW(lr=self.lr_sampler)
        return SGD(lr=self.lr_sampler, momentum=self.momentum)

    def pace(self, progress: float, losses: Sequence[float]) -> float:
        return plateau(losses, self.patience)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.expert_lr}, weight_decay=5e-4)"),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", "constant(batch=128)"),
        )

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan:
        return ExpertPlan(dynamics.configuration, self.expert_epochs, self.experts, every=self.expert_epochs)


def plateau(losses: Sequence[float], patience: int) -> float:
    """Halved each time that more than `patience` losses in a row were no new low (by a ten-thousandth of it)."""
    factor, lowest, waited = 1.0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < lowest * (1 - 1e-4) else waited + 1
        lowest = loss if waited == 0 else lowest
        if waited > patience:
            factor, waited = factor / 2, 0
    return factor
