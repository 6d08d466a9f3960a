"""Profile-set intervals: every law that the data do not reject, and the range of any quantity over them.

The set is `{(alpha, f, a) : Q(alpha, f, a) <= Q_min + t_df^2}`, f >= 0, a >= 0, with the reference shift profiled out
of Q. At one alpha it is an ellipse cut by two axes; nodes are laid over its outline, densest at its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from limbeck.laws.levels import Levels, t_quantile
from limbeck.laws.projection import GRID, Floats, Optimum, Quadratic, optimum, quadratic

Functional = Callable[[Floats, Floats, Floats], Floats]  # (exponent, floor, amplitude) -> value
_NODES = np.sin(np.pi / 2 * np.linspace(-1, 1, 49))  # (floors,) on [-1, 1], dense at both ends
_EXPONENT_NODES = np.sin(np.pi / 2 * np.linspace(-1, 1, 73))  # (exponents,), likewise


@dataclass(frozen=True)
class Region:
    """Laws as points `(points,)`: an outline of those not rejected (whole range), or draws (their quantiles)."""

    exponent: Floats
    floor: Floats
    amplitude: Floats
    quantiles: tuple[float, float] | None  # None: the range over all points
    exponent_low: float | None
    exponent_high: float | None

    def range_of(self, functional: Functional) -> tuple[float, float]:
        """The interval of any quantity of the law; its ends may be infinite."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            values = functional(self.exponent, self.floor, self.amplitude)
        values = np.where(np.isnan(values), np.inf, values)
        if self.quantiles is None:
            return float(values.min()), float(values.max())
        ordered = np.sort(values)
        low, high = (ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in self.quantiles)
        return float(low), float(high)


@dataclass(frozen=True)
class Profile:
    """The misfit of a table of levels, ready to be asked about any law."""

    levels: Levels
    df: float
    scale: float
    shift_variance: float
    best: Optimum
    fixed_exponent: float | None

    def quadratic(self, exponents: Floats) -> Quadratic:
        """The misfit in (f, a) at each exponent."""
        return quadratic(self.levels, exponents, shift_variance=self.shift_variance, scale=self.scale)

    def region(self, level: float) -> Region:
        """The laws within `t_df(level)^2` of the best one."""
        limit = self.best.misfit + t_quantile(level, self.df) ** 2
        if self.fixed_exponent is not None:
            low = high = self.fixed_exponent
            nodes = np.array([self.fixed_exponent])
        else:
            low, high = self._exponents(limit)
            nodes = np.append(low * (high / low) ** ((_EXPONENT_NODES + 1) / 2), self.best.exponent)
        place, floor, amplitude = outline(self.quadratic(nodes), limit)
        best = self.best
        free = self.fixed_exponent is None
        return Region(
            np.append(nodes[place], best.exponent),
            np.append(floor, best.floor),
            np.append(amplitude, best.amplitude),
            None,
            None if free and low <= GRID[0] else low,
            None if free and high >= GRID[-1] else high,
        )

    def _exponents(self, limit: float) -> tuple[float, float]:
        """The smallest and the largest exponent in the set; a bound of the grid means that there is no such end."""
        misfit = self.quadratic(GRID).minimum()[0]
        inside = np.flatnonzero(misfit <= limit)
        if not inside.size:  # narrower than the grid: it lies about the optimum
            near = int(np.clip(np.searchsorted(GRID, self.best.exponent), 1, len(GRID) - 1))
            best = self.best.exponent
            return self._crossing(GRID[near - 1], limit, best), self._crossing(GRID[near], limit, best)
        first, last = int(inside[0]), int(inside[-1])
        low = self._crossing(GRID[first - 1], limit, GRID[first]) if first else float(GRID[0])
        high = self._crossing(GRID[last + 1], limit, GRID[last]) if last < len(GRID) - 1 else float(GRID[-1])
        return low, high

    def _crossing(self, outside: float, limit: float, inside: float) -> float:
        """Where the misfit passes the limit between an exponent outside of the set and one inside."""
        for _ in range(2):
            steps = np.linspace(outside, inside, 13)
            within = self.quadratic(steps).minimum()[0] <= limit
            within[-1] = True
            first = int(np.argmax(within))
            if first == 0:
                return float(outside)
            outside, inside = float(steps[first - 1]), float(steps[first])
        return inside

    def confidence_floor_at_least(self, target: float) -> float:
        """One-sided confidence that the floor is at or above a target: `T_df(sign sqrt(Q change))`.

        This is the chance, in the confidence sense, that a gap of `target` is out of reach at any k.
        """
        grid = GRID if self.fixed_exponent is None else np.array([self.fixed_exponent])
        q = self.quadratic(np.append(grid, self.best.exponent))
        held = q.through(np.zeros_like(q.m00), target)  # nothing of the excess is left
        return confidence(float(held.min()) - self.best.misfit, self.df, self.best.floor >= target)

    def below_zero(self) -> float:
        """p-value of the floor being 0 or more, against a floor below the reference's error."""
        levels = self.levels
        signed = optimum(levels, exponent=self.fixed_exponent, shift_variance=self.shift_variance, signed_floor=True)
        # An exponent that nothing holds back lets any slow decay end below zero, so the range must see the floor.
        seen = signed.amplitude * (levels.k[-1] / levels.k[0]) ** -signed.exponent <= 0.5 * signed.amplitude
        if signed.floor >= 0 or not (seen or signed.amplitude == 0):
            return 1.0
        return tail(self.best.misfit - signed.misfit, self.df) / 2

    def misfit_at(self, exponent: float | None = None, *, zero_floor: bool = False) -> float:
        """Least misfit with the exponent, the floor, or both held."""
        grid = np.append(GRID, self.best.exponent) if exponent is None else np.array([exponent])
        q = self.quadratic(grid)
        if zero_floor:
            amplitude = np.maximum(q.r1 / q.m11, 0)
            return float(q.at(np.zeros_like(amplitude), amplitude).min())
        return float(q.minimum()[0].min())


def outline(q: Quadratic, limit: Floats | float, nodes: Floats = _NODES) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Points on the edge of `Q <= limit`: floors for each of q's exponents, and each floor's amplitudes.

    `limit` is one number or `(exponents,)`; `nodes` are places of the floors on [-1, 1]. Returns the index of the
    exponent, the floor and the amplitude, `(points,)` each.
    """
    floor, amplitude = q.unconstrained()
    slack = limit - q.at(floor, amplitude)  # (exponents,)
    reach = np.sqrt(np.maximum(slack, 0) * q.m11 / q.determinant)
    low, high = np.maximum(floor - reach, 0), floor + reach
    floors = low[:, None] + (high - low)[:, None] * (nodes + 1) / 2  # (exponents, floors)
    root = np.sqrt(np.maximum(q.r0**2 - q.m00 * (q.yy - limit), 0))  # edge of the set on the axis a = 0
    axis = np.stack([(q.r0 - root) / q.m00, (q.r0 + root) / q.m00], 1)
    floors = np.concatenate([floors, np.clip(axis, low[:, None], np.maximum(high, low)[:, None])], 1)
    middle = (q.r1[:, None] - q.m01[:, None] * floors) / q.m11[:, None]
    left_over = slack[:, None] - (floors - floor[:, None]) ** 2 * (q.determinant / q.m11)[:, None]
    spread = np.sqrt(np.maximum(left_over, 0) / q.m11[:, None])
    tolerance = 1e-9 * np.maximum(limit, 1.0)
    valid = (high >= 0) & (slack >= 0)
    inside = (left_over >= -np.reshape(tolerance, (-1, 1))) & (middle + spread >= -1e-12) & valid[:, None]
    every = np.broadcast_to(np.arange(len(floor))[:, None], floors.shape)[inside]
    ends = np.maximum(np.stack([(middle - spread)[inside], (middle + spread)[inside]]), 0)
    return np.tile(every, 2), np.tile(floors[inside], 2), ends.ravel()


def confidence(change: float, df: float, best: bool) -> float:
    """One-sided confidence in a statement that is true of the best law or not, `change` of misfit away from turning."""
    side = float(student.cdf(np.sqrt(max(change, 0.0)), df))
    return side if best else 1 - side


def tail(change: float, df: float) -> float:
    """p-value of `change` in misfit for one parameter: F(1, df)."""
    return float(2 * student.sf(np.sqrt(max(change, 0.0)), df))
