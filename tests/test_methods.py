"""Every method keeps the promises of its family, whoever adds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from limbeck.errors import MissingExtra
from limbeck.methods import indices_by_class
from limbeck.methods.random import Random
from limbeck.optimizers.sgd import SGD
from limbeck.sources import Source
from limbeck.states import Carry, Scene
from limbeck.states.synthetic_path import SyntheticPath
from limbeck.surrogates import Moment
from limbeck.testing import methods as promises
from limbeck.variants import members


@pytest.mark.parametrize("promise", promises.PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", sorted(members("methods")))
def test_a_method_keeps_its_promise(name: str, promise: Callable[[str], None]) -> None:
    try:
        promise(name)
    except MissingExtra as missing:
        pytest.skip(str(missing))


def _globally_random(self: Random, source: Source, per_class: int, seed: int) -> Tensor:
    return torch.cat([own[torch.randperm(len(own))[:per_class]] for own in indices_by_class(source, per_class)])


def _forgetful(self: SyntheticPath, scene: Scene, carry: Carry, step: int, learned: Mapping[str, Tensor]) -> Moment:
    _forgetful.calls += 1
    return Moment(scene.dynamics, scene.dynamics.initial(_forgetful.calls), step)


_forgetful.calls = 0


@pytest.mark.parametrize(
    ("owner", "attribute", "broken", "name", "promise"),
    [
        (Random, "choose", _globally_random, "random", promises.is_determined_by_its_seed),
        (Random, "choose", _globally_random, "random", promises.leaves_global_generators_alone),
        (SyntheticPath, "visit", _forgetful, "dc", promises.resumes_exactly),
        (SGD, "update", lambda self, v, g, m, r, step: (v + r * g, m), "dm", promises.lowers_its_surrogate),
    ],
    ids=["global randomness", "global generator", "state beside the carry", "uphill"],
)
def test_the_suite_catches_a_broken_method(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    attribute: str,
    broken: object,
    name: str,
    promise: Callable[[str], None],
) -> None:
    monkeypatch.setattr(owner, attribute, broken)
    with pytest.raises(AssertionError):
        promise(name)
