"""Methods: named recipes from papers, each a surrogate x states x parameterization with that paper's defaults."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augmentations import Augmentation
from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, State
from limbeck.errors import BadData, BadSetting, LimbeckError, NotApplicable
from limbeck.labeller import Labeller
from limbeck.optimizers import Optimizer
from limbeck.optimizers.sgd import SGD
from limbeck.parameterizations import Labels, Parameterization, Tensors
from limbeck.parameterizations.decoded import Decoded
from limbeck.parameterizations.latent import Latent
from limbeck.parameterizations.pixels import Pixels
from limbeck.parameterizations.tiles import Tiles
from limbeck.real_batches import random_batch, representative_batch
from limbeck.samples import Domain, Samples
from limbeck.states import Carry, ExpertPlan, Scene, States, restored
from limbeck.states.teacher import Teacher
from limbeck.streams import numpy_stream, stream
from limbeck.surrogates import Moment, Surrogate
from limbeck.variants import Variant, make, members

if TYPE_CHECKING:
    from limbeck.sources import Source


Labelling = Literal["hard", "soft", "teacher"]
"""One-hot labels, one stored soft label a sample, or a label for every view by a teacher that the set carries."""


class Method(Variant):
    """Settings of a recipe. `steps` is the number of updates of the synthetic set; a selection needs none."""

    paper: ClassVar[str]
    """BibTeX key of the paper that the defaults come from."""
    surrogate_name: ClassVar[str] = "-"
    states_name: ClassVar[str] = "-"
    cost: ClassVar[str] = ""
    """What one step costs, in passes over samples."""
    trial: ClassVar[Mapping[str, Any]] = {}
    """Settings under which the conformance suite tries the recipe in a second, beside those it makes small itself."""

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Name, surrogate, states, parameterization, paper and cost of the recipe, with its settings."""
        facts = super().about()
        own = {"surrogate": cls.surrogate_name, "states": cls.states_name, "parameterization": cls._stored_as()}
        own |= {"paper": cls.paper, "cost": cls.cost}
        return {"name": facts["name"], **own, "summary": facts["summary"], "settings": facts["settings"]}

    @classmethod
    def _stored_as(cls) -> str:
        """The text of the parameterization under the defaults; a dash where a setting has none."""
        if any(field.is_required() for field in cls.model_fields.values()):
            return "-"
        own = cls()
        carried = ", labeller" if own.labelling() == "teacher" else ""
        return own.parameterization().spec + carried

    def parameterization(self) -> Parameterization:
        """How the set is stored."""
        return Pixels()

    def labelling(self) -> Labelling:
        """Where the set's labels come from."""
        return "hard"

    @abstractmethod
    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        """The samples that the set starts from (matching) or is (selection), `per_class` of each class."""

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        """The configuration whose dynamics the recipe walks along."""
        return configuration

    def suited(self, domain: Domain) -> Method:
        """The recipe with the defaults that suit a domain, where the published ones are for images alone."""
        return self

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        """Raise `NotApplicable` where the recipe can't run on such samples or along such a configuration."""

    def outer_steps(self) -> int:
        """Updates of the set."""
        return 0

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan | None:
        """The experts that the recipe needs, if any."""
        return None

    def teacher_plan(self, configuration: Configuration, domain: Domain) -> ExpertPlan | None:
        """The trainings of the teachers that its sets carry, if they carry any."""
        return None

    def further_plan(self, configuration: Configuration, walked: Dynamics) -> ExpertPlan | None:
        """Of `teacher_plan`, what `expert_plan` does not provide already: no training is needed twice."""
        plan = self.teacher_plan(configuration, walked.domain)
        return None if plan == self.expert_plan(walked) else plan


class Taught(Method):
    """A recipe whose samples a network that was trained on the data may label: the teacher.

    The teacher has the configuration's architecture and augmentation and is trained for `teacher_epochs` by the
    optimizer `teacher` in batches of `teacher_batch`; each set draws one of `teachers`. Its label of a view x is
    softmax(logits(x) / `temperature`). With `labels=teacher` the set carries it, and every view of a sample is labelled
    anew wherever the set is trained on. Recipes declare `labels` themselves: ids of cells keep the place where it
    stands among their settings.
    """

    later: ClassVar[frozenset[str]] = frozenset(
        {"temperature", "teacher", "teacher_batch", "teachers", "teacher_epochs"}
    )

    temperature: float = Field(3.0, gt=0)
    teacher: str = "adamw(lr=2e-3)"
    teacher_batch: int = Field(64, gt=0)
    teachers: int = Field(3, gt=0)
    teacher_epochs: int = Field(60, gt=0)

    @abstractmethod
    def labelling(self) -> Labelling: ...

    def taught(self) -> Teacher:
        """Where the teacher comes from."""
        return Teacher(teachers=self.teachers, epochs=self.teacher_epochs)

    def teacher_configuration(self, configuration: Configuration) -> Configuration:
        """What the teacher is trained under."""
        return configuration.replace(
            optimizer=make("optimizers", self.teacher),
            schedule=make("schedules", f"constant(batch={self.teacher_batch})"),
        )

    def teacher_plan(self, configuration: Configuration, domain: Domain) -> ExpertPlan | None:
        if self.labelling() != "teacher":
            return None
        return self.taught().plan(Dynamics(self.teacher_configuration(configuration), domain))

    def labeller(self, scene: Scene) -> Labeller:
        """The teacher that the set of a scene carries; the scene's dynamics and experts are the teacher's."""
        state: State = restored(self.taught().begin(scene))
        architecture = scene.dynamics.configuration.architecture
        return Labeller(architecture, scene.dynamics.domain, self.temperature, state.vector, state.buffers)


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


class Matching(Taught):
    """A recipe that lowers a surrogate by gradient descent on the stored tensors.

    `batch=representative` shows it the real samples nearest to `batch_real` k-means centres of each class, clustered
    anew every `recluster` steps (DREAM, Liu et al., ICCV 2023). A `factor` above 1 stores images in factor x factor
    tiles, `latent` above 0 stores each sample as so many principal components and `decoder=FOLDER` as the latents of an
    autoencoder; `labels=soft` learns labels beside the samples where the surrogate reads them, `labels=teacher` lets
    the finished set carry a teacher that labels it, see `Taught`. `clip` cuts pixels off at the range of the training
    samples, of each channel, after every update. With `keep_start` the set at its start is validated too, so that none
    is kept that validates worse.
    """

    later: ClassVar[frozenset[str]] = Taught.later | {"latent", "decoder", "clip", "keep_start"}

    steps: int = Field(1000, gt=0)
    lr_pixels: float = Field(1.0, gt=0)
    momentum: float = Field(0.5, ge=0, lt=1)
    batch_real: int = Field(256, gt=0)
    initial: Literal["real", "noise"] = "real"
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
        chosen = source.train[random_of_each_class(source, per_class, scene.seed, self.parameterization().copies)]
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


def stored_labels(labels: Labelling) -> Labels:
    """What is stored of each label: of one that a teacher gives anew, no more than of a hard one."""
    return "soft" if labels == "soft" else "hard"


def coded(latent: int, decoder: str, labels: Labels) -> Parameterization | None:
    """The form whose samples are codes, where one was asked for. Raises `BadSetting` where two were."""
    if latent and decoder:
        raise BadSetting("samples are stored as principal components or as a decoder's latents. Leave out one of both.")
    if decoder:
        return Decoded(model=decoder, labels=labels)
    return Latent(dimension=latent, labels=labels) if latent else None


def check_applicable(method: Method, configuration: Configuration, domain: Domain, per_class: int) -> None:
    """Raise `NotApplicable` where a method can't run, naming those that can."""
    try:
        _check(method, configuration, domain, per_class)
    except NotApplicable as error:
        able = [name for name in members("methods") if _can_run(name, configuration, domain, per_class)]
        raise NotApplicable(f"{error} Methods that can run here: {', '.join(able)}.") from None


def _can_run(name: str, configuration: Configuration, domain: Domain, per_class: int) -> bool:
    try:
        _check(make("methods", name), configuration, domain, per_class)
    except LimbeckError:
        return False
    return True


def _check(method: Method, configuration: Configuration, domain: Domain, per_class: int) -> None:
    suited = method.suited(domain)
    suited.check(configuration, domain, per_class)
    suited.dynamics_configuration(configuration, domain, per_class)


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


__all__ = ["Matching", "Method", "NotApplicable", "Selection", "indices_by_class", "random_of_each_class"]
