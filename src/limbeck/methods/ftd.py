"""FTD: trajectory matching of flat experts."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from limbeck.dynamics import Dynamics
from limbeck.methods.mtt import MTT
from limbeck.states import ExpertPlan


class FTD(MTT):
    """MTT with experts trained towards flat places, and a running average of the set (Du et al., CVPR 2023).

    Along flat trajectories an error of the parameters costs little, so that errors of single segments add up to less
    when a set is trained on from scratch. Experts are trained with GSAM (`radius`, `surrogate_gap`); the average of the
    set (`average`, the plain mean over its first steps) is validated beside the last set and the better one is kept; it
    is the set where nothing is validated. Segments are mtt's; the paper's for CIFAR-10 at 10 a class are
    `synthetic_steps=30, ahead=2, max_start=20, step_size=1e-3`. In 20 s of a core on Fashion-MNIST, 19 updates at 10 a
    class, it does not beat `k-means` there, in 120 s it is .7 points above (docs/results/methods.md).
    """

    paper: ClassVar[str] = "du2023ftd"
    states_name: ClassVar[str] = "experts(flat)"
    cost: ClassVar[str] = "as mtt, experts at twice the price"

    lr_pixels: float = Field(100.0, gt=0)
    radius: float = Field(0.01, gt=0)
    surrogate_gap: float = Field(0.3, ge=0, lt=1)
    average: float = Field(0.9995, ge=0, lt=1)

    def averaging(self) -> float:
        return self.average

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan:
        return replace(super().expert_plan(dynamics), radius=self.radius, surrogate_gap=self.surrogate_gap)
