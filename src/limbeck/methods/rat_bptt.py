"""RaT-BPTT: back-propagation through random windows of the training on the set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.errors import BadSetting
from limbeck.methods.bptt import BPTT
from limbeck.samples import Domain
from limbeck.states.window import Window
from limbeck.surrogates.outcome import Outcome


class RaTBPTT(BPTT):
    """BPTT through a random window of `window` steps within a training of `total` (Feng, Vedantam & Kempe, ICLR 2024).

    A plain truncation would only ever see the same end of the training; a random one sees all of it at the price of a
    short one. The paper trains inside with Adam, takes 60 of 200 steps, batches of 5000 real samples and 60000 outer
    steps at `lr_pixels=1e-3`. It starts from noise scaled to norm 1, shows both sides random flips and rotations
    (`augmentation` here is the set's alone), and learns labels as numbers of at least 0; here sets start from real
    samples, without views, and labels are learned as logits. In 20 s of a core on Fashion-MNIST, seven updates at 10 a
    class, it does not beat `k-means` there, in 120 s it is .7 points above (docs/results/methods.md).
    """

    paper: ClassVar[str] = "feng2024ratbptt"
    surrogate_name: ClassVar[str] = "outcome"
    states_name: ClassVar[str] = "window"
    trial: ClassVar[Mapping[str, Any]] = {"total": 4}
    cost: ClassVar[str] = "window double backwards of k after up to total steps, forward and backward of the real batch"

    steps: int = Field(60000, gt=0)
    lr_pixels: float = Field(1e-3, gt=0)
    batch_real: int = Field(500, gt=0)
    inner: str = "adam(lr=1e-3)"
    total: int = Field(200, gt=0)
    window: int = Field(60, gt=0)

    def surrogate(self) -> Outcome:
        return Outcome(synthetic_steps=self.window)

    def states(self, per_class: int) -> Window:
        return Window(total=self.total, window=self.window)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        if self.step_size:
            raise BadSetting("rat-bptt learns no step size: the steps before its window take the inner rate. Use bptt.")
        return super().dynamics_configuration(configuration, domain, per_class)
