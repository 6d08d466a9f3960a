"""States: where along which dynamics a surrogate is taken.

What a walk has to remember between outer steps is a dict of tensors (`carry`), which the checkpoint saves as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, State
from limbeck.samples import Samples
from limbeck.surrogates import Moment
from limbeck.variants import Variant

Carry = dict[str, Tensor]
Experts = Callable[[int], Tensor]
"""The trajectory (checkpoints, p) of the expert with a number."""


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


class States(Variant):
    """Settings of a walk through states."""

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
