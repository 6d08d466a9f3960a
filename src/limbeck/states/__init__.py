"""States: where along which dynamics a surrogate is taken.

What a walk has to remember between outer steps is a dict of tensors (`carry`), which the checkpoint saves as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, State
from limbeck.network import Buffers
from limbeck.samples import Samples
from limbeck.streams import stream
from limbeck.surrogates import Moment
from limbeck.variants import Variant

Carry = dict[str, Tensor]
Experts = Callable[[int], Tensor]
"""The trajectory (checkpoints, p) of the expert with a number."""

STATISTICS_EACH = 16  # samples of each class, at most, whose statistics batch norms hold while a surrogate looks
STATISTICS_SAMPLES = 8192  # that running statistics are taken over
STATISTICS_BATCH = 256


@dataclass(frozen=True)
class Scene:
    """What a walk may use: the dynamics, the real training samples, the seed, and where experts are to be had."""

    dynamics: Dynamics
    train: Samples
    seed: int
    experts: Experts | None = None

    @cached_property
    def members(self) -> tuple[Tensor, ...]:
        """The training samples' indices of each class: real data do not change, so they are looked up once."""
        return tuple((self.train.group == label).nonzero().flatten() for label in range(self.train.y.shape[1]))

    @cached_property
    def extremes(self) -> tuple[Tensor, Tensor]:
        """The least and the largest training value of each channel (channels, 1, 1), of vectors of each feature."""
        x = self.train.x
        x = x.transpose(0, 1).flatten(1) if x.dim() > 2 else x.T  # (channels, values)
        shape = (-1,) + (1,) * (self.train.x.dim() - 2)
        return x.amin(1).view(shape), x.amax(1).view(shape)


class States(Variant):
    """Settings of a walk through states."""

    looks_on_real: ClassVar[bool] = False
    """Whether batch norms hold statistics of real samples at every moment (see `on_real`)."""
    trial: ClassVar[Mapping[str, Any]] = {}
    """Settings under which the conformance suite walks, beside those it makes small itself."""

    def begin(self, scene: Scene) -> Carry:
        """What is remembered before the first outer step."""
        return {}

    @abstractmethod
    def visit(self, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
        """The state of outer step `step`; the same for the same arguments."""

    def advance(self, scene: Scene, carry: Carry, step: int, synthetic: Samples) -> Carry:
        """What is remembered after the synthetic set was updated at outer step `step`."""
        return carry


def carried(state: State, owner: str = "") -> Carry:
    """A state of the dynamics as what a walk remembers; `owner` keeps several apart."""
    held = {"vector": state.vector, "steps": torch.tensor([state.step, state.since_restart])}
    held |= {f"buffer.{name}": value for name, value in state.buffers.items()}
    held |= {f"moment.{place}": moment for place, moment in enumerate(state.moments)}
    return {owner + name: value for name, value in held.items()}


def restored(carry: Carry, owner: str = "") -> State:
    """The state that `carried` wrote down; its buffers may be spoilt, the carry's stay."""
    held = {name.removeprefix(owner): value for name, value in carry.items() if name.startswith(owner)}
    step, since = held["steps"].tolist()
    buffers = {name.removeprefix("buffer."): v.clone() for name, v in held.items() if name.startswith("buffer.")}
    moments = tuple(held[f"moment.{place}"] for place in range(sum(name.startswith("moment.") for name in held)))
    return State(held["vector"], buffers, moments, step, since)


@dataclass(frozen=True)
class ExpertPlan:
    """The experts that a walk needs: how many, trained under which configuration, for how many epochs.

    The parameters are kept before the first epoch and after each `every` of them. With a `radius` the training seeks
    flat places (Foret et al. 2021): its direction is the gradient at the point that lies `radius` up the slope, less
    `surrogate_gap` times the part of the plain gradient that is orthogonal to it (Zhuang et al. 2022).
    """

    configuration: Configuration
    epochs: int
    count: int
    every: int = 1
    radius: float = 0.0
    surrogate_gap: float = 0.0

    @property
    def checkpoints(self) -> int:
        """Points kept of each trajectory."""
        return self.epochs // self.every + 1

    def settings(self) -> dict[str, Any]:
        """All that determines an expert beside its data and number, in full text."""
        own = {"epochs": self.epochs, "every": self.every, "radius": self.radius, "surrogate_gap": self.surrogate_gap}
        return {"configuration": self.configuration.full_spec, **own}

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> ExpertPlan:
        """The plan of one expert, from its settings."""
        own = {key: held[key] for key in ("epochs", "every", "radius", "surrogate_gap")}
        return cls(Configuration.parse(held["configuration"]), count=1, **own)


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The layers of a network that keep running statistics."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


@torch.no_grad()
def buffers_on(dynamics: Dynamics, vector: Tensor, data: Samples) -> Buffers:
    """The buffers of trained parameters: running statistics of batch norms, averaged over up to 8192 samples of `data`.

    Trajectories hold parameters alone. Each batch norm's mean and variance are the means of those of random batches of
    256 under the final parameters, in place of an average over the last steps of training.
    """
    buffers = dynamics.restarted(vector).buffers
    norms = [
        part for part in dynamics.network.module.modules() if isinstance(part, torch.nn.modules.batchnorm._NormBase)
    ]
    if not norms:
        return buffers
    usual = [norm.momentum for norm in norms]
    order = torch.randperm(len(data), generator=stream(0, "statistics"))[:STATISTICS_SAMPLES]
    try:
        for norm in norms:
            norm.momentum = None  # a plain mean over the batches
        for part in order.split(STATISTICS_BATCH):
            if len(part) == min(len(order), STATISTICS_BATCH):  # a short last batch would weigh too much
                x = data.x[part].to(dynamics.device, dynamics.dtype)
                dynamics.network.logits(vector, buffers, x, training=True)
    finally:
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
    return buffers


def on_real(scene: Scene, state: State, step: int) -> State:
    """The state whose batch norms hold the statistics of random real samples, at most 16 of each class.

    Surrogates look in evaluation mode, on few synthetic samples at a time. Zhao et al. 2021 move running statistics
    towards those of such samples before every update; here they are put in their place, as a network that was never
    trained has none of its own: without them its maps are not normalised at all.
    """
    if not batch_norms(scene.dynamics.network.module):
        return state
    generator = stream(scene.seed, "statistics", step)
    drawn = [own[torch.randperm(len(own), generator=generator)[:STATISTICS_EACH]] for own in scene.members]
    return replace(state, buffers=buffers_on(scene.dynamics, state.vector, scene.train[torch.cat(drawn)]))
