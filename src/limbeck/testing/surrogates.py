"""What every surrogate promises, in float64 on small smooth networks; finite differences and theory are the oracles.

Each is tried with its defaults (made small by `TINY`) and with every other choice of its settings that have a list of
choices, on images and on vectors, with and without batch norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from limbeck.dynamics import Dynamics
from limbeck.errors import NotApplicable
from limbeck.samples import Domain, Samples
from limbeck.streams import stream
from limbeck.surrogates import Moment, Surrogate
from limbeck.testing.trials import TINY
from limbeck.variants import find

NETWORKS = [
    ("convnet(width=3, depth=1, activation=softplus)", Domain((2, 6, 6), 3)),
    ("convnet(width=3, depth=1, activation=softplus, norm=batch)", Domain((1, 6, 6), 3)),
    ("mlp(width=6, depth=1, activation=softplus)", Domain((5,), 3)),
]
REST = "/sgd(lr=0.1, momentum=0.0)/none/constant(batch=64)"

Setting = tuple[Surrogate, Moment, Samples, Samples]


def settings(name: str) -> list[Setting]:
    """The surrogate under each choice of its settings on each network: itself, a moment, synthetic and real samples."""
    found = [setting for choice in _choices(name) for setting in _on_networks(choice)]
    assert found, f"{name} applies to no small network"
    return found


@cache
def _choices(name: str) -> tuple[Surrogate, ...]:
    variant = find("surrogates", name)
    assert issubclass(variant, Surrogate)
    small = {key: value for key, value in TINY.items() if key in variant.model_fields}
    chosen = [small]
    for key, field in variant.model_fields.items():
        if get_origin(field.annotation) is Literal:
            chosen += [{**small, key: value} for value in get_args(field.annotation) if value != field.default]
    return tuple(variant.model_validate(one) for one in chosen)


def _on_networks(surrogate: Surrogate) -> Iterator[Setting]:
    for number, (architecture, domain) in enumerate(NETWORKS):
        dynamics = Dynamics(architecture + REST, domain, dtype=torch.float64)
        synthetic, real = (_samples(domain, count, number) for count in ((2, 3, 1), (5, 4, 6)))
        rate = torch.tensor(0.05, dtype=torch.float64)
        moment = Moment(dynamics, dynamics.initial(1), 3, dynamics.initial(2).vector, {"step_size": rate})
        try:
            surrogate.value(moment, synthetic, real)
        except NotApplicable:
            continue
        yield surrogate, moment, synthetic, real


def _samples(domain: Domain, counts: tuple[int, ...], number: int) -> Samples:
    """Random samples with soft labels that lean to their class."""
    generator = stream(number, "surrogates", *counts)
    group = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    x = torch.randn(len(group), *domain.shape, generator=generator, dtype=torch.float64)
    x = 2 * x + 2 * group.reshape(-1, *[1] * len(domain.shape))
    noise = torch.randn(len(group), domain.classes, generator=generator, dtype=torch.float64)
    y = torch.softmax(noise + 3 * torch.nn.functional.one_hot(group, domain.classes), 1)
    return Samples(x, y, group)


def has_the_gradient_of_finite_differences(name: str) -> None:
    """Along random directions of samples, labels and step size: relative error below 1e-5."""
    step = 1e-5
    for setting in settings(name):
        if not setting[0].exact_gradient:
            continue
        for value in _along_directions(*setting):
            zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
            slope = _slope(value(zero), zero)
            ahead, behind = (float(value(zero.detach() + h).detach()) for h in (step, -step))
            numeric = (ahead - behind) / (2 * step)
            error = abs(slope - numeric) / max(abs(numeric), 1e-4 * abs(ahead), 1e-12)
            assert error < 1e-5, f"{setting[0].spec}: slope {slope:.8g}, by differences {numeric:.8g}"


def _along_directions(
    surrogate: Surrogate, moment: Moment, synthetic: Samples, real: Samples
) -> Iterator[Callable[[Tensor], Tensor]]:
    """The surrogate as a function of a distance moved along a random direction of one of what can be learned."""
    leaves = [synthetic.x, synthetic.y, moment.learned["step_size"]]
    generator = stream(0, "directions")
    for place in (0, 0, 0, 1, 2):
        direction = torch.randn(leaves[place].shape, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm()

        def value(distance: Tensor, place: int = place, direction: Tensor = direction) -> Tensor:
            moved = list(leaves)
            moved[place] = leaves[place] + distance * direction
            at = replace(moment, learned={"step_size": moved[2]})
            return surrogate.value(at, Samples(moved[0], moved[1], synthetic.group), real)

        yield value


def _slope(value: Tensor, along: Tensor) -> float:
    """The derivative, zero where the value does not depend on it."""
    if not value.requires_grad:
        return 0.0
    return float(torch.autograd.grad(value, along, allow_unused=True, materialize_grads=True)[0])


def is_zero_at_the_data(name: str) -> None:
    """Zero where the synthetic set is the real batch (unless it says otherwise), positive elsewhere."""
    for surrogate, moment, synthetic, real in settings(name):
        away = float(surrogate.value(moment, synthetic, real).detach())
        assert away > 0
        if surrogate.zero_at_data:
            there = float(surrogate.value(moment, real, real).detach())
            assert abs(there) <= surrogate.zero_within * away, f"{surrogate.spec}: {there:.3g} at the data"


def is_blind_to_order(name: str) -> None:
    """The same value whatever the order of the samples, up to rounding."""
    for surrogate, moment, synthetic, real in settings(name):
        turned = [part[torch.arange(len(part)).flip(0)] for part in (synthetic, real)]
        value, again = surrogate.value(moment, synthetic, real), surrogate.value(moment, *turned)
        assert torch.allclose(value, again, rtol=1e-7, atol=1e-12), f"{surrogate.spec}: {value} and {again}"


def leaves_the_moment_as_it_was(name: str) -> None:
    """A scalar of the samples' type; neither parameters nor running statistics are changed."""
    for surrogate, moment, synthetic, real in settings(name):
        before = [tensor.clone() for tensor in (moment.state.vector, *moment.state.buffers.values())]
        value = surrogate.value(moment, synthetic, real)
        assert value.shape == ()
        assert value.dtype == torch.float64
        after = [moment.state.vector, *moment.state.buffers.values()]
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True)), surrogate.spec


def says_what_it_measures(name: str) -> None:
    """A first sentence."""
    assert find("surrogates", name).summary().endswith((".", ")"))


def reads_labels_if_it_says_so(name: str) -> None:
    """The value depends on the synthetic labels where `reads_labels` says so, and nowhere else."""
    assert all(_depends(*setting) == setting[0].reads_labels for setting in settings(name))


def _depends(surrogate: Any, moment: Moment, synthetic: Samples, real: Samples) -> bool:
    y = synthetic.y.clone().requires_grad_()
    value = surrogate.value(moment, Samples(synthetic.x.clone().requires_grad_(), y, synthetic.group), real)
    slope = torch.autograd.grad(value, y, allow_unused=True)[0]
    return slope is not None and bool((slope != 0).any())


PROMISES: tuple[Callable[[str], None], ...] = (
    has_the_gradient_of_finite_differences,
    is_zero_at_the_data,
    is_blind_to_order,
    leaves_the_moment_as_it_was,
    reads_labels_if_it_says_so,
    says_what_it_measures,
)
