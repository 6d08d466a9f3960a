"""The range of a quantity over all laws whose misfit is within a limit, by another program: SLSQP."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from scipy.optimize import minimize

from limbeck.laws import Estimate
from worlds import Floats

Quantity = Callable[[Floats], float]


def range_within(
    quantity: Quantity, misfit: Quantity, limit: float, starts: Sequence[Floats], bounds: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Least and largest value, by SLSQP from every start; what ends outside of the limit is left out."""
    ends = []
    for sign in (1, -1):
        reached = math.inf
        for start in starts:
            done = minimize(
                lambda p, sign=sign: sign * quantity(p),
                start,
                method="SLSQP",
                bounds=bounds,
                constraints={"type": "ineq", "fun": lambda p: limit - misfit(p)},
                options={"ftol": 1e-10, "maxiter": 400},
            )
            if misfit(done.x) <= limit * 1.0001:
                reached = min(reached, float(done.fun))
        ends.append(sign * reached)
    return ends[0], ends[1]


def assert_agree(mine: Estimate, ends: tuple[float, float], *, logarithm: bool, share: float) -> None:
    """An interval's ends (or their logarithms) within a share of its width of those found otherwise."""
    assert mine.low is not None
    assert mine.high is not None
    got = (math.log(mine.low), math.log(mine.high)) if logarithm else (mine.low, mine.high)
    width = ends[1] - ends[0]
    assert got == pytest.approx(ends, abs=share * width)
