"""SRe2L: squeeze, recover, relabel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.errors import BadSetting, NotApplicable
from limbeck.methods import Labelling, Matching, Start, Taught
from limbeck.optimizers import Optimizer
from limbeck.optimizers.adam import Adam
from limbeck.parameterizations import Tensors
from limbeck.samples import Domain, Samples
from limbeck.states import Carry, ExpertPlan, Scene, batch_norms, restored
from limbeck.states.teacher import Teacher
from limbeck.streams import stream
from limbeck.surrogates import Moment
from limbeck.surrogates.statistics import Statistics
from limbeck.variants import make


class SRe2L(Matching):
    """Images that a teacher classifies well and whose batch norm statistics are the data's (Yin et al., NeurIPS 2023).

    Squeeze: teachers are trained on the data. Recover: lower the teacher's loss on the class of each sample and the
    distance of its batch norms' statistics, under random views. Relabel: every view of a sample that is trained on is
    labelled by the teacher, softmax(logits / `temperature`), which the set carries; `labels=soft` stores what it says
    of each sample as it stands, `labels=hard` nothing. Needs a network with batch norms, for images or vectors. The
    rate falls by half a cosine and pixels are cut off at the data's range, as published; the first batch norm counts
    `first` times, as released. The paper draws views once and stores the labels of each; here the teacher is stored. It
    recovers one image a class at a time, each batch with the data's statistics; here the whole set has them together.

    The paper is of large images and deep teachers, and starts from noise: `initial=noise, steps=1000, lr_pixels=0.1,
    weight=0.01`. With a shallow teacher that falls far short of `random`, whatever the steps and the teacher; from real
    samples, in few and short steps, it does not. On the digits, test errors (sd over 2 sets x 2 seeds) under
    `convnet(width=16, depth=2, norm=batch)/adamw(lr=5e-3)/siamese/cosine(steps=150)` with labels=soft and
    teacher_epochs=20 are .15 +- .02 at 1 a class and .05 +- .01 at 10, of `random` .25 +- .01 and .04 +- .01; from
    noise .53 +- .09 and .28 +- .05 on validation samples. With labels=soft and 20 s of a core on Fashion-MNIST it does
    not beat `k-means` (docs/results/methods.md), nor with a teacher that labels both: errors of 20.9 and 20.0 % at 10 a
    class (docs/results/labels.md).
    """

    paper: ClassVar[str] = "yin2023sre2l"
    surrogate_name: ClassVar[str] = "statistics"
    states_name: ClassVar[str] = "teacher"
    cost: ClassVar[str] = "two forwards and a backward of k; teachers x teacher_epochs of the data before"

    trial: ClassVar[Mapping[str, Any]] = {"teachers": 1, "teacher_epochs": 8}
    later: ClassVar[frozenset[str]] = Matching.later - Taught.later - {"clip"}

    steps: int = Field(100, gt=0)
    lr_pixels: float = Field(0.02, gt=0)
    initial: Start = "real"
    augmentation: str = "flip-crop"
    labels: Labelling = "teacher"
    weight: float = Field(0.1, ge=0)
    first: float = Field(10.0, ge=0)
    clip: bool = True

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        super().check(configuration, domain, per_class)
        if self.labels == "soft" and self.parameterization().copies > 1:
            raise BadSetting(
                "sre2l gives one label a training image; tiles have one for several. Use factor=1, or labels=teacher."
            )
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = configuration.architecture.build(domain)
        if not batch_norms(network):
            raise NotApplicable(
                f"this method matches batch norms' running statistics, and {configuration.architecture.spec} has none. "
                "Distil with norm=batch; any network can be trained on the set."
            )

    def surrogate(self) -> Statistics:
        return Statistics(weight=self.weight, first=self.first)

    def states(self, per_class: int) -> Teacher:
        return self.taught()

    def optimizers(self) -> Mapping[str, Optimizer]:
        return {self.content: Adam(lr=self.lr_pixels, betas=(0.5, 0.9))}

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return self.teacher_configuration(configuration)

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan:
        return self.taught().plan(dynamics)

    def value(self, scene: Scene, moment: Moment, synthetic: Samples, step: int) -> Tensor:
        """The surrogate at a view of each sample, with the class it stands for as its label."""
        domain = scene.dynamics.domain
        view = make("augmentations", self.views(domain))
        draw = view.draw(len(synthetic), domain, stream(scene.seed, "view", step))
        hard = Samples.hard(synthetic.x, synthetic.group, domain.classes)
        x, y = draw(hard.x, hard.y)
        seen = Samples(x, y, hard.group)
        return self.surrogate().value(moment, seen, seen)

    def pace(self, progress: float, losses: Sequence[float]) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress))

    def completed(self, scene: Scene, carry: Carry, tensors: Tensors, unfold: Callable[[Tensors], Samples]) -> Tensors:
        if self.labels != "soft":
            return tensors
        said = scene.dynamics.predict(restored(carry), unfold(tensors).x)
        return {**tensors, "logits": said / self.temperature}
