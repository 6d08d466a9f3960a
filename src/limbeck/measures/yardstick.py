"""One yardstick for every method's sets: the alignment discrepancy along a set's path, and the gap where it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, error_and_loss, errors_and_losses, train
from limbeck.errors import Diverged
from limbeck.measures.alignment import walk
from limbeck.measures.contraction import find_optimum
from limbeck.measures.decomposition import PROBE, probed
from limbeck.sources import Source
from limbeck.streams import derive
from limbeck.synthetic import SyntheticSet

REFERENCES = 3


@dataclass(frozen=True)
class Ground:
    """What full-data training under a configuration is like: measured once, the same for every set.

    `mu` is the median of the path's mu_t; error and loss are those on the test samples, means over references.
    """

    mu: float
    optimum: float
    error: float
    loss: float

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Ground:
        """From what `to_dict` gives."""
        return cls(**{name: float(held[name]) for name in ("mu", "optimum", "error", "loss")})

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return dict(vars(self))


def measure_ground(
    source: Source,
    configuration: str | Configuration,
    *,
    every: int = 5,
    references: int = REFERENCES,
    probe: int = PROBE,
    device: torch.device | str = "cpu",
) -> Ground:
    """Train on the full data: seven lengths of a training for the optimum, one measured, and the references.

    Raises `Diverged`.
    """
    dynamics, data = Dynamics(configuration, source.domain, device=device), probed(source, probe)
    run, test = derive(0, "evaluate"), dynamics.configuration.domain.apply(source.test, source.domain)
    optimum, _ = find_optimum(dynamics, data, run)
    passage, _ = walk(dynamics, data, data, run, every=every, variances=0)
    ends = [train(dynamics, source.train, derive(seed, "evaluate")).state for seed in range(references)]
    errors, losses = zip(*errors_and_losses(dynamics, ends, test), strict=True)
    mu = float(np.median(passage.mu(optimum.value)))
    ground = Ground(mu, optimum.value, sum(errors) / references, sum(losses) / references)
    _check_finite(ground.to_dict(), dynamics.configuration, "the full data")
    return ground


def measure_set(
    made: SyntheticSet,
    source: Source,
    configuration: str | Configuration,
    ground: Ground,
    seed: int = 0,
    *,
    every: int = 25,
    probe: int = PROBE,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """One training on a set: A_a(S)^2 with weights at the configuration's own mu, what it is worth, and the gap.

    `{"discrepancy", "uniform" (weights that forget nothing), "variance", "effective", "balanced", "error", "loss",
    "gap", "gap_loss"}`; see `Passage` for k_eff, which along a set's own path is no count of samples.
    Raises `Diverged`.
    """
    trained = Configuration.parse(configuration).with_step_size(made.step_size)
    dynamics, data = Dynamics(trained, source.domain, device=device), probed(source, probe)
    passage, end = walk(dynamics, made.samples(), data, derive(seed, "evaluate"), every=every, variances=4)
    test = dynamics.configuration.domain.apply(source.test, source.domain)
    error, loss = error_and_loss(dynamics, end, test)
    found = {
        "discrepancy": passage.discrepancy(ground.mu),
        "uniform": passage.discrepancy(),
        "variance": float(passage.weights(ground.mu) @ passage.variance),
        "effective": passage.effective_samples(ground.mu),
        "balanced": passage.effective_samples(ground.mu, balanced=True),
        "error": error,
        "loss": loss,
        "gap": error - ground.error,
        "gap_loss": loss - ground.loss,
    }
    _check_finite(found, trained, "the set")
    return found


def _check_finite(found: Mapping[str, float], configuration: Configuration, what: str) -> None:
    if not all(map(math.isfinite, found.values())):
        raise Diverged(
            f"training under {configuration.spec} on {what} left the finite range. Lower its lr (now "
            f"{configuration.optimizer.lr:g})."
        )
