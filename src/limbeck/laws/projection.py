"""Variable projection: for each exponent the best floor and amplitude in closed form, so no starts and no local optima.

For a fixed exponent the law `gap(k) = f + a (k / k_min)^-alpha`, f >= 0, a >= 0, is linear in (f, a): a two-variable
non-negative least-squares problem whose solution is one of interior, f = 0, a = 0 or both 0. A grid over alpha then
gives the exact global optimum, and everything is a broadcast over grids and repeated data sets.

The error of the reference run shifts all gaps alike. Profiling it out of the quadratic gives generalised least squares
with covariance `diag(variance) + shift^2 1 1'`, whose inverse leaves what is centred as it is and keeps
`1 / (1 + shift^2 s0)` of what the mean says, `s0` the sum of the weights. In this form nothing cancels, however well
sets agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limbeck.laws.levels import Levels

Floats = NDArray[np.float64]

LOWEST_EXPONENT, HIGHEST_EXPONENT = 0.08, 2.5
GRID = np.geomspace(LOWEST_EXPONENT, HIGHEST_EXPONENT, 120)  # (exponents,)


@dataclass(frozen=True)
class Quadratic:
    """`Q(f, a) = m00 f^2 + 2 m01 f a + m11 a^2 - 2 (r0 f + r1 a) + yy` for each exponent; Q is the misfit in variances.

    Shapes: exponents `(..., exponents)`; r0 and yy gain leading axes when many data sets are fitted at once.
    """

    exponents: Floats
    m00: Floats
    m01: Floats
    m11: Floats
    r0: Floats
    r1: Floats
    yy: Floats

    def at(self, floor: Floats, amplitude: Floats) -> Floats:
        """Q at given floors and amplitudes."""
        square = self.m00 * floor**2 + 2 * self.m01 * floor * amplitude + self.m11 * amplitude**2
        return np.asarray(square - 2 * (self.r0 * floor + self.r1 * amplitude) + self.yy)

    @property
    def determinant(self) -> Floats:
        """m00 m11 - m01^2, positive for two or more levels."""
        return self.m00 * self.m11 - self.m01**2

    def unconstrained(self) -> tuple[Floats, Floats]:
        """Floor and amplitude of least Q, signs free."""
        floor = (self.m11 * self.r0 - self.m01 * self.r1) / self.determinant
        amplitude = (self.m00 * self.r1 - self.m01 * self.r0) / self.determinant
        return floor, amplitude

    def minimum(self, *, signed_floor: bool = False) -> tuple[Floats, Floats, Floats]:
        """Least Q under f >= 0 (unless signed) and a >= 0: Q, floor and amplitude at each exponent."""
        floor, amplitude = self.unconstrained()
        flat = self.r0 / self.m00 + 0 * amplitude
        steep = np.maximum(self.r1 / self.m11, 0) + 0 * floor
        if signed_floor:
            floor, amplitude = np.where(amplitude >= 0, floor, flat), np.maximum(amplitude, 0)
            return self.at(floor, amplitude), floor, amplitude
        flat = np.maximum(flat, 0)
        inside = (floor >= 0) & (amplitude >= 0)
        zero_floor = self.at(np.zeros_like(steep), steep) <= self.at(flat, np.zeros_like(flat))
        best_floor = np.where(inside, floor, np.where(zero_floor, 0, flat))
        best_amplitude = np.where(inside, amplitude, np.where(zero_floor, steep, 0))
        return self.at(best_floor, best_amplitude), best_floor, best_amplitude

    def through(self, falls: Floats, gap: float) -> Floats:
        """Least Q of all laws that have a gap where the excess is `falls` `(..., exponents)` of that at the smallest k.

        Along `f = gap - a falls`, f >= 0, a >= 0, Q is a parabola in a, whose least value between a = 0 and f = 0 is
        in closed form. Axes of data sets come first: `(data sets, ..., exponents)`.
        """
        between = (1,) * (falls.ndim - 1)
        r0, r1, yy = (one.reshape(*one.shape[:-1], *between, one.shape[-1]) for one in (self.r0, self.r1, self.yy))
        bend = self.m00 * falls**2 - 2 * self.m01 * falls + self.m11
        pull = gap * (self.m00 * falls - self.m01) - r0 * falls + r1
        with np.errstate(divide="ignore", over="ignore"):
            amplitude = np.clip(pull / bend, 0, gap / falls)
        return np.asarray((bend * amplitude - 2 * pull) * amplitude + self.m00 * gap**2 - 2 * r0 * gap + yy)


def quadratic(
    levels: Levels,
    exponents: Floats,
    *,
    shift_variance: float = 0.0,
    mean: Floats | None = None,
    scale: float = 1.0,
    basis: Floats | None = None,
) -> Quadratic:
    """The misfit as a quadratic in (f, a) for every exponent; `mean` may hold many data sets, `(sets of data, levels)`.

    `scale` multiplies the variances of the levels. `basis` `(exponents, levels)` is the excess over that at the
    smallest k where it is another function of k than the power.
    """
    y = levels.mean if mean is None else mean  # (..., levels)
    w = 1 / (levels.variance * scale)  # (levels,)
    if basis is None:
        basis = (levels.k / levels.k[0]) ** -exponents[:, None]  # (exponents, levels)
    s0 = float(w.sum())
    s1, t0 = basis @ w, (y @ w)[..., None]
    centred, rest = basis - s1[:, None] / s0, y - t0 / s0
    keep = 1 / (1 + shift_variance * s0)
    return Quadratic(
        exponents=exponents,
        m00=np.full_like(s1, keep * s0),
        m01=keep * s1,
        m11=centred**2 @ w + keep * s1**2 / s0,
        r0=keep * t0,
        r1=(w * rest) @ centred.T + keep * t0 * s1 / s0,
        yy=(rest**2 @ w)[..., None] + keep * t0**2 / s0,
    )


@dataclass(frozen=True)
class Optimum:
    """The law that fits best: `gap(k) = floor + amplitude (k / k_min)^-exponent`, and its misfit Q."""

    exponent: float
    floor: float
    amplitude: float
    misfit: float


def optimum(
    levels: Levels,
    *,
    exponent: float | None = None,
    shift_variance: float = 0.0,
    signed_floor: bool = False,
) -> Optimum:
    """The global optimum: the grid over exponents, then three finer grids, each about the best point of the last.

    `exponent` fixes the exponent.
    """
    grid = GRID if exponent is None else np.array([exponent])
    for zoom in range(1 if exponent is not None else 4):
        q = quadratic(levels, grid, shift_variance=shift_variance)
        misfit, floor, amplitude = q.minimum(signed_floor=signed_floor)
        best = int(np.argmin(misfit))
        found = Optimum(float(grid[best]), float(floor[best]), float(amplitude[best]), max(float(misfit[best]), 0.0))
        if zoom < 3:
            grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 21)
    return found


def many(levels: Levels, mean: Floats, *, exponent: float | None = None) -> tuple[Floats, Floats, Floats]:
    """Exponent, floor and amplitude for many data sets of one design, `mean` being `(data sets, levels)`.

    The exponent is refined by a parabola through the best grid point and its neighbours.
    """
    rows = np.arange(len(mean))
    if exponent is not None:
        _, floor, amplitude = quadratic(levels, np.array([exponent]), mean=mean).minimum()
        return np.full(len(mean), exponent), floor[:, 0], amplitude[:, 0]
    misfit, _, _ = quadratic(levels, GRID, mean=mean).minimum()
    best = np.clip(np.argmin(misfit, 1), 1, len(GRID) - 2)
    left, middle, right = misfit[rows, best - 1], misfit[rows, best], misfit[rows, best + 1]
    bend = left - 2 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(bend > 0, np.clip((left - right) / (2 * bend), -1, 1), np.where(left < right, -1.0, 1.0))
    step = np.log(GRID[1] / GRID[0])
    exponents = GRID[best] * np.exp(step * np.nan_to_num(offset))  # (data sets,)
    floor, amplitude = _each(levels, mean, exponents)
    return exponents, floor, amplitude


def _each(levels: Levels, mean: Floats, exponents: Floats) -> tuple[Floats, Floats]:
    """Floor and amplitude where every data set has its own exponent."""
    basis = (levels.k / levels.k[0]) ** -exponents[:, None]  # (data sets, levels)
    _, floor, amplitude = own_quadratic(exponents[:, None], basis[:, None], mean, levels.variance).minimum()
    return floor[:, 0], amplitude[:, 0]


def own_quadratic(exponents: Floats, basis: Floats, mean: Floats, variance: Floats) -> Quadratic:
    """The misfit of many data sets `mean` (data sets, levels), each for laws of its own.

    `basis` `(data sets, laws, levels)` is their excess over that at the smallest k, `exponents` `(data sets, laws)`; an
    axis of one data set serves all.
    """
    w = 1 / variance  # (levels,)
    s0 = float(w.sum())
    s1, t0 = basis @ w, (mean @ w)[:, None]
    centred, rest = basis - s1[..., None] / s0, mean - t0 / s0
    return Quadratic(
        exponents=exponents,
        m00=np.full_like(s1, s0),
        m01=s1,
        m11=centred**2 @ w + s1**2 / s0,
        r0=np.broadcast_to(t0, (len(mean), basis.shape[1])),
        r1=np.matmul(centred, (w * rest)[..., None])[..., 0] + t0 * s1 / s0,
        yy=(rest**2 @ w)[:, None] + t0**2 / s0,
    )
