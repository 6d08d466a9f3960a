"""Recipes that learn the stored samples by gradient descent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation
from limbeck.configuration import Configuration
from limbeck.errors import BadSetting
from limbeck.methods._method import Labelling, Method
from limbeck.methods._selection import centres_of_each_class, random_of_each_class
from limbeck.methods._taught import Taught, coded, stored_labels
from limbeck.optimizers import Optimizer
from limbeck.optimizers.sgd import SGD
from limbeck.parameterizations import Parameterization, Tensors
from limbeck.parameterizations.pixels import Pixels
from limbeck.parameterizations.tiles import Tiles
from limbeck.real_batches import random_batch, representative_batch
from limbeck.samples import Domain, Samples
from limbeck.states import Carry, Scene, States
from limbeck.streams import stream
from limbeck.surrogates import Moment, Surrogate
from limbeck.variants import make

if TYPE_CHECKING:
    from limbeck.sources import Source

Start = Literal["real", "k-means", "noise"]
"""Random real samples, the real ones nearest to k-means centres of each class, or normal numbers."""


class Matching(Taught):
    """A recipe that lowers a surrogate by gradient descent on the stored tensors.

    `batch=representative` shows it the real samples nearest to `batch_real` k-means centres of each class, clustered
    anew every `recluster` steps, and with `initial=k-means` the set starts from what `k-means` selects (both DREAM, Liu
    et al., ICCV 2023). A `factor` above 1 stores images in factor x factor tiles, `latent` above 0 stores each sample
    as so many principal components and `decoder=FOLDER` as the latents of an autoencoder; `labels=soft` learns labels
    beside the samples where the surrogate reads them, `labels=teacher` lets the finished set carry a teacher that
    labels it, see `Taught`. `clip` cuts pixels off at the range of the training samples, of each channel, after every
    update. With `keep_start` the set at its start is validated too, so that none is kept that validates worse.
    """

    later: ClassVar[frozenset[str]] = Taught.later | {"latent", "decoder", "clip", "keep_start"}

    steps: int = Field(1000, gt=0)
    lr_pixels: float = Field(1.0, gt=0)
    momentum: float = Field(0.5, ge=0, lt=1)
    batch_real: int = Field(256, gt=0)
    initial: Start = "real"
    augmentation: str = "siamese"
    batch: Literal["random", "representative"] = "random"
    recluster: int = Field(10, gt=0)
    factor: int = Field(1, gt=0)
    labels: Labelling = "hard"
    lr_labels: float = Field(0.1, gt=0)
    latent: int = Field(0, ge=0)
    decoder: str = ""
    clip: bool = False
    keep_start: bool = False

    def labelling(self) -> Labelling:
        return self.labels

    def parameterization(self) -> Parameterization:
        labels = stored_labels(self.labels)
        if codes := coded(self.latent, self.decoder, labels):
            return codes
        return Tiles(factor=self.factor, labels=labels) if self.factor > 1 else Pixels(labels=labels)

    def suited(self, domain: Domain) -> Method:
        """Vectors have no tiles: unless another factor was asked for, each stored one is a sample."""
        tiled = self.factor > 1 and self.at_default("factor")
        return self.with_settings(factor=1) if tiled and not domain.is_image else self

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        if (self.latent or self.decoder) and self.factor > 1 and not self.at_default("factor"):
            raise BadSetting("samples are stored as codes or in tiles. Leave out latent and decoder, or factor.")
        self.parameterization().check(domain)
        if self.labels == "soft" and not self.surrogate().reads_labels:
            raise BadSetting(
                f"{self.variant_name()} compares samples without their labels, so labels=soft would learn nothing. "
                "Use labels=hard, or a method that reads labels, such as dc or mtt."
            )

    @abstractmethod
    def surrogate(self) -> Surrogate:
        """What is lowered."""

    @abstractmethod
    def states(self, per_class: int) -> States:
        """Where it is measured."""

    def settled(self, scene: Scene, moment: Moment, tensors: Tensors, unfold: Callable[[Tensors], Samples]) -> Tensors:
        """The stored tensors after an update of the set, with what the recipe does to them besides descending."""
        if not self.clip or "pixels" not in tensors:
            return tensors
        least, largest = (end.to(tensors["pixels"]) for end in scene.extremes)
        return {**tensors, "pixels": tensors["pixels"].clamp(least, largest)}

    def completed(self, scene: Scene, carry: Carry, tensors: Tensors, unfold: Callable[[Tensors], Samples]) -> Tensors:
        """The stored tensors of a set that is to be trained on, with what no update of it has to know."""
        return tensors

    def pace(self, progress: float, losses: Sequence[float]) -> float:
        """What `lr_pixels` is multiplied by at a share `progress` in [0, 1) of the steps, after these losses."""
        return 1.0

    def passes_over(self, loss: float) -> bool:
        """Whether an update is left out, its momentum too, as the surrogate was this large."""
        return False

    def averaging(self) -> float:
        """Decay of the running average of the stored tensors that validation compares with the last; 0 keeps none."""
        return 0.0

    def outer_steps(self) -> int:
        return self.steps

    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        copies = self.parameterization().copies
        if self.initial == "k-means":
            return source.train[centres_of_each_class(source, per_class, scene.seed, copies)]
        chosen = source.train[random_of_each_class(source, per_class, scene.seed, copies)]
        if self.initial == "real":
            return chosen
        noise = torch.randn(chosen.x.shape, generator=stream(scene.seed, "noise"), dtype=chosen.x.dtype)
        return Samples(noise, chosen.y, chosen.group)

    def learned(self) -> Tensors:
        """Stored tensors beside the samples, such as a step size, at their start."""
        return {}

    @property
    def content(self) -> str:
        """The stored tensor of the samples, which `lr_pixels` moves."""
        return self.parameterization().content

    def auxiliary(self, scene: Scene) -> Tensors:
        """Tensors that are learned beside the set and are no part of it, at their start."""
        return {}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """The update rule of each stored tensor that is learned."""
        rules: dict[str, Optimizer] = {self.content: SGD(lr=self.lr_pixels, momentum=self.momentum)}
        if self.labels == "soft":
            rules["logits"] = SGD(lr=self.lr_labels, momentum=self.momentum)
        return rules

    def views(self, domain: Domain) -> str:
        """The augmentation; the default one is of images alone, so vectors have none.

        Raises `NotApplicable` for another image augmentation that was set for vectors.
        """
        if not domain.is_image and self.at_default("augmentation"):
            return "none"
        make("augmentations", self.augmentation).check(domain)
        return self.augmentation

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        make("augmentations", self.views(domain))
        return configuration

    def value(self, scene: Scene, moment: Moment, synthetic: Samples, step: int) -> Tensor:
        """The surrogate at a moment, on siamese views of the synthetic set and of a real batch of each class."""
        return self.compared(scene, moment, synthetic, step, self.surrogate())

    def compared(self, scene: Scene, moment: Moment, synthetic: Samples, step: int, surrogate: Surrogate) -> Tensor:
        """A surrogate at a moment, on the views and the real batch of an outer step."""
        if not surrogate.reads_real:
            return surrogate.value(moment, synthetic, synthetic)
        if self.batch == "random":
            real = random_batch(scene, self.batch_real, step)
        else:
            real = representative_batch(scene, self.batch_real, step, self.recluster)
        real = real.to(synthetic.x.device, synthetic.x.dtype)
        augmentation = make("augmentations", self.views(scene.dynamics.domain))
        if surrogate.siamese and augmentation.variant_name() != "none":
            synthetic, real = self._siamese(scene, augmentation, synthetic, real, step)
        return surrogate.value(moment, synthetic, real)

    @staticmethod
    def _siamese(
        scene: Scene, augmentation: Augmentation, synthetic: Samples, real: Samples, step: int
    ) -> tuple[Samples, Samples]:
        """Both batches with one draw a class that all samples of the class share, real and synthetic."""
        kept: tuple[list[Samples], list[Samples]] = ([], [])
        others = real.by_class()
        for label, own in synthetic.by_class().items():
            draw = augmentation.draw(1, scene.dynamics.domain, stream(scene.seed, "siamese", step, label))
            for views, part in zip(kept, (own, others[label]), strict=True):
                views.append(Samples(*draw(part.x, part.y), part.group))
        return Samples.concatenated(kept[0]), Samples.concatenated(kept[1])
