"""The training run that a configuration induces on data: one functional loop for every use of it.

A network is a pure function of one flat parameter vector, so a state is a handful of tensors, an update is arithmetic
on vectors, many networks are one tensor with a leading dimension, and a whole training is differentiable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from limbeck.architectures import ACTIVATIONS
from limbeck.calibration import quickest
from limbeck.configuration import Configuration
from limbeck.ensemble import Ensemble
from limbeck.errors import Diverged, NotApplicable
from limbeck.first_block import FirstBlock
from limbeck.samples import Domain, Samples
from limbeck.streams import borrowed_global, derive, stream

Buffers = dict[str, Tensor]
How = Literal["auto", "loop", "stacked"]
Memory = Literal["constant", "graph", "tesla"]

PIECE_BYTES = 8 * 2**20  # of the largest map: a few maps of this size fit the second and third level caches
PIECE_ELSEWHERE = 4096
GRAPH_BYTES = 64 * 2**20  # of graphs that an unroll keeps at most, instead of making them again going backwards
CALIBRATION_STEPS = 3


class Network:
    """A module as pure functions of one flat parameter vector and its buffers."""

    def __init__(
        self, build: Callable[[], nn.Module], dtype: torch.dtype = torch.float32, sample_dimensions: int = 3
    ) -> None:
        self._build = build
        self.dtype = dtype
        with borrowed_global(0, "structure"):
            self.module = build().to(dtype)
        named = list(self.module.named_parameters())
        self.shapes = {name: parameter.shape for name, parameter in named}
        self._sizes = [parameter.numel() for _, parameter in named]
        linear = [part for part in self.module.modules() if isinstance(part, nn.Linear)]
        self._head = linear[-1] if linear else None
        self._ensemble = Ensemble.of(self.module)
        self._first_block = FirstBlock.of(self.module)
        self._sample_dimensions = sample_dimensions
        self._largest: dict[tuple[torch.Size, bool], int] = {}

    def initial(self, seed: int) -> tuple[Tensor, Buffers]:
        """A fresh initialisation by the module's own rule: parameters (p,) and buffers."""
        with borrowed_global(seed, "network"):
            fresh = self._build().to(self.dtype)
        vector = torch.cat([parameter.detach().reshape(-1) for parameter in fresh.parameters()])
        return vector, {name: buffer.detach().clone() for name, buffer in fresh.named_buffers()}

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Named parameters as views of a vector (p,), or of several (networks, p)."""
        pieces = torch.split(vector, self._sizes, dim=-1)
        lead = vector.shape[:-1]
        named = zip(self.shapes.items(), pieces, strict=True)
        return {name: piece.view(*lead, *shape) for (name, shape), piece in named}

    def hidden_weights(self) -> list[str]:
        """Names of the weight tensors below the last linear layer, without those of norms.

        Raises `NotApplicable` where there is none.
        """
        norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
        outside = [part for part in self.module.modules() if isinstance(part, norms) or part is self._head]
        left_out = {id(parameter) for part in outside for parameter in part.parameters(recurse=False)}
        named = self.module.named_parameters()
        names = [name for name, parameter in named if parameter.dim() > 1 and id(parameter) not in left_out]
        if not names:
            raise NotApplicable("this network has no hidden layer, so no hidden weights. Use one that has.")
        return names

    @property
    def feature_size(self) -> int:
        """The length of the features. Raises `NotApplicable` where the network has no linear layer."""
        return self._linear().in_features

    def _linear(self) -> nn.Linear:
        if self._head is None:
            raise NotApplicable("this network has no linear layer, so it has no features. Use a gradient method.")
        return self._head

    def logits(self, vector: Tensor, buffers: Buffers, x: Tensor, training: bool = False) -> Tensor:
        """Logits (n, classes). In training mode, running statistics in `buffers` are updated in place."""
        return self._called(self._quickest(x), vector, buffers, x, training)

    def _quickest(self, x: Tensor) -> nn.Module:
        """The module, or the same function in fewer passes where that is quicker for such samples."""
        return self._first_block if self._first_block and self._first_block.pays(x) else self.module

    def _called(self, module: nn.Module, vector: Tensor, buffers: Buffers, x: Tensor, training: bool = False) -> Tensor:
        self.module.train(training)
        return functional_call(module, (self.unflatten(vector), buffers), (x,))

    def stacked_logits(self, vectors: Tensor, buffers: Buffers, x: Tensor, training: bool = False) -> Tensor:
        """Logits (networks, n, classes) of networks (networks, p) with stacked buffers.

        x is (n, *shape), which all share, or (networks, n, *shape). The layers are called side by side where they are
        all known to `Ensemble`, and else under `vmap`.
        """
        shared = x.dim() == 1 + self._sample_dimensions
        if self._ensemble:
            return self._ensemble.logits(self.unflatten(vectors), buffers, x, shared, training)
        forward = vmap(
            lambda v, b, z: self.logits(v, b, z, training), (0, 0, None if shared else 0), randomness="different"
        )
        return forward(vectors, buffers, x)

    def features_and_logits(
        self, vector: Tensor, buffers: Buffers, x: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The input of the last linear layer (n, features), and the logits.

        Raises `NotApplicable` where the network has no linear layer.
        """
        seen: list[Tensor] = []
        hook = self._linear().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits = self.logits(vector, buffers, x, training)
        finally:
            hook.remove()
        return seen[-1], logits

    def piece(self, x: Tensor) -> int:
        """How many of the samples (n, *shape) to pass at once where nothing asks for all of them together.

        On a CPU, as many as keep the largest map of the network in a cache; larger ones are slower a sample, and every
        one of them is fetched from the system and given back. Elsewhere, as many as there is memory for.
        """
        if x.device.type != "cpu":
            return PIECE_ELSEWHERE
        return max(1, PIECE_BYTES // (self.largest_map(x) * x.element_size()))

    def largest_map(self, x: Tensor) -> int:
        """Numbers in the largest output of any layer for one of the samples (n, *shape)."""
        module = self._quickest(x)
        key = (x.shape[1:], module is self.module)
        if key not in self._largest:
            self._largest[key] = self._measured_map(module, x[:1].detach())
        return self._largest[key]

    @property
    def is_known(self) -> bool:
        """Whether several are called side by side without `vmap`."""
        return self._ensemble is not None

    @torch.no_grad()
    def _measured_map(self, module: nn.Module, sample: Tensor) -> int:
        seen = [sample.numel()]

        def note(layer: nn.Module, inputs: Any, output: Any) -> None:
            seen.append(output.numel() if isinstance(output, Tensor) else 0)

        hooks = [layer.register_forward_hook(note) for layer in self.module.modules()]
        try:
            module.eval()(sample)
        finally:
            for hook in hooks:
                hook.remove()
        return max(seen)

    def activations(self, vector: Tensor, buffers: Buffers, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of the activation functions, each (n, ...), in the order of the forward pass, and the logits.

        Raises `NotApplicable` where the network has no module of an activation function.
        """
        seen: list[Tensor] = []
        kinds = tuple(type(build()) for build in ACTIVATIONS.values())
        layers = [part for part in self.module.modules() if isinstance(part, kinds)]
        hooks = [layer.register_forward_hook(lambda _, inputs, output: seen.append(output)) for layer in layers]
        try:
            logits = self._called(self.module, vector, buffers, x)
        finally:
            for hook in hooks:
                hook.remove()
        if not seen:
            raise NotApplicable("this network has no layer of activations to look at. Use one that has.")
        return seen, logits


@dataclass(frozen=True)
class State:
    """A state of a dynamics: parameters, buffers and the optimizer's moments after `step` steps."""

    vector: Tensor  # (p,) or, stacked, (networks, p)
    buffers: Buffers = field(default_factory=dict)
    moments: tuple[Tensor, ...] = ()
    step: int = 0
    since_restart: int = 0

    def detached(self) -> State:
        return State(
            self.vector.detach(),
            {name: buffer.detach().clone() for name, buffer in self.buffers.items()},
            tuple(moment.detach() for moment in self.moments),
            self.step,
            self.since_restart,
        )


@dataclass(frozen=True)
class Trained:
    """One finished training."""

    state: State
    seed: int
    seconds: float


def soft_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over samples of -sum_c y_c log softmax(logits)_c; logits and y (n, classes)."""
    return -(y * torch.log_softmax(logits, dim=-1)).sum(-1).mean(-1)


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
        self.device = torch.device(device)
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
            buffers = _copied(dict(self.network.module.named_buffers()))
        return State(vector, buffers, self.configuration.optimizer.start(vector))

    def view(self, x: Tensor, y: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """The augmented batch that the run with this seed sees at a step."""
        draw = self.configuration.augmentation.draw(len(x), self.domain, stream(seed, "augment", step))
        return draw(x, y)

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

    @torch.no_grad()
    def predict(self, state: State, x: Tensor) -> Tensor:
        """Logits (n, classes) in evaluation mode."""
        parts = x.split(self.network.piece(x))
        return torch.cat([self.network.logits(state.vector, state.buffers, part) for part in parts])


def error_and_loss(dynamics: Dynamics, state: State, samples: Samples) -> tuple[float, float]:
    """The share of samples whose largest logit is not their class, and the mean soft cross-entropy."""
    logits = dynamics.predict(state, samples.x.to(dynamics.device, dynamics.dtype))
    wrong = (logits.argmax(1) != samples.group.to(logits.device)).double().mean()
    loss = soft_cross_entropy(logits.double(), samples.y.to(logits.device, torch.float64))
    return float(wrong), float(loss)


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
    rate: Tensor | float | None = None,
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
        x, y = dynamics.view(part.x, part.y, seed, state.step)
        state = dynamics.step(state, x, y, rate=rate)
        if on_step:
            on_step(state)
    _check_finite(state.vector, dynamics, steps)
    return Trained(state, seed, time.perf_counter() - begun)


def train_many(
    dynamics: Dynamics, samples: Samples | Sequence[Samples], seeds: Sequence[int], *, how: How = "auto"
) -> list[Trained]:
    """Train one network a seed, on shared samples or on one set each (all of one size).

    `loop` trains one after the other; `stacked` trains all at once, their layers side by side; `auto` takes what was
    quicker in a few measured steps, which this machine remembers. The results are equal up to float rounding: 1e-9
    relative in float64; in float32, rounding grows with the number of steps. A parameter without a slope, as a bias
    before a norm, has nothing but rounding to follow, and an adaptive optimizer with a small epsilon makes whole steps
    of it; the network's function is not changed by them.
    """
    shared = isinstance(samples, Samples)
    sets = [samples] * len(seeds) if isinstance(samples, Samples) else list(samples)
    if how == "auto":
        how = _quicker(dynamics, sets, seeds, shared) if len(seeds) > 1 else "loop"
    if how == "loop" or len(seeds) <= 1:
        return [train(dynamics, part, seed) for part, seed in zip(sets, seeds, strict=True)]
    begun = time.perf_counter()
    state = _train_stacked(dynamics, sets, seeds, dynamics.configuration.schedule.steps, shared)
    _check_finite(state.vector, dynamics, state.step)
    seconds = (time.perf_counter() - begun) / len(seeds)
    return [Trained(single, seed, seconds) for single, seed in zip(_unstack(state), seeds, strict=True)]


def _train_stacked(
    dynamics: Dynamics, sets: Sequence[Samples], seeds: Sequence[int], steps: int, shared: bool
) -> State:
    """The stacked state after some steps. Where all see the same batch at every step, it is passed once."""
    batch = dynamics.configuration.schedule.batch
    sets = [part.to(dynamics.device, dynamics.dtype) for part in (sets[:1] if shared else sets)] * (
        len(seeds) if shared else 1
    )
    same = shared and len(sets[0]) <= batch and dynamics.configuration.augmentation.variant_name() == "none"
    state = _stack([dynamics.initial(derive(seed, "init")) for seed in seeds])
    if same:
        for _ in range(steps):
            state = dynamics.step(state, sets[0].x, sets[0].y)
        return state
    plans = [batches(seed, len(part), batch, steps) for part, seed in zip(sets, seeds, strict=True)]
    for indices in zip(*plans, strict=True):
        views = [
            dynamics.view(part.x[index], part.y[index], seed, state.step)
            for part, index, seed in zip(sets, indices, seeds, strict=True)
        ]
        x, y = (torch.stack(parts) for parts in zip(*views, strict=True))
        state = dynamics.step(state, x, y)
    return state


def _quicker(dynamics: Dynamics, sets: Sequence[Samples], seeds: Sequence[int], shared: bool) -> How:
    """`loop` or `stacked`, by the quickest of a few steps of each on this machine."""
    if len({len(part) for part in sets}) != 1:
        return "loop"
    parts = dynamics.configuration.parts
    work = [*(part.spec for part in parts[:3]), dynamics.configuration.schedule.batch, list(dynamics.domain.shape)]
    size = [dynamics.domain.classes, len(sets[0]), len(seeds), shared]

    def one_after_the_other() -> None:
        for part, seed in zip(sets, seeds, strict=True):
            train(dynamics, part, seed, steps=CALIBRATION_STEPS)

    def at_once() -> None:
        _train_stacked(dynamics, sets, seeds, CALIBRATION_STEPS, shared)

    ways: dict[str, Callable[[], object]] = {"loop": one_after_the_other, "stacked": at_once}
    return cast(How, quickest("train_many", [*work, *size, str(dynamics.dtype)], ways, str(dynamics.device)))


def unroll(
    dynamics: Dynamics,
    start: State,
    samples: Samples,
    *,
    steps: int,
    seed: int,
    rate: Tensor | float | None = None,
    memory: Memory = "constant",
) -> Tensor:
    """The parameters (p,) after `steps` updates on samples, differentiable in x, y, `rate` and the start.

    Equal to what `train` reaches; a given `rate` replaces the configuration's own rate and schedule. Running
    statistics are left alone. `graph` keeps the whole unroll; `constant` keeps only the state vectors and, going
    backwards, recomputes one step at a time and pulls the adjoint through it (the exact gradient, with one step's
    graph in memory, and as many of the last steps' as fit into `GRAPH_BYTES`):
    a_i = (d U_i / d state)^T a_(i+1), and the leaves collect (d U_i / d leaf)^T a_(i+1). `tesla` freezes the adjoint,
    a_i = a_steps, as Cui et al. 2023 do: cheaper, but the gradient of another function.

    Raises `NotApplicable` for `tesla` with an optimizer that has moments, for which its formula is not written.
    """
    if memory == "tesla" and start.moments:
        raise NotApplicable(
            f"memory=tesla is written for plain gradient descent, not for {dynamics.configuration.optimizer.spec}. "
            "Use memory=constant, which is exact for every optimizer."
        )
    plan = list(batches(seed, len(samples), dynamics.configuration.schedule.batch, steps))
    own_rate = rate is None
    rate = torch.as_tensor(0.0 if rate is None else rate, dtype=start.vector.dtype, device=start.vector.device)

    def advance(state: State, x: Tensor, y: Tensor, step_size: Tensor, index: int, differentiable: bool) -> State:
        # A recomputed step must not see what the first pass changed: each gets running statistics to spoil.
        state = State(state.vector, _copied(start.buffers), state.moments, state.step, state.since_restart)
        x, y = dynamics.view(x[plan[index]], y[plan[index]], seed, state.step)
        return dynamics.step(state, x, y, rate=None if own_rate else step_size, differentiable=differentiable)

    if memory == "graph":
        state = start
        for index in range(steps):
            state = advance(state, samples.x, samples.y, rate, index, differentiable=True)
        return state.vector
    frozen = memory == "tesla"
    room = GRAPH_BYTES if torch.is_grad_enabled() else 0
    leaves = (samples.x, samples.y, rate)
    return _ConstantMemory.apply(advance, start, steps, frozen, room, *leaves, start.vector, *start.moments)


class _ConstantMemory(torch.autograd.Function):
    """The step-wise adjoint behind `unroll`.

    The last steps' graphs are kept as far as they fit into `room` bytes, and those of the others made again going
    backwards. With its graph a step is rounded in another way: so `room` is fixed, and no free memory is asked for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        advance: Any,
        start: State,
        steps: int,
        frozen: bool,
        room: int,
        x: Tensor,
        y: Tensor,
        rate: Tensor,
        *carried: Tensor,
    ) -> Tensor:
        needed = ctx.needs_input_grad[5:8]  # x, y, rate
        leaves = [leaf.detach().requires_grad_(need) for leaf, need in zip((x, y, rate), needed, strict=True)]
        linked = partial(_linked, advance, leaves, frozen)
        state = State(carried[0], {}, carried[1:], start.step, start.since_restart).detached()
        path: list[State] = []
        kept: dict[int, tuple[list[Tensor], State]] = {}
        first_kept = 1 if room else steps
        for index in range(steps):
            path.append(replace(state, buffers={}))
            if room and index == 0:
                with _saved_bytes() as size:
                    after = linked(path[0], index)[1]
                first_kept = max(1, steps - room // max(1, size()))
            elif index >= first_kept:
                kept[index] = linked(path[index], index)
                after = kept[index][1]
            else:
                after = advance(state, x, y, rate, index, differentiable=False)
            state = after.detached()
        ctx.linked, ctx.path, ctx.kept, ctx.frozen, ctx.leaves = linked, path, kept, frozen, leaves
        ctx.save_for_backward(x, y, rate)  # says so where one of them was changed since
        return state.vector

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, adjoint: Tensor) -> Any:
        assert len(ctx.saved_tensors) == 3
        leaves = [leaf for leaf in ctx.leaves if leaf.requires_grad]
        totals = [torch.zeros_like(leaf) for leaf in leaves]
        moment_adjoints: tuple[Tensor, ...] = ()  # at first: the result does not depend on the last moments
        for index in reversed(range(len(ctx.path))):
            if ctx.frozen and not leaves:
                break
            inputs, after = ctx.kept.pop(index, None) or ctx.linked(ctx.path[index], index)
            outputs = [after.vector, *after.moments][: 1 + len(moment_adjoints)]
            pulled = torch.autograd.grad(
                outputs,
                leaves if ctx.frozen else [*inputs, *leaves],
                [adjoint, *moment_adjoints],
                allow_unused=True,
                materialize_grads=True,
            )
            if not ctx.frozen:
                adjoint, moment_adjoints = pulled[0], tuple(pulled[1 : len(inputs)])
            for total, part in zip(totals, pulled[len(pulled) - len(leaves) :], strict=True):
                total += part
        found = iter(totals)
        of_leaves = [next(found) if leaf.requires_grad else None for leaf in ctx.leaves]
        return None, None, None, None, None, *of_leaves, adjoint, *moment_adjoints


def _linked(advance: Any, leaves: Sequence[Tensor], frozen: bool, before: State, index: int) -> tuple[Any, State]:
    """The vector and moments before a step, and the state after it, with the step's graph between them."""
    inputs = [tensor.detach().requires_grad_(not frozen) for tensor in (before.vector, *before.moments)]
    with torch.enable_grad():
        state = replace(before, vector=inputs[0], moments=tuple(inputs[1:]))
        return inputs, advance(state, *leaves, index, differentiable=True)


@contextmanager
def _saved_bytes() -> Iterator[Callable[[], int]]:
    """How many bytes the graphs that are made within hold, tensors that share their memory counted once."""
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield lambda: sum(seen.values())


def _stack(states: list[State]) -> State:
    first = states[0]
    return State(
        torch.stack([state.vector for state in states]),
        {name: torch.stack([state.buffers[name] for state in states]) for name in first.buffers},
        tuple(torch.stack(parts) for parts in zip(*(state.moments for state in states), strict=True)),
    )


def _unstack(state: State) -> list[State]:
    return [
        State(
            state.vector[i].clone(),
            {name: buffer[i].clone() for name, buffer in state.buffers.items()},
            tuple(moment[i].clone() for moment in state.moments),
            state.step,
            state.since_restart,
        )
        for i in range(len(state.vector))
    ]


def _copied(buffers: Buffers) -> Buffers:
    return {name: buffer.clone() for name, buffer in buffers.items()}


def _check_finite(vector: Tensor, dynamics: Dynamics, steps: int) -> None:
    if not bool(torch.isfinite(vector).all()):
        raise Diverged(
            f"training under {dynamics.configuration.spec} left the finite range within {steps} steps. "
            f"Lower its lr (now {dynamics.configuration.optimizer.lr:g})."
        )
