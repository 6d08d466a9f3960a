"""Trajectory matching: does training on the synthetic set lead where training on the data led?"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate
from limbeck.unrolling import Memory, unroll


class Trajectory(Surrogate):
    """Normalised distance between the end of N synthetic steps and an expert's parameters (Cazenavette et al. 2022).

    |theta_N - target|^2 / |theta_0 - target|^2, theta_0 the expert's parameters, theta_N after N steps of gradient
    descent on the synthetic set with the learned step size. The gradient is exact; with `memory=constant` only one
    step's graph is held at a time.

    With `memory=tesla` the gradient is that of Cui et al. 2023: with G the sum of the steps' gradients g_i, that of
    |theta_0 - beta G - target|^2 with the theta_i in each g_i held fixed, 2 (theta_N - target)^T (-beta dG - G dbeta).
    What a sample does to later steps through the parameters is left out, so it is another gradient (cosine 0.90 to the
    exact one after 8 steps of a ConvNet).
    """

    reads_real = False

    synthetic_steps: int = Field(20, gt=0)
    memory: Memory = "constant"

    @property
    def zero_at_data(self) -> bool:
        return False  # training on the data reaches an expert's parameters only by the expert's own path

    @property
    def exact_gradient(self) -> bool:
        return self.memory != "tesla"

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        assert moment.target is not None, "trajectory needs states of experts"
        reached = unroll(
            moment.dynamics,
            moment.state,
            synthetic,
            steps=self.synthetic_steps,
            seed=moment.seed,
            rate=moment.learned.get("step_size"),
            memory=self.memory,
        )
        distance = ((reached - moment.target) ** 2).sum()
        return distance / ((moment.state.vector - moment.target) ** 2).sum()
