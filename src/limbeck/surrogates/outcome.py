"""Outcome matching: how good is a network on the data after training on the synthetic set?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from limbeck.network import copied
from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate
from limbeck.unrolling import unroll


class Outcome(Surrogate):
    """Loss on a real batch after N steps of training on the synthetic set (Wang et al. 2018; Feng et al. 2024).

    l(theta_N; real), theta_N after `synthetic_steps` of the dynamics' own optimizer from the state, moments included,
    at the learned step size where there is one. The bilevel objective itself: nothing stands between it and the risk
    but the real batch. The gradient is exact; with `memory=constant` only one step's graph is held at a time. Batch
    norms use the real batch's statistics.
    """

    siamese = False  # the dynamics draws its own views of the set; the real batch is what is predicted

    synthetic_steps: int = Field(20, gt=0)
    memory: Literal["constant", "graph"] = "constant"

    @property
    def zero_at_data(self) -> bool:
        return False  # training on the data leaves a loss too

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        dynamics, state = moment.dynamics, moment.state
        reached = unroll(
            dynamics,
            state,
            synthetic,
            steps=self.synthetic_steps,
            seed=moment.seed,
            rate=moment.learned.get("step_size"),
            memory=self.memory,
        )
        buffers = copied(state.buffers)
        return dynamics.loss(reached, buffers, real.x, real.y)
