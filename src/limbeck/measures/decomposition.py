"""Measure all that the decomposition of a set's gap under a configuration is made of."""

from __future__ import annotations

import time

import torch

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, error_and_loss
from limbeck.measures.alignment import VARIANCES, walk
from limbeck.measures.contraction import ITERATIONS, LENGTHS, find_optimum, smoothness
from limbeck.measures.objective import Objective
from limbeck.measures.passage import FullData, Measured
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.streams import derive, stream
from limbeck.synthetic import SyntheticSet

PROBE = 4096
_TIMED = 256  # samples whose gradient is timed for a forecast
_HESSIAN, _VALUE, _EACH = 4.2, 0.4, 2.0  # gradients that a Hessian product, a loss and per-sample gradients cost


def full_data(
    source: Source,
    configuration: str | Configuration,
    seed: int = 0,
    *,
    probe: int = PROBE,
    views: int = 1,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> FullData:
    """What training on the full data reaches; the same for every set, so measure it once a configuration and seed."""
    dynamics = Dynamics(configuration, source.domain, device=device, dtype=dtype)
    data = probed(source, probe)
    optimum, state = find_optimum(dynamics, data, derive(seed, "evaluate"), views=views)
    error, loss = error_and_loss(dynamics, state, dynamics.configuration.domain.apply(source.test, source.domain))
    objective = Objective(dynamics, data.to(dynamics.device, dtype), views)
    return FullData(optimum, objective.value(state), loss, error)


def measure(
    synthetic: SyntheticSet,
    source: Source,
    configuration: str | Configuration,
    seed: int = 0,
    *,
    full: FullData | None = None,
    every: int = 1,
    probe: int = PROBE,
    views: int = 1,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Measured:
    """Train on the set as `evaluate` does with this seed, and measure its path, its ends and the full data's.

    Beyond `probe` training samples a fixed random part of them stands for the full data, on both sides of the gap.
    The training here is in float64, so that second differences along steps are more than rounding.
    """
    trained = Configuration.parse(configuration).with_step_size(synthetic.step_size)
    dynamics = Dynamics(trained, source.domain, device=device, dtype=dtype)
    data, samples = probed(source, probe).to(dynamics.device, dtype), synthetic.samples().to(dynamics.device, dtype)
    if full is None:
        full = full_data(source, configuration, seed, probe=probe, views=views, device=device, dtype=dtype)
    run = derive(seed, "evaluate")
    passage, end = walk(dynamics, samples, data, run, every=every, views=views)
    lowest, _ = find_optimum(dynamics, samples, run, views=views)
    error, loss = error_and_loss(dynamics, end, dynamics.configuration.domain.apply(source.test, source.domain))
    metric = dynamics.configuration.optimizer.metric(end.moments, max(end.since_restart - 1, 0))
    return Measured(
        passage=passage,
        full=full,
        set_optimum=lowest,
        final_loss=Objective(dynamics, data, views).value(end),
        final_loss_set=Objective(dynamics, samples, views).value(end),
        test_loss=loss,
        test_error=error,
        smoothness=smoothness(dynamics, end, data, metric, views=views),
        method=synthetic.method,
        configuration=dynamics.configuration.spec,
    )


def passes(steps: int, samples: int, batch: int, every: int = 1) -> float:
    """How many gradients over `samples` samples `measure` costs, for trainings of `steps` steps in batches of `batch`.

    The measured steps, per-sample gradients at some, the Hessian products behind the largest curvature, and the
    trainings that find the lowest loss of the data; a step left out costs a loss at its neighbour's end.
    """
    measured = -(-steps // every)
    path = measured * (1 + (_VALUE if every > 1 else 0)) + min(VARIANCES, measured) * _EACH
    return path + ITERATIONS * _HESSIAN + sum(LENGTHS) * steps * min(batch / samples, 1)


def foretold_seconds(
    source: Source,
    configuration: str | Configuration,
    *,
    every: int = 1,
    probe: int = PROBE,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> float:
    """About how long `measure` will take: the gradient on a few samples is timed here, what takes less than all left
    out."""
    dynamics = Dynamics(configuration, source.domain, device=device, dtype=dtype)
    data = probed(source, min(probe, _TIMED)).to(dynamics.device, dtype)
    objective, state = Objective(dynamics, data), dynamics.initial(0)
    objective.at(state)  # the first call of a network is no measure
    begun = time.perf_counter()
    objective.at(state)
    each, samples = (time.perf_counter() - begun) / len(data), min(probe, len(source.train))
    schedule = dynamics.configuration.schedule
    return each * samples * passes(schedule.steps, samples, schedule.batch, every)


def probed(source: Source, probe: int = PROBE) -> Samples:
    """The training samples, or a fixed random part of them, in their order."""
    count = len(source.train)
    if count <= probe:
        return source.train
    chosen = torch.randperm(count, generator=stream(0, "probe", source.digest))[:probe]
    return source.train[chosen.sort().values]
