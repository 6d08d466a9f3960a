"""Statistical fluctuation: how far the gradient of random samples is from the gradient of all."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import grad, vmap

from limbeck.dynamics import Dynamics, State
from limbeck.measures.objective import Objective
from limbeck.samples import Samples
from limbeck.streams import stream

CONTROL_DRAWS, CONTROL_SAMPLES = 24, 64


def gradient_variance(
    dynamics: Dynamics, state: State, data: Samples, metric: Tensor | float = 1.0, chunk: int = 128
) -> tuple[float, float]:
    """sigma^2 and its part within classes, of the per-sample gradients at a state, in the norm x' P^-1 x.

    sigma^2 = sum_i |g_i - g_D|^2 / (n - 1) gives E|g_S - g_D|^2 = sigma^2 (1/k - 1/n) for k samples drawn without
    replacement, exactly. Within class c, of n_c samples, sigma_c^2 is the same with the class's own mean; their mean
    over classes serves draws of equally many samples of each class.

    Where samples share a batch's statistics there are no per-sample gradients: sigma^2 then comes from the control,
    random subsets, and its part within classes from class-balanced ones.
    """
    if state.buffers:
        k = min(CONTROL_SAMPLES, len(data) // 2)
        drawn = [subset_control(dynamics, state, data, k, metric=metric, balanced=one) for one in (False, True)]
        each = [float(squared.mean()) / (1 / k - 1 / len(data)) for squared in drawn]
        return each[0], each[1]
    network, penalty = dynamics.network, dynamics.configuration.optimizer.penalty
    vector = state.vector.detach()

    def loss(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
        logits = network.logits(parameters, {}, x[None], training=True)[0]
        return -(y * torch.log_softmax(logits, -1)).sum() + penalty / 2 * parameters.square().sum()

    single = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")
    classes = data.y.shape[1]
    counts = torch.bincount(data.group, minlength=classes).to(vector.dtype)
    squares, sums = vector.new_zeros(classes), vector.new_zeros(classes, len(vector))
    for part in torch.arange(len(data)).split(chunk):
        scaled = single(vector, data.x[part], data.y[part]) / metric**0.5  # (chunk, p)
        squares.index_add_(0, data.group[part], scaled.square().sum(1))
        sums.index_add_(0, data.group[part], scaled)
    n = counts.sum()
    total = (squares.sum() - sums.sum(0).square().sum() / n) / (n - 1)
    held = counts > 1
    own = (squares - sums.square().sum(1) / counts.clamp_min(1))[held] / (counts[held] - 1)
    return float(total), float(own.mean())


def subset_control(
    dynamics: Dynamics,
    state: State,
    data: Samples,
    k: int,
    *,
    draws: int = CONTROL_DRAWS,
    seed: int = 0,
    metric: Tensor | float = 1.0,
    balanced: bool = False,
) -> Tensor:
    """|g_S - g_D|^2 (draws,) of random subsets of k samples, or of k / classes samples of each class."""
    objective = Objective(dynamics, data)
    _, full = objective.at(state)
    found = []
    for draw in range(draws):
        generator = stream(seed, "subset", k, draw)
        order = torch.randperm(len(data), generator=generator)
        if balanced:
            classes = data.y.shape[1]
            parts = [order[data.group[order] == label][: max(1, k // classes)] for label in range(classes)]
            chosen = torch.cat(parts)
        else:
            chosen = order[:k]
        _, own = replace(objective, data=data[chosen]).at(state)
        found.append(((own - full).square() / metric).sum())
    return torch.stack(found)
