"""What was measured along the path that a synthetic set induces: plain numbers, no networks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDING = 1e-10  # of the loss: float64 keeps five digits of a second difference of this size


@dataclass(frozen=True)
class Passage:
    """One entry a measured step t of the run theta_0..theta_T on a set S, in the norm |h|_P of its optimizer.

    With g_D, g_S the gradients of the full-data and of the set's objective L_D, L_S at theta_t, and
    d_t = P_t (theta_t - theta_(t+1)) / rate_t the direction that was really taken (momentum, mini-batches and decay
    included), squared norms are |x|^2 = x' P^-1 x, the dual of |h|_P^2 = h' P h.
    """

    step: Floats  # (m,) t
    span: Floats  # (m,) steps that the entry stands for; all 1 where every step was measured
    rate: Floats  # (m,) the optimizer's lr times the schedule's factor times its gain
    loss: Floats  # (m,) L_D(theta_t)
    loss_next: Floats  # (m,) L_D(theta_(t+1))
    loss_set: Floats  # (m,) L_S(theta_t)
    gradient: Floats  # (m,) |g_D|^2
    mismatch: Floats  # (m,) |g_S - g_D|^2
    error: Floats  # (m,) |d - g_D|^2
    direction: Floats  # (m,) |d|^2
    variance: Floats  # (m,) sum over parameters of the per-sample variance of g_D (n - 1 in the denominator)
    within: Floats  # (m,) the same within classes, averaged over them: the variance of class-balanced draws
    samples: int  # k, the training samples of the set
    population: int  # n, the samples behind g_D

    @property
    def exact(self) -> bool:
        """Whether every step was measured, so that the recursion is checked and not interpolated."""
        return bool((self.span == 1).all())

    @property
    def curvature(self) -> Floats:
        """beta_t, the second difference of L_D along the step: L' = L - rate <g_D, d> + (beta / 2) rate^2 |d|^2.

        Zero for steps so short that the difference of the losses is rounding.
        """
        inner = (self.gradient + self.direction - self.error) / 2  # <g_D, d>
        moved = self.rate**2 * self.direction
        change = self.loss_next - self.loss + self.rate * inner
        known = moved > ROUNDING * self.rate * np.abs(self.loss)
        return np.divide(2 * change, moved, out=np.zeros_like(moved), where=known)

    def mu(self, optimum: float) -> Floats:
        """mu_t = |g_D|^2 / (2 (L_D - L*)) at each measured state; 0 where the loss is at or below the optimum."""
        excess = self.loss - optimum
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(excess > 0, self.gradient / (2 * excess), 0.0)

    def accumulation(self, mu: Floats | float) -> tuple[Floats, Floats, Floats]:
        """How errors add up where a step of `rate` leaves 1 - rate mu of what was there, (m,) each.

        What a span of steps leaves of that before it, `prod (1 - rate mu)`; what of an error it lets in, `sum rate
        prod (1 - rate mu)` over its steps; and what all later spans leave of it.
        """
        once = np.clip(1 - self.rate * mu, 0, None)
        factor = once**self.span
        with np.errstate(divide="ignore", invalid="ignore"):
            entering = np.where(once < 1, (1 - factor) / (1 - once), self.span) * self.rate
        return factor, entering, np.append(np.cumprod(factor[::-1])[::-1][1:], 1.0)

    def weights(self, mu: float | None = None) -> Floats:
        """w_t of the alignment discrepancy, summing to 1: rate_t prod_(s > t) (1 - rate_s mu), which forgets a mismatch
        as fast as training does. Without `mu`, rate_t: every stretch of the path counts alike."""
        _, entering, later = self.accumulation(mu or 0.0)
        weights = entering * later
        return weights / weights.sum()

    def discrepancy(self, mu: float | None = None) -> float:
        """A_a(S)^2 = sum_t w_t |g_S - g_D|^2: the mean squared gradient mismatch along the path."""
        return float(self.weights(mu) @ self.mismatch)

    def effective_samples(self, mu: float | None = None, *, balanced: bool = False) -> float:
        """k_eff: how many random samples have this discrepancy, from A^2 = sigma^2 (1 / k_eff - 1 / n).

        `balanced` counts random samples drawn class by class, which are worth more than samples drawn from all.
        """
        sigma2 = float(self.weights(mu) @ (self.within if balanced else self.variance))
        return 1 / (self.discrepancy(mu) / sigma2 + 1 / self.population)

    def to_dict(self) -> dict[str, Any]:
        """Columns as lists, for JSON."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in held.items()}


@dataclass(frozen=True)
class Optimum:
    """Where a loss ends: the lowest value that was seen, what is left below it, and a bound that nothing passes.

    `value` is lowest - remainder, never below the bound. The remainder is extrapolated from runs of one, two and four
    lengths; it is the whole distance to the bound where their losses do not shrink geometrically.
    """

    lowest: float
    remainder: float
    bound: float

    @property
    def value(self) -> float:
        return max(self.lowest - self.remainder, self.bound)


@dataclass(frozen=True)
class FullData:
    """What training on the full data reaches under a configuration: the far end of every gap."""

    optimum: Optimum
    loss: float  # L_D(theta^D_T)
    test_loss: float  # R(theta^D_T)
    test_error: float


@dataclass(frozen=True)
class Measured:
    """All that the decomposition of one set's gap under one configuration needs."""

    passage: Passage
    full: FullData
    set_optimum: Optimum  # of L_S
    final_loss: float  # L_D(theta^S_T)
    final_loss_set: float  # L_S(theta^S_T)
    test_loss: float
    test_error: float
    smoothness: float  # largest curvature in any direction at theta^S_T, in the optimizer's norm
    method: str = ""
    configuration: str = ""
