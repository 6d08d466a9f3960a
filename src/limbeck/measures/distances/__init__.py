"""How far two configurations are apart, measured on networks or read off their settings: one protocol, one file each.

A distance serves the coverage law where `|gap_a(S) - gap_b(S)| <= L d(a, b)` with a small L for the sets S that matter;
`limbeck.laws.metric_tests` measures that L on sets held out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.dynamics import Dynamics, State, train
from limbeck.errors import BadSetting
from limbeck.measures.split_seeds import DistanceMatrix, split_seed_distances
from limbeck.sources import Source
from limbeck.streams import derive
from limbeck.variants import Variant

OnDone = Callable[[int, int], None]
"""Called with the number of configurations measured and of all."""


class Distance(Variant):
    """Settings of a distance between configurations."""

    @abstractmethod
    def matrix(
        self,
        configurations: Sequence[Configuration],
        source: Source,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        on_done: OnDone | None = None,
    ) -> DistanceMatrix:
        """Every pair's distance with its standard error; each configuration is trained once a seed, not once a pair."""

    def distance(
        self, one: str | Configuration, other: str | Configuration, source: Source, *, seed: int = 0
    ) -> tuple[float, float]:
        """The distance of two configurations, and its standard error (NaN where too few seeds tell)."""
        pair = [Configuration.parse(one), Configuration.parse(other)]
        held = self.matrix(pair, source, seed=seed)
        return float(held.value[0, 1]), float(held.se[0, 1])


class TrainedDistance(Distance):
    """A distance between trained networks: `seeds` independent trainings of each configuration on the real data.

    `progress` are the shares of each training at which its network is looked at, so that configurations of different
    lengths are compared at equal progress.
    """

    seeds: int = Field(4, ge=2)
    progress: tuple[float, ...] = Field((0.25, 0.5, 1.0), min_length=1)

    angular: ClassVar[bool] = False
    """Whether features are compared by their angle rather than their difference."""

    @abstractmethod
    def features(
        self, configuration: Configuration, source: Source, seed: int, device: torch.device | str
    ) -> np.ndarray:
        """One training as a row of numbers whose differences are the distance."""

    def matrix(
        self,
        configurations: Sequence[Configuration],
        source: Source,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        on_done: OnDone | None = None,
    ) -> DistanceMatrix:
        names = checked(configurations)
        held = []
        for count, one in enumerate(configurations, start=1):
            held.append([self.features(one, source, seed_of(one, seed, i), device) for i in range(self.seeds)])
            if on_done:
                on_done(count, len(names))
        return split_seed_distances(self.variant_name(), names, np.array(held), angular=self.angular)


def checked(configurations: Sequence[Configuration]) -> tuple[str, ...]:
    """The names of configurations. Raises `BadSetting` for fewer than two, or one that is listed twice."""
    names = tuple(configuration.spec for configuration in configurations)
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice or len(names) < 2:
        what = f"'{twice[0]}' is listed twice" if twice else f"there are {len(names)} configurations"
        raise BadSetting(f"{what}: distances need two or more different ones. Change the list of configurations.")
    return names


def seed_of(configuration: Configuration, seed: int, index: int) -> int:
    """The seed of a training: independent between configurations, as the estimate without bias asks for."""
    return derive(seed, "distance", digest(configuration.digest), index)


def visited(
    configuration: Configuration, source: Source, seed: int, progress: Sequence[float], device: torch.device | str
) -> tuple[Dynamics, list[State]]:
    """The states of one training on the real data at given shares of its steps. Raises `Diverged`."""
    dynamics = Dynamics(configuration, source.domain, device=device)
    steps = configuration.schedule.steps
    wanted = [max(1, round(share * steps)) for share in progress]
    held: dict[int, State] = {}

    def keep(state: State) -> None:
        if state.step in wanted:
            held[state.step] = state.detached()

    train(dynamics, source.train, seed, on_step=keep)
    return dynamics, [held[step] for step in wanted]
