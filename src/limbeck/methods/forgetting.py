"""Forgetting: the real samples that a training learns and loses again most often."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.dynamics import State, train
from limbeck.methods import Method, indices_by_class
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.states import Scene
from limbeck.streams import derive, numpy_stream
from limbeck.variants import make


class Forgetting(Method):
    """The most forgotten real samples of each class (Toneva et al., ICLR 2019).

    One network is trained on the real data for `epochs` and classifies every sample after each; a sample is forgotten
    whenever it was right and is now wrong, and one that was never right counts as forgotten more often than any. Ties,
    of which there are many, are broken at random. It picks hard samples, which suits large coresets: at few samples a
    class it is far below `random`: on the digits, `mlp(width=64)`, errors of .61 +- .09 against .35 +- .05 at 1 a class
    and .16 +- .03 against .09 +- .01 at 10 (sd over 3 sets x 2 seeds; `limbeck distill digits forgetting -k 1`).
    """

    paper: ClassVar[str] = "toneva2019forgetting"
    cost: ClassVar[str] = "one training of epochs on the data, and a forward pass over it after each"

    epochs: int = Field(40, gt=0)
    optimizer: str = "sgd(lr=0.1, momentum=0.9, nesterov=true, weight_decay=5e-4)"
    batch: int = Field(256, gt=0)

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration.replace(
            optimizer=make("optimizers", self.optimizer),
            schedule=make("schedules", f"constant(batch={self.batch})"),
        )

    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        count = self.forgotten(scene)
        random = numpy_stream(scene.seed, "ties")
        chosen = []
        for own in indices_by_class(source, per_class):
            shuffled = own[torch.from_numpy(random.permutation(len(own)))]
            chosen.append(shuffled[torch.argsort(-count[shuffled], stable=True)[:per_class]])
        return source.train[torch.cat(chosen)]

    def forgotten(self, scene: Scene) -> Tensor:
        """How often each training sample was forgotten (n,); `epochs` for one that was never right."""
        dynamics, train_samples = scene.dynamics, scene.train
        per_epoch = math.ceil(len(train_samples) / min(len(train_samples), self.batch))
        right: list[Tensor] = []

        def classify(state: State) -> None:
            if state.step and state.step % per_epoch == 0:
                logits = dynamics.predict(state, train_samples.x.to(dynamics.device, dynamics.dtype))
                right.append(logits.argmax(1).cpu() == train_samples.group)

        train(dynamics, train_samples, derive(scene.seed, "training"), steps=self.epochs * per_epoch, on_step=classify)
        history = torch.stack(right)  # (epochs, n)
        lost = (history[:-1] & ~history[1:]).sum(0)
        return torch.where(history.any(0), lost, self.epochs)
