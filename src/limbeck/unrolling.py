"""A training as one differentiable function of its samples, step size and start, at constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from limbeck.dynamics import Dynamics, State, batches
from limbeck.errors import NotApplicable
from limbeck.network import copied
from limbeck.samples import Samples

Memory = Literal["constant", "graph", "tesla"]

GRAPH_BYTES = 64 * 2**20  # of graphs that an unroll keeps at most, instead of making them again going backwards


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
        state = State(state.vector, copied(start.buffers), state.moments, state.step, state.since_restart)
        x, y = dynamics.view(replace(samples, x=x, y=y)[plan[index]], seed, state.step)
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
