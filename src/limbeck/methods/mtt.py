"""MTT: trajectory matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.methods import Matching
from limbeck.optimizers import Optimizer
from limbeck.optimizers.sgd import SGD
from limbeck.parameterizations import Tensors
from limbeck.samples import Domain
from limbeck.states import ExpertPlan
from limbeck.states.experts import ExpertSegments
from limbeck.surrogates.trajectory import Trajectory
from limbeck.variants import make


class MTT(Matching):
    """Match where experts, trained on the real data, go in a few epochs (Cazenavette et al., CVPR 2022).

    The samples and the training step size are learned, through the exact gradient at constant memory. Defaults are the
    paper's but for the experts (there 100 of 50 epochs, of which 28 are read), for batches of 256 of the set (there all
    of it), and for `keep_start`: few updates, for one expert, can leave a set worse than the samples that it began
    with. With few updates the step size hardly moves, so it has to begin where `synthetic_steps` of it can go where an
    expert went: on text embeddings at 1 a class five steps of 0.05 left 66 % on validation samples, of 0.3 86 % (one
    set, 150 updates, experts of one epoch). In 20 s of a core on Fashion-MNIST, where an expert leaves time for some 20
    updates at 10 a class, it does not beat `k-means`; in 120 s it is 1.2 points above (docs/results/methods.md).
    """

    paper: ClassVar[str] = "cazenavette2022mtt"
    surrogate_name: ClassVar[str] = "trajectory"
    states_name: ClassVar[str] = "experts"
    cost: ClassVar[str] = "synthetic_steps double backwards of the batch; experts x epochs of the data before"

    trial: ClassVar[Mapping[str, Any]] = {"lr_pixels": 10.0}
    later: ClassVar[frozenset[str]] = (Matching.later - {"keep_start"}) | {"expert_batch"}

    steps: int = Field(5000, gt=0)
    lr_pixels: float = Field(1000.0, gt=0)
    lr_step_size: float = Field(1e-5, gt=0)
    step_size: float = Field(0.01, gt=0)
    synthetic_steps: int = Field(20, gt=0)
    batch_synthetic: int = Field(256, gt=0)
    experts: int = Field(20, gt=0)
    expert_epochs: int = Field(30, gt=0)
    expert_lr: float = Field(0.01, gt=0)
    expert_momentum: float = Field(0.0, ge=0, lt=1)
    expert_batch: int = Field(256, gt=0)
    ahead: int = Field(3, gt=0)
    max_start: int = Field(25, gt=0)
    keep_start: bool = True

    def surrogate(self) -> Trajectory:
        return Trajectory(synthetic_steps=self.synthetic_steps)

    def states(self, per_class: int) -> ExpertSegments:
        return ExpertSegments(count=self.experts, epochs=self.expert_epochs, ahead=self.ahead, max_start=self.max_start)

    def learned(self) -> Tensors:
        return {"step_size": torch.tensor(self.step_size)}

    def optimizers(self) -> Mapping[str, Optimizer]:
        step_size = SGD(lr=self.lr_step_size, momentum=self.momentum)
        return {**super().optimizers(), "step_size": step_size}

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", "sgd(momentum=0.0)"),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", f"constant(batch={self.batch_synthetic})"),
        )

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan:
        trained = dynamics.configuration.replace(
            optimizer=make("optimizers", f"sgd(lr={self.expert_lr}, momentum={self.expert_momentum})"),
            schedule=make("schedules", f"constant(batch={self.expert_batch})"),
        )
        self.states(1).check()
        return ExpertPlan(trained, self.expert_epochs, self.experts)
