"""The alignment discrepancy: how far a set's gradient is from the data's along the path that the set induces."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from limbeck.dynamics import Dynamics, State, train
from limbeck.measures.fluctuation import gradient_variance
from limbeck.measures.objective import Objective
from limbeck.measures.passage import Passage
from limbeck.samples import Samples

VARIANCES = 6  # states along a path whose per-sample gradients are taken


def walk(
    dynamics: Dynamics,
    synthetic: Samples,
    data: Samples,
    seed: int,
    *,
    every: int = 1,
    views: int = 1,
    variances: int = VARIANCES,
    preconditioned: bool = True,
) -> tuple[Passage, State]:
    """Train on a set under the dynamics' configuration, measure every `every`-th step against the data; where it ends.

    Norms are the optimizer's own (theta's metric P from its second moments, where it has them); without
    `preconditioned` they are Euclidean and the preconditioner counts as part of the direction. `variances` states along
    the path get their per-sample gradient variance; between them it is interpolated. 0 leaves it out.

    Cost: one pass forward and backward over the data for each measured step, and one forward.
    """
    data, synthetic = (part.to(dynamics.device, dynamics.dtype) for part in (data, synthetic))
    steps = dynamics.configuration.schedule.steps
    measured = [step for step in range(steps) if step % every == 0]
    sampled = {measured[i] for i in np.linspace(0, len(measured) - 1, variances).round().astype(int)}
    watch = _Watch(dynamics, synthetic, data, set(measured), sampled, views, preconditioned)
    end = train(dynamics, synthetic, seed, on_step=watch).state
    return watch.passage(measured, steps), end


def alignment(
    dynamics: Dynamics,
    synthetic: Samples,
    data: Samples,
    seed: int,
    *,
    mu: float | None = None,
    every: int = 1,
    views: int = 1,
    preconditioned: bool = True,
) -> float:
    """A_a(S)^2 = sum_t w_t |g_S - g_D|^2 along the path that S induces under configuration a (see `Passage`)."""
    passage, _ = walk(
        dynamics, synthetic, data, seed, every=every, variances=0, views=views, preconditioned=preconditioned
    )
    return passage.discrepancy(mu)


class _Watch:
    """Looks at each state of a run: measures the one before it once the step from there is known."""

    def __init__(
        self,
        dynamics: Dynamics,
        synthetic: Samples,
        data: Samples,
        measured: set[int],
        sampled: set[int],
        views: int,
        preconditioned: bool,
    ) -> None:
        self.dynamics, self.measured, self.sampled, self.preconditioned = dynamics, measured, sampled, preconditioned
        self.on_data = Objective(dynamics, data, views)
        self.on_set = Objective(dynamics, synthetic, views)
        self.rows: list[dict[str, float]] = []
        self.before: State | None = None
        self.known: tuple[int, float, Tensor] | None = None  # step, loss and gradient of the data there

    def __call__(self, state: State) -> None:
        if self.before is not None:
            self._measure(self.before, state)
        # Running statistics are updated in place by the next step: keep this state's own.
        wanted = state.step in self.measured
        self.before = state.detached() if wanted else None

    def _measure(self, state: State, after: State) -> None:
        optimizer, schedule = self.dynamics.configuration.optimizer, self.dynamics.configuration.schedule
        rate = optimizer.lr * schedule.factor(min(state.step, schedule.steps - 1)) * optimizer.gain
        metric = optimizer.metric(after.moments, after.since_restart - 1) if self.preconditioned else 1.0
        if self.known and self.known[0] == state.step:
            _, loss, full = self.known
        else:
            loss, full = self.on_data.at(state)
        loss_set, own = self.on_set.at(state)
        if after.step in self.measured:
            loss_next, gradient_next = self.on_data.at(after)
            self.known = (after.step, loss_next, gradient_next)
        else:
            loss_next = self.on_data.value(after)
        direction = metric * (state.vector - after.vector) / rate if rate else own
        variance, within = math.nan, math.nan
        if state.step in self.sampled:
            variance, within = gradient_variance(self.dynamics, state, self.on_data.data, metric)

        def squared(x: Tensor) -> float:
            return float((x.square() / metric).sum())

        self.rows.append(
            {
                "step": state.step, "rate": rate, "loss": loss, "loss_next": loss_next, "loss_set": loss_set,
                "gradient": squared(full), "mismatch": squared(own - full), "error": squared(direction - full),
                "direction": squared(direction), "variance": variance, "within": within,
            }
        )  # fmt: skip

    def passage(self, measured: list[int], steps: int) -> Passage:
        columns = {name: np.array([row[name] for row in self.rows], np.float64) for name in self.rows[0]}
        for name in ("variance", "within"):
            known = np.isfinite(columns[name]) & (columns[name] > 0)
            if known.any():
                logs = np.log(columns[name][known])
                columns[name] = np.exp(np.interp(columns["step"], columns["step"][known], logs))
        span = np.diff(np.append(measured, steps)).astype(np.float64)
        return Passage(span=span, samples=len(self.on_set.data), population=len(self.on_data.data), **columns)


__all__ = ["alignment", "walk"]
