"""FRePo: neural feature regression with pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.methods import Labelling, Matching
from limbeck.optimizers import Optimizer
from limbeck.optimizers.adam import Adam
from limbeck.samples import Domain
from limbeck.states.pool import Pool
from limbeck.surrogates.kernel import Kernel
from limbeck.variants import make


class FRePo(Matching):
    """Ridge regression on the features of networks from a pool trained on the set (Zhou et al., NeurIPS 2022).

    One regression on the features stands for training the last layer to its end; the rest of the network is held fixed.
    Labels are learned; what keeps their largest entry ahead of the second is the `margin`. The paper has LAMB at 3e-4
    for 500000 steps, falling by a cosine to a tenth: each moves all pixels by 3e-4 of their norm, along Adam's
    direction. Adam takes larger and fewer steps here, of about its rate times that norm, as prepared pixels have a size
    of 1, and its rate stays. Where the paper learns labels without bounds and trains its pool by squared errors, here
    they stay distributions (softmax of learned logits), which any training on soft labels takes, the pool's too.
    """

    paper: ClassVar[str] = "zhou2022frepo"
    surrogate_name: ClassVar[str] = "kernel(features)"
    states_name: ClassVar[str] = "pool"
    cost: ClassVar[str] = "forward of the real batch, two forwards and backwards of k"
    trial: ClassVar[Mapping[str, Any]] = {"networks": 2, "lifetime": 2}

    steps: int = Field(5000, gt=0)
    lr_pixels: float = Field(3e-3, gt=0)
    lr_labels: float = Field(3e-3, gt=0)
    labels: Labelling = "soft"
    batch_real: int = Field(102, gt=0)
    augmentation: str = "none"
    networks: int = Field(10, gt=0)
    lifetime: int = Field(100, gt=0)
    inner: str = "adam(lr=3e-4)"
    batch_synthetic: int = Field(1000, gt=0)
    ridge: float = Field(1e-6, gt=0)
    margin: float = Field(1.0, ge=0)
    revision: Literal[2] = 2  # of the objective: sets made before were of another one (decision 0101)

    def surrogate(self) -> Kernel:
        return Kernel(kernel="features", ridge=self.ridge, margin=self.margin)

    def states(self, per_class: int) -> Pool:
        return Pool(networks=self.networks, lifetime=self.lifetime)

    def optimizers(self) -> Mapping[str, Optimizer]:
        labels = {"logits": Adam(lr=self.lr_labels)} if self.labels == "soft" else {}
        return {self.content: Adam(lr=self.lr_pixels), **labels}

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", self.inner),
            augmentation=make("augmentations", self.views(domain)),
            schedule=make("schedules", f"constant(batch={self.batch_synthetic})"),
        )
