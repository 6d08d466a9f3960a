"""DATM: trajectory matching at a fitting difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.methods import Labelling, indices_by_class
from limbeck.methods.ftd import FTD
from limbeck.optimizers import Optimizer
from limbeck.optimizers.sgd import SGD
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.states import Scene, buffers_on
from limbeck.states.experts import ExpertSegments
from limbeck.streams import numpy_stream


class DATM(FTD):
    """FTD on a band of epochs that fits the set's size, with learned soft labels (Guo et al., ICLR 2024).

    Few samples can only hold what experts learn early, many need what they learn late: segments start in `min_start` <=
    t < `max_start`, the upper end growing from `first_max_start` over `growth` steps. The set starts from samples that
    most of `judges` experts classify correctly at their ends, each with the mean logits of those that do; logits are
    learned beside pixels and step size. A step whose surrogate is above `ceiling` changes nothing. Defaults are those
    released for CIFAR-10 at 10 a class, but for the experts (there 100 of 100 epochs) and the judges (there all).

    Labels given by a judge that is no better than what is trained on them cost more than they bring: on Fashion-MNIST
    at 10 a class one expert of one epoch in batches of 256 (72 % on validation samples) starts the set at 70 %, in
    batches of 64 (`expert_batch=64`, 78 %) at 75 %; `random` has 74 % (one set, two trainings). In 20 s of a
    core it does not beat `k-means` there, in 120 s it is .5 points above (docs/results/methods.md).
    """

    paper: ClassVar[str] = "guo2024datm"
    states_name: ClassVar[str] = "experts(flat, growing band)"

    steps: int = Field(10000, gt=0)
    labels: Labelling = "soft"
    lr_labels: float = Field(2.0, gt=0)
    synthetic_steps: int = Field(80, gt=0)
    batch_synthetic: int = Field(100, gt=0)
    max_start: int = Field(20, gt=0)
    first_max_start: int = Field(10, ge=0)
    growth: int = Field(1000, ge=0)
    judges: int = Field(5, gt=0)
    ceiling: float = Field(1.0, gt=0)
    ahead: int = Field(2, gt=0)
    min_start: int = Field(0, ge=0)

    def states(self, per_class: int) -> ExpertSegments:
        band = {"min_start": self.min_start, "first_max_start": self.first_max_start, "growth": self.growth}
        return super().states(per_class).with_settings(**band)

    def optimizers(self) -> Mapping[str, Optimizer]:
        labels = {"logits": SGD(lr=self.lr_labels, momentum=0.9)} if self.labels == "soft" else {}
        return {**super().optimizers(), **labels}

    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        """Samples that the experts classify correctly, with their labels; random ones where there are too few."""
        logits = self._judged(scene)  # (judges, n, classes)
        right = logits.argmax(2) == source.train.group  # (judges, n)
        random = numpy_stream(scene.seed, "choice")
        chosen = []
        copies = self.parameterization().copies
        for own in indices_by_class(source, per_class, copies):
            order = own[torch.from_numpy(random.permutation(len(own)))]
            agreed = right[:, order].sum(0) * 2 > len(logits)
            chosen.append(torch.cat([order[agreed], order[~agreed]])[: per_class * copies])
        kept = torch.cat(chosen)
        votes = right[:, kept].to(logits.dtype)[..., None]  # (judges, k, 1)
        mean = (votes * logits[:, kept]).sum(0) / votes.sum(0).clamp_min(1)
        labels = torch.where(votes.sum(0) > 0, torch.softmax(mean, 1), source.train.y[kept])
        return Samples(source.train.x[kept], labels, source.train.group[kept])

    def _judged(self, scene: Scene) -> Tensor:
        """Logits of the training samples by experts at the end of their trajectories (judges, n, classes)."""
        assert scene.experts is not None
        dynamics = scene.dynamics
        judged = []
        for number in range(min(self.judges, self.experts)):
            vector = scene.experts(number)[-1].to(dynamics.device, dynamics.dtype)
            state = dynamics.restarted(vector, buffers_on(dynamics, vector, scene.train))
            judged.append(dynamics.predict(state, scene.train.x.to(dynamics.device, dynamics.dtype)).cpu())
        return torch.stack(judged)

    def passes_over(self, loss: float) -> bool:
        return loss > self.ceiling
