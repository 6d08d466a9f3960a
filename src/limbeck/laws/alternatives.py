"""Other laws than floor plus power, weighed by AICc; predictions averaged over them rather than taken from a winner.

The unit is the distilled set: `AICc = n log(RSS / n) + 2 p + 2 p (p + 1) / (n - p - 1)`, n sets, p parameters with the
noise. Six levels can't establish a power law: weights say what is not distinguished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats, Levels, t_quantile
from limbeck.laws.projection import GRID

_BREAKS = 5


@dataclass(frozen=True)
class Alternative:
    """One law fitted: its weight among the laws compared, and its predictions at the k asked for."""

    name: str
    formula: str
    parameters: int
    aicc: float | None  # None: too few sets for that many parameters
    weight: float
    predictions: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "predictions": list(self.predictions)}


@dataclass(frozen=True)
class Comparison:
    """Every law with its Akaike weight, and the model-averaged gap at each k."""

    laws: tuple[Alternative, ...]
    averaged: tuple[tuple[float, Estimate], ...]  # (k, gap)

    @property
    def best(self) -> str:
        """Name of the law of the largest weight."""
        return max(self.laws, key=lambda law: law.weight).name

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "laws": [law.to_dict() for law in self.laws],
            "averaged": [{"k": k, **gap.to_dict()} for k, gap in self.averaged],
        }


@dataclass(frozen=True)
class _Family:
    """Laws linear in one or two coefficients once their shape (one row of `shapes`) is chosen."""

    name: str
    formula: str
    shapes: Floats  # (shapes, shape parameters), empty rows for none
    least_levels: int

    def basis(self, x: Floats) -> Floats:
        """Values of the linear terms at x = k / k_min: `(shapes, points, terms)`."""
        one = np.ones((len(self.shapes), len(x)))
        if self.name == "constant":
            return one[:, :, None]
        if self.name == "log":
            return np.stack([one, np.broadcast_to(-np.log(x), one.shape)], 2)
        if self.name == "floor + exponential":
            return np.stack([one, np.exp(-(x - 1) / self.shapes)], 2)
        if self.name == "broken power":
            first, second, turn = (self.shapes[:, i : i + 1] for i in range(3))
            steep = turn**-first * (x / turn) ** -second
            return np.where(x <= turn, x**-first, steep)[:, :, None]
        power = x**-self.shapes
        return power[:, :, None] if self.name == "power" else np.stack([one, power], 2)


def _families(x: Floats) -> list[_Family]:
    """The laws compared; shapes are grids that the levels' own range suggests."""
    slopes = np.geomspace(0.05, 2.5, 14)
    turns = np.geomspace(x[1], x[-2], _BREAKS) if len(x) > 3 else x[1:2]
    broken = np.stack([part.ravel() for part in np.meshgrid(slopes, slopes, turns, indexing="ij")], 1)
    return [
        _Family("constant", "f", np.zeros((1, 0)), 2),
        _Family("floor + half power", "f + a x^-1/2", np.array([[0.5]]), 3),
        _Family("power", "a x^-alpha", GRID[:, None], 3),
        _Family("log", "f - a log x", np.zeros((1, 0)), 3),
        _Family("floor + power", "f + a x^-alpha", GRID[:, None], 4),
        _Family("floor + exponential", "f + a exp(-(x - 1) / s)", np.geomspace(0.3, 3 * x[-1], 60)[:, None], 4),
        _Family("broken power", "a x^-alpha1 up to x0, then x^-alpha2", broken, 6),
    ]


def compare(levels: Levels, at: Sequence[float] = ()) -> Comparison:
    """Fit every law that the number of levels allows, with coefficients of at least 0, and weigh them by AICc.

    The averaged gap at k has the unconditional spread of Burnham and Anderson (2002, eq. 4.9): the spread within each
    law and that between the laws.
    """
    x, points = levels.k / levels.k[0], np.asarray(at, float) / levels.k[0]
    noise = levels.variance * levels.sets / (levels.variance[0] * levels.sets[0])  # (levels,) of one set, relative
    weight = levels.sets / noise
    place = np.searchsorted(levels.k, levels.unit_k)
    pure = float(np.sum((levels.unit_gap - levels.mean[place]) ** 2 / noise[place]))
    n = float(levels.sets.sum())
    fitted = []
    for family in _families(x):
        if len(x) < family.least_levels:
            continue
        family, misfit, shape, coefficients = _zoom(family, x, levels.mean, weight)
        predicted = family.basis(points)[shape] @ coefficients if len(points) else np.zeros(0)
        spread = _spread(family, x, points, shape, coefficients, levels) if len(points) else np.zeros(0)
        parameters = len(coefficients) + family.shapes.shape[1] * (family.name != "floor + half power") + 1
        fitted.append((family, parameters, _aicc(pure + misfit, n, parameters), predicted, spread))
    return _weigh(fitted, at, t_quantile(0.95, levels.df) if levels.df > 0 else 1.96)


def _zoom(family: _Family, x: Floats, y: Floats, weight: Floats) -> tuple[_Family, float, int, Floats]:
    """The best fit, with a law's one shape on finer and finer grids: a coarse one would cost it weight."""
    misfit, best, coefficients = _fit(family, x, y, weight)
    for _ in range(3 if family.shapes.shape[1] == 1 and len(family.shapes) > 1 else 0):
        low, high = family.shapes[max(best - 1, 0), 0], family.shapes[min(best + 1, len(family.shapes) - 1), 0]
        family = replace(family, shapes=np.geomspace(low, high, 21)[:, None])
        misfit, best, coefficients = _fit(family, x, y, weight)
    return family, misfit, best, coefficients


def _fit(family: _Family, x: Floats, y: Floats, weight: Floats) -> tuple[float, int, Floats]:
    """Weighted least squares with coefficients >= 0 at every shape, then the best shape."""
    basis = family.basis(x)  # (shapes, levels, terms)
    if basis.shape[2] == 1:
        column = basis[:, :, 0]
        coefficients = np.maximum((column * weight) @ y / (column**2 @ weight), 0)[:, None]
    else:
        first, second = basis[:, :, 0], basis[:, :, 1]
        m00, m01, m11 = first**2 @ weight, (first * second) @ weight, second**2 @ weight
        r0, r1 = first @ (weight * y), second @ (weight * y)
        determinant = np.maximum(m00 * m11 - m01**2, 1e-300)
        a, b = (m11 * r0 - m01 * r1) / determinant, (m00 * r1 - m01 * r0) / determinant
        only_a, only_b = np.maximum(r0 / m00, 0), np.maximum(r1 / np.maximum(m11, 1e-300), 0)
        keep_a = r0 * only_a >= r1 * only_b  # each lowers the misfit by r times its coefficient
        inside = (a >= 0) & (b >= 0)
        coefficients = np.stack(
            [np.where(inside, a, np.where(keep_a, only_a, 0)), np.where(inside, b, np.where(keep_a, 0, only_b))], 1
        )
    residual = y - np.einsum("slt,st->sl", basis, coefficients)
    misfit = residual**2 @ weight
    best = int(np.argmin(misfit))
    return float(misfit[best]), best, coefficients[best]


def _aicc(rss: float, n: float, parameters: int) -> float | None:
    if n - parameters - 1 <= 0:
        return None
    return (
        n * math.log(max(rss, 1e-300) / n) + 2 * parameters + 2 * parameters * (parameters + 1) / (n - parameters - 1)
    )


def _spread(family: _Family, x: Floats, points: Floats, shape: int, coefficients: Floats, levels: Levels) -> Floats:
    """Standard deviation of predictions within one law, by its slopes in the coefficients and the shape."""

    def slopes(where: Floats) -> Floats:
        columns = [family.basis(where)[shape][:, term] for term in range(len(coefficients))]
        if len(family.shapes) > 1 and family.shapes.shape[1] == 1:
            near = min(shape + 1, len(family.shapes) - 1), max(shape - 1, 0)
            upper, lower = (family.basis(where)[one] @ coefficients for one in near)
            columns.append(upper - lower)
        return np.stack(columns, 1)

    kept = np.append(coefficients > 0, np.ones(slopes(points[:1]).shape[1] - len(coefficients), bool))
    design = slopes(x)[:, kept] / np.sqrt(levels.variance)[:, None]
    covariance = np.linalg.pinv(design.T @ design)
    target = slopes(points)[:, kept]
    variance = np.einsum("pi,ij,pj->p", target, covariance, target) + levels.shift_sd**2
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def _weigh(
    fitted: list[tuple[_Family, int, float | None, Floats, Floats]], at: Sequence[float], quantile: float
) -> Comparison:
    known = [aicc for _, _, aicc, _, _ in fitted if aicc is not None]
    least = min(known) if known else 0.0
    raw = np.array([0.0 if aicc is None else math.exp(-(aicc - least) / 2) for _, _, aicc, _, _ in fitted])
    weights = raw / raw.sum() if raw.sum() else np.full(len(fitted), 1 / len(fitted))
    laws = tuple(
        Alternative(family.name, family.formula, p, aicc, float(w), tuple(map(float, predicted)))
        for (family, p, aicc, predicted, _), w in zip(fitted, weights, strict=True)
    )
    predictions = np.stack([one[3] for one in fitted])  # (laws, points)
    spreads = np.stack([one[4] for one in fitted])
    mean = weights @ predictions
    error = weights @ np.sqrt(spreads**2 + (predictions - mean) ** 2)
    averaged = tuple(
        (float(k), Estimate.of(float(m), float(m - quantile * e), float(m + quantile * e)))
        for k, m, e in zip(at, mean, error, strict=True)
    )
    return Comparison(laws, averaged)
