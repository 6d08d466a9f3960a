"""Coresets: recipes that choose real samples."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.errors import BadData
from limbeck.methods._method import Labelling
from limbeck.methods._taught import Taught, coded, stored_labels
from limbeck.parameterizations import Parameterization
from limbeck.parameterizations.pixels import Pixels
from limbeck.real_batches import nearest_free
from limbeck.samples import Domain, Samples
from limbeck.states import ExpertPlan, Scene
from limbeck.streams import derive, numpy_stream

if TYPE_CHECKING:
    from limbeck.sources import Source


class Selection(Taught):
    """A coreset: real samples, chosen. Always shown beside the distilled sets.

    `latent` above 0 stores each as so many principal components, `decoder=FOLDER` as the latents of an autoencoder.
    `labels=soft` stores what a teacher says of each sample, `labels=teacher` the teacher.
    """

    later: ClassVar[frozenset[str]] = Taught.later | {"latent", "decoder", "labels"}

    latent: int = Field(0, ge=0)
    decoder: str = ""
    labels: Labelling = "hard"

    def labelling(self) -> Labelling:
        return self.labels

    def parameterization(self) -> Parameterization:
        labels = stored_labels(self.labels)
        return coded(self.latent, self.decoder, labels) or Pixels(labels=labels)

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        self.parameterization().check(domain)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration if self.labels == "hard" else self.teacher_configuration(configuration)

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan | None:
        return None if self.labels == "hard" else self.taught().plan(dynamics)

    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        chosen = source.train[self.choose(source, per_class, scene.seed)]
        if self.labels != "soft":
            return chosen
        said = self.labeller(scene)(chosen.x.to(scene.dynamics.device, scene.dynamics.dtype))
        return replace(chosen, y=said.to(chosen.y))

    @abstractmethod
    def choose(self, source: Source, per_class: int, seed: int) -> Tensor:
        """The chosen samples' indices in the training split, class by class (classes * per_class,)."""


def indices_by_class(source: Source, per_class: int, copies: int = 1) -> list[Tensor]:
    """The training split's indices of each class. Raises `BadData` where one has fewer than `per_class` * `copies`."""
    groups = [(source.train.group == label).nonzero().flatten() for label in range(source.domain.classes)]
    for name, own in zip(source.class_names, groups, strict=True):
        if len(own) < per_class * copies:
            tiles = f", in tiles that start from {copies} samples each" if copies > 1 else ""
            raise BadData(
                f"class '{name}' of {source.spec} has {len(own)} training samples; {per_class} per class were asked "
                f"for{tiles}. Lower per_class{' or use factor=1' if copies > 1 else ''}, or merge or drop the class."
            )
    return groups


def random_of_each_class(source: Source, per_class: int, seed: int, copies: int = 1) -> Tensor:
    """`per_class` * `copies` random training indices of each class, class by class."""
    random = numpy_stream(seed, "choice")
    groups = indices_by_class(source, per_class, copies)
    return torch.cat([own[torch.from_numpy(random.permutation(len(own))[: per_class * copies])] for own in groups])


def centres_of_each_class(source: Source, per_class: int, seed: int, copies: int = 1, restarts: int = 1) -> Tensor:
    """The training samples nearest to `per_class` * `copies` k-means centres of each class, each taken once."""
    chosen = []
    for label, own in enumerate(indices_by_class(source, per_class, copies)):
        points = source.train.x[own].flatten(1)
        chosen.append(own[nearest_free(points, per_class * copies, derive(seed, "k-means", label), restarts)])
    return torch.cat(chosen)
