"""The training run that a configuration induces on data: one functional loop for every use of it.

A network is a pure function of one flat parameter vector, so a state is a handful of tensors, an update is arithmetic
on vectors, many networks are one tensor with a leading dimension, and a whole training is differentiable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.errors import BadSetting, Diverged, nearest
from limbeck.network import Buffers, Network, copied
from limbeck.samples import Domain, Samples
from limbeck.streams import derive, stream


@dataclass(frozen=True)
class State:
    """A state of a dynamics: parameters, buffers and the optimizer's moments after `step` steps."""

    vector: Tensor  # (p,) or, stacked, (networks, p)
    buffers: Buffers = field(default_factory=dict)
    moments: tuple[Tensor, ...] = ()
    step: int = 0
    since_restart: int = 0

    def detached(self) -> State:
        """The same state without a graph."""
        return State(
            self.vector.detach(),
            {name: buffer.detach().clone() for name, buffer in self.buffers.items()},
            tuple(moment.detach() for moment in self.moments),
            self.step,
            self.since_restart,
        )


DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class Trained:
    """One finished training."""

    state: State
    seed: int
    seconds: float


def soft_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over samples of -sum_c y_c log softmax(logits)_c; logits and y (n, classes)."""
    return -(y * torch.log_softmax(logits, dim=-1)).sum(-1).mean(-1)


def chosen_device(device: torch.device | str) -> torch.device:
    """The device that was asked for. Raises `BadSetting` for one that torch does not know or this machine has not."""
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise BadSetting(f"'{device}' is no device of torch. {nearest(str(device), DEVICES)}") from None
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise BadSetting(
            f"the device '{device}' can't be used here ({reason}). Take cpu, or install the torch that is made for it."
        ) from None
    return chosen


class Dynamics:
    """The update operator of a configuration on a domain: initial states, one step, and whole trainings."""

    def __init__(
        self,
        configuration: Configuration | str,
        domain: Domain,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.configuration = Configuration.parse(configuration)
        self.domain = domain
        self.device = chosen_device(device)
        self.dtype = dtype
        self.configuration.augmentation.check(domain)
        self.configuration.domain.check(domain)
        build = self.configuration.architecture.build
        self.network = Network(lambda: build(domain), dtype, len(domain.shape))
        self.network.module.to(self.device)

    def initial(self, seed: int) -> State:
        """The state before the first step."""
        vector, buffers = self.network.initial(seed)
        vector = vector.to(self.device)
        buffers = {name: buffer.to(self.device) for name, buffer in buffers.items()}
        return State(vector, buffers, self.configuration.optimizer.start(vector))

    def restarted(self, vector: Tensor, buffers: Buffers | None = None) -> State:
        """A state with given parameters and fresh moments; buffers, where not given, as before any training."""
        if buffers is None:
            buffers = copied(dict(self.network.module.named_buffers()))
        return State(vector, buffers, self.configuration.optimizer.start(vector))

    def view(self, batch: Samples, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """The augmented batch that the run with this seed sees at a step, and its labels."""
        return batch.seen(self.configuration.augmentation.draw(len(batch), self.domain, stream(seed, "augment", step)))

    def step(
        self, state: State, x: Tensor, y: Tensor, *, rate: Tensor | float | None = None, differentiable: bool = False
    ) -> State:
        """One update on a batch: theta <- U(theta, gradient of the soft cross-entropy on (x, y)).

        `rate` replaces the optimizer's `lr` (then no schedule factor applies). With `differentiable` the result
        carries the graph back to `state`, `x`, `y` and `rate`. Stacked states take x (networks, n, *shape).
        """
        schedule, optimizer = self.configuration.schedule, self.configuration.optimizer
        restart = schedule.restarts(state.step)
        moments = optimizer.start(state.vector) if restart else state.moments
        since = 0 if restart else state.since_restart
        vector = state.vector if differentiable and state.vector.requires_grad else state.vector.detach()
        if not vector.requires_grad:
            vector.requires_grad_()  # of our own detached view: the caller's tensor stays as it was
        gradient = self.gradient(vector, state.buffers, x, y, differentiable=differentiable)
        if rate is None:
            rate = optimizer.lr * schedule.factor(min(state.step, schedule.steps - 1))
        if not differentiable:
            vector = vector.detach()
        vector, moments = optimizer.update(vector, gradient, moments, rate, since)
        return State(vector, state.buffers, moments, state.step + 1, since + 1)

    def gradient(
        self, vector: Tensor, buffers: Buffers, x: Tensor, y: Tensor, *, differentiable: bool = False
    ) -> Tensor:
        """What the optimizer is given: the loss's gradient in the vector, which requires one; shaped as the vector."""
        with torch.enable_grad():
            loss = self.loss(vector, buffers, x, y)
            return torch.autograd.grad(loss.sum(), vector, create_graph=differentiable)[0]

    def loss(self, vector: Tensor, buffers: Buffers, x: Tensor, y: Tensor) -> Tensor:
        """The training loss: a scalar, or (networks,) where the vector is stacked."""
        if vector.dim() == 1:
            return soft_cross_entropy(self.network.logits(vector, buffers, x, training=True), y)
        return soft_cross_entropy(self.network.stacked_logits(vector, buffers, x, training=True), y)

    def predict(self, state: State, x: Tensor) -> Tensor:
        """Logits (n, classes) in evaluation mode."""
        return self.predict_many([state], x)[0]

    @torch.no_grad()
    def predict_many(self, states: Sequence[State], x: Tensor) -> list[Tensor]:
        """Logits (n, classes) of each state in evaluation mode.

        A piece of the samples goes through all before the next one: what a network makes of it alone is made once.
        """
        rows = [
            [self.network.logits(state.vector, state.buffers, part) for state in states]
            for part in x.split(self.network.piece(x))
        ]
        return [torch.cat(parts) for parts in zip(*rows, strict=True)]


def error_and_loss(dynamics: Dynamics, state: State, samples: Samples) -> tuple[float, float]:
    """The share of samples whose largest logit is not their class, and the mean soft cross-entropy."""
    return errors_and_losses(dynamics, [state], samples)[0]


def errors_and_losses(dynamics: Dynamics, states: Sequence[State], samples: Samples) -> list[tuple[float, float]]:
    """The same of several states."""
    found = []
    for logits in dynamics.predict_many(states, samples.x.to(dynamics.device, dynamics.dtype)):
        wrong = (logits.argmax(1) != samples.group.to(logits.device)).double().mean()
        loss = soft_cross_entropy(logits.double(), samples.y.to(logits.device, torch.float64))
        found.append((float(wrong), float(loss)))
    return found


def batches(seed: int, count: int, batch: int, steps: int) -> Iterator[Tensor | slice]:
    """The index of each step's batch: everything where it fits, else shuffled epochs without replacement."""
    if count <= batch:
        for _ in range(steps):
            yield slice(None)
        return
    generator = stream(seed, "batches")
    order, position = torch.randperm(count, generator=generator), 0
    for _ in range(steps):
        if position + batch > count:
            order, position = torch.randperm(count, generator=generator), 0
        yield order[position : position + batch]
        position += batch


OnStep = Callable[[State], None]


def train(
    dynamics: Dynamics,
    samples: Samples,
    seed: int,
    *,
    start: State | None = None,
    steps: int | None = None,
    on_step: OnStep | None = None,
) -> Trained:
    """Train one network on samples with soft labels, for the schedule's steps or the given number.

    `on_step` is called with the state before the first step and after each. Raises `Diverged` where the parameters
    leave the finite range. The given `start` is left as it is.
    """
    begun = time.perf_counter()
    state = dynamics.initial(derive(seed, "init")) if start is None else start.detached()
    samples = samples.to(dynamics.device, dynamics.dtype)
    steps = dynamics.configuration.schedule.steps if steps is None else steps
    if on_step:
        on_step(state)
    for index in batches(seed, len(samples), dynamics.configuration.schedule.batch, steps):
        # where all are passed at every step they stay the same tensors: what a network makes of them alone is kept
        part = samples if isinstance(index, slice) else samples[index]
        x, y = dynamics.view(part, seed, state.step)
        state = dynamics.step(state, x, y)
        if on_step:
            on_step(state)
    check_finite(state.vector, dynamics, steps)
    return Trained(state, seed, time.perf_counter() - begun)


def check_finite(vector: Tensor, dynamics: Dynamics, steps: int) -> None:
    """Raise `Diverged`, with the step and a suggestion, where a number of the state is not finite."""
    if not bool(torch.isfinite(vector).all()):
        raise Diverged(
            f"training under {dynamics.configuration.spec} left the finite range within {steps} steps. "
            f"Lower its lr (now {dynamics.configuration.optimizer.lr:g})."
        )
