"""What every walk through states promises: it can be left at any step and taken up again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from limbeck.dynamics import Dynamics
from limbeck.samples import Domain, Samples
from limbeck.states import Carry, Scene, States
from limbeck.store import read_tensors, write_tensors
from limbeck.streams import stream
from limbeck.surrogates import Moment
from limbeck.testing.trials import TINY
from limbeck.variants import find

DOMAIN = Domain((5,), 3)
CONFIGURATION = "mlp(width=4, norm=batch)/sgd(lr=0.1)/none/constant(batch=8)"
STEPS = 5


def walk(name: str) -> tuple[States, Scene, Samples]:
    """Small settings of the walk, a scene for it, and a synthetic set."""
    variant = find("states", name)
    assert issubclass(variant, States)
    small = {key: value for key, value in TINY.items() if key in variant.model_fields}
    states = variant.model_validate({**small, **variant.trial})
    dynamics = Dynamics(CONFIGURATION, DOMAIN, dtype=torch.float64)

    @cache
    def experts(number: int) -> torch.Tensor:
        return torch.stack([dynamics.initial(100 * number + epoch).vector for epoch in range(40)])

    scene = Scene(dynamics, _samples(10), 5, experts)
    return states, scene, _samples(2)


def _samples(per_class: int) -> Samples:
    group = torch.arange(DOMAIN.classes).repeat_interleave(per_class)
    x = torch.randn(len(group), *DOMAIN.shape, generator=stream(0, "states", per_class), dtype=torch.float64)
    return Samples.hard(x + group[:, None], group, DOMAIN.classes)


def path(states: States, scene: Scene, synthetic: Samples) -> list[tuple[Carry, Moment]]:
    """What is remembered and visited at each step."""
    carry, seen = states.begin(scene), []
    for step in range(STEPS):
        seen.append((carry, states.visit(scene, carry, step, {})))
        carry = states.advance(scene, carry, step, synthetic)
    return seen


def is_a_function_of_its_seed(name: str) -> None:
    """The same seed walks the same path to the bit; another seed another one."""
    states, scene, synthetic = walk(name)
    first, again = (path(states, scene, synthetic) for _ in range(2))
    other = path(states, replace(scene, seed=6), synthetic)
    for (_, one), (_, two), (_, three) in zip(first, again, other, strict=True):
        assert torch.equal(one.state.vector, two.state.vector)
        assert one.seed == two.seed
        assert not torch.equal(one.state.vector, three.state.vector)


def goes_on_from_what_was_saved(name: str) -> None:
    """What it remembers is tensors; written to a file and read back, the walk goes on as if never stopped."""
    states, scene, synthetic = walk(name)
    for step, (carry, moment) in enumerate(path(states, scene, synthetic)):
        with tempfile.TemporaryDirectory() as folder:
            write_tensors(Path(folder), "carry", carry, {"step": step})
            read, _ = read_tensors(Path(folder), "carry")
        again = states.visit(scene, read, step, {})
        assert torch.equal(again.state.vector, moment.state.vector)
        assert all(torch.equal(again.state.buffers[key], value) for key, value in moment.state.buffers.items())
        assert again.seed == moment.seed
        assert (again.target is None) == (moment.target is None)


def leaves_its_memory_as_it_was(name: str) -> None:
    """Neither a visit nor an advance changes what was remembered: an old checkpoint stays one."""
    states, scene, synthetic = walk(name)
    carry = states.begin(scene)
    for step in range(STEPS):
        before = {key: tensor.clone() for key, tensor in carry.items()}
        moment = states.visit(scene, carry, step, {})
        for buffer in moment.state.buffers.values():
            buffer.add_(1)  # as a surrogate in training mode does
        following = states.advance(scene, carry, step, synthetic)
        assert carry.keys() == before.keys()
        assert all(torch.equal(carry[key], tensor) for key, tensor in before.items())
        carry = following


def visits_detached_states_of_its_type(name: str) -> None:
    """States are in the dynamics' floating type, finite, and carry no graph; moments differ from step to step."""
    states, scene, synthetic = walk(name)
    seeds = set()
    for _, moment in path(states, scene, synthetic):
        assert moment.state.vector.dtype == torch.float64
        assert moment.state.vector.shape == scene.dynamics.initial(0).vector.shape
        assert torch.isfinite(moment.state.vector).all()
        assert not moment.state.vector.requires_grad
        seeds.add(moment.seed)
    assert len(seeds) == STEPS


PROMISES: tuple[Callable[[str], None], ...] = (
    is_a_function_of_its_seed,
    goes_on_from_what_was_saved,
    leaves_its_memory_as_it_was,
    visits_detached_states_of_its_type,
)
