"""BPTT: back-propagation through the whole training on the set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Matching
from limbeck.optimizers import Clipped, Optimizer
from limbeck.optimizers.adam import Adam
from limbeck.parameterizations import Tensors
from limbeck.samples import Domain
from limbeck.states import States
from limbeck.states.initial import Initial
from limbeck.surrogates.outcome import Outcome
from limbeck.variants import make


class BPTT(Matching):
    """Lower the loss on real samples after training a fresh network on the set (Wang et al. 2018).

    The gradient goes through all `total` steps of the inner training, exactly and at constant memory, for any `inner`
    optimizer: `sgd(...)` with or without momentum, `adam(...)`. The set is moved by Adam, its gradient shortened to at
    most `clipping` times the running mean of its length (Feng et al. 2024; 0 leaves it as it is). With a `step_size`
    above 0 that number replaces the inner rate and is learned as well; Wang et al. learn one for every step. With
    `labels=soft` labels are learned as logits. In 20 s of a core on Fashion-MNIST, ten updates at 10 a class, it does
    not beat `k-means` there, nor in 120 s (docs/results/methods.md). More updates are no help: begun at
    `initial=k-means`, 7 of them at `total=10`, 45 with `batch_synthetic=25, lr_pixels=.03`, or 41 with
    `inner=adam(lr=5e-3)` beside left a set that validates worse than its start (one set each). What is lowered is the
    loss after 10 steps, what is judged is what 150 steps under augmentation leave.
    """

    paper: ClassVar[str] = "wang2018dd"
    surrogate_name: ClassVar[str] = "outcome"
    states_name: ClassVar[str] = "initial"
    trial: ClassVar[Mapping[str, Any]] = {"total": 3}
    cost: ClassVar[str] = "total double backwards of k, forward and backward of batch_real x classes"

    steps: int = Field(2000, gt=0)
    lr_pixels: float = Field(0.01, gt=0)
    batch_real: int = Field(128, gt=0)
    augmentation: str = "none"
    inner: str = "sgd(lr=0.05, momentum=0.9)"
    batch_synthetic: int = Field(256, gt=0)
    total: int = Field(30, gt=0)
    clipping: float = Field(2.0, ge=0)
    step_size: float = Field(0.0, ge=0)
    lr_step_size: float = Field(1e-3, gt=0)
    lr_labels: float = Field(0.01, gt=0)

    def surrogate(self) -> Outcome:
        return Outcome(synthetic_steps=self.total)

    def states(self, per_class: int) -> States:
        return Initial()

    def learned(self) -> Tensors:
        return {"step_size": torch.tensor(self.step_size)} if self.step_size else {}

    def optimizers(self) -> Mapping[str, Optimizer]:
        rates = {self.content: self.lr_pixels}
        rates |= {"logits": self.lr_labels} if self.labels == "soft" else {}
        rates |= {"step_size": self.lr_step_size} if self.step_size else {}
        return {name: self._clipped(Adam(lr=rate)) for name, rate in rates.items()}

    def _clipped(self, rule: Optimizer) -> Optimizer:
        return Clipped(rule=rule, lr=rule.lr, factor=self.clipping) if self.clipping else rule

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", self.inner),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", f"constant(batch={self.batch_synthetic})"),
        )
