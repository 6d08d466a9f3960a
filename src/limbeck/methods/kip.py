"""KIP: kernel inducing points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Labelling, Matching
from limbeck.optimizers import Optimizer
from limbeck.optimizers.adam import Adam
from limbeck.samples import Domain
from limbeck.states.initial import Initial
from limbeck.surrogates.kernel import Kernel, analytic_depth


class KIP(Matching):
    """Samples from which ridge regression with a tangent kernel predicts the data (Nguyen et al., NeurIPS 2021).

    `kernel=empirical-ntk` takes the tangent kernel of a fresh finite network of the configuration at every step, MLP or
    small ConvNet; `kernel=analytic-ntk` that of the infinitely wide ReLU MLP of the configuration's depth. The paper's
    infinitely wide convolutional kernels need hundreds of accelerators and are not here. Labels are learned as logits;
    the measure has no margin term.

    The analytic kernel's sets suit that kernel more than a finite network: on the digits an `mlp(width=64)` trained on
    10 a class errs on .19 +- .05, on `random` ones .09 +- .01, with the empirical kernel .025 +- .005 (sd over 3 sets
    x 2 seeds, 10 s each); at 1 a class .28, .35 and .14. On 20 Newsgroups as vectors it has .45, `random` .81.
    `limbeck distill digits "kip(kernel=analytic-ntk)" -k 10 --seconds 10 -c mlp(width=64)/adamw(lr=5e-3)`.
    """

    paper: ClassVar[str] = "nguyen2021kip"
    surrogate_name: ClassVar[str] = "kernel(ntk)"
    states_name: ClassVar[str] = "initial"
    cost: ClassVar[str] = "forward and backward of the real batch, double backward of k"

    steps: int = Field(2000, gt=0)
    lr_pixels: float = Field(0.01, gt=0)
    lr_labels: float = Field(0.01, gt=0)
    labels: Labelling = "soft"
    batch_real: int = Field(32, gt=0)
    augmentation: str = "none"
    kernel: Literal["empirical-ntk", "analytic-ntk"] = "empirical-ntk"
    ridge: float = Field(1e-6, gt=0)

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        super().check(configuration, domain, per_class)
        if self.kernel == "analytic-ntk":
            analytic_depth(configuration.architecture)

    def surrogate(self) -> Kernel:
        return Kernel(kernel=self.kernel, ridge=self.ridge)

    def states(self, per_class: int) -> Initial:
        return Initial()

    def optimizers(self) -> Mapping[str, Optimizer]:
        labels = {"logits": Adam(lr=self.lr_labels)} if self.labels == "soft" else {}
        return {self.content: Adam(lr=self.lr_pixels), **labels}
