"""Recipes whose samples may be labelled by a network that was trained on the data."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, State
from limbeck.errors import BadSetting
from limbeck.labeller import Labeller
from limbeck.methods._method import Labelling, Method
from limbeck.parameterizations import Labels, Parameterization
from limbeck.parameterizations.decoded import Decoded
from limbeck.parameterizations.latent import Latent
from limbeck.samples import Domain
from limbeck.states import ExpertPlan, Scene, restored
from limbeck.states.teacher import Teacher
from limbeck.variants import make


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
