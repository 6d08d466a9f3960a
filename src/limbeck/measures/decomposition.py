"""Measure all that the decomposition of a set's gap under a configuration is made of."""

from __future__ import annotations

import torch

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, error_and_loss
from limbeck.measures.alignment import walk
from limbeck.measures.contraction import find_optimum, smoothness
from limbeck.measures.objective import Objective
from limbeck.measures.passage import FullData, Measured
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.streams import derive, stream
from limbeck.synthetic import SyntheticSet

PROBE = 4096


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


def probed(source: Source, probe: int = PROBE) -> Samples:
    """The training samples, or a fixed random part of them, in their order."""
    count = len(source.train)
    if count <= probe:
        return source.train
    chosen = torch.randperm(count, generator=stream(0, "probe", source.digest))[:probe]
    return source.train[chosen.sort().values]
