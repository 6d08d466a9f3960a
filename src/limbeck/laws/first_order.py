"""The first-order bound on a gap: how far a set's gradient errors can carry the end of training, times the slope there.

Let training on S and on the full data start alike, the update map of full-data descent bring two points together by
1 - rate mu a step, and |g_D| <= G between the two ends. Then, with e_t = d_t - g_D(theta^S_t),

    |L_D(theta^S_T) - L_D(theta^D_T)| <= G sum_t rate_t prod_(s > t)(1 - rate_s mu) |e_t|.

For k random samples E|e_t| <= sigma_t sqrt(1/k - 1/n): the bound is C sqrt(1/k - 1/n) with C = G sum_t (...) sigma_t,
about G sigma / mu: the k^-1/2 of the scaling law, where the second-order bound (`laws.decomposition`) falls as 1/k. It
asks for more than that one: contraction of the map, which strong convexity gives and the Polyak-Lojasiewicz inequality
does not. With constants measured along a path it is an estimate, and `holds` says whether it was one that held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.measures.passage import Passage


@dataclass(frozen=True)
class FirstOrder:
    """The bound, what it bounds, and its constants; of random samples only where variances were measured."""

    bound: float
    measured: float  # |L_D(theta^S_T) - L_D(theta^D_T)|
    steepness: float  # G
    mu: float
    constant: float | None  # C
    random: float | None  # C sqrt(1/k - 1/n): the bound in expectation for as many random samples

    @property
    def tightness(self) -> float:
        """Bound / measured; 1 is exact."""
        return self.bound / self.measured if self.measured > 0 else math.inf

    @property
    def holds(self) -> bool:
        """Whether the measured difference lies below, up to rounding."""
        return self.measured <= self.bound * (1 + 1e-9) + 1e-12

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ratio = self.tightness if math.isfinite(self.tightness) else None
        return vars(self) | {"tightness": ratio, "holds": self.holds}


def first_order(passage: Passage, mu: float, measured: float, steepness: float | None = None) -> FirstOrder:
    """The bound with one `mu` for all states; G is by default the largest |g_D| that the path met.

    `measured` is L_D(theta^S_T) - L_D(theta^D_T), of either sign. A passage of every `span`-th step stands for the
    steps between.
    """
    slope = float(np.sqrt(passage.gradient.max())) if steepness is None else steepness
    _, entering, later = passage.accumulation(mu)
    carried = slope * entering * later
    known = bool(np.isfinite(passage.variance).all())
    constant = float(carried @ np.sqrt(passage.variance)) if known else None
    share = max(1 / passage.samples - 1 / passage.population, 0.0)
    return FirstOrder(
        bound=float(carried @ np.sqrt(passage.error)),
        measured=abs(measured),
        steepness=slope,
        mu=mu,
        constant=constant,
        random=None if constant is None else constant * math.sqrt(share),
    )
