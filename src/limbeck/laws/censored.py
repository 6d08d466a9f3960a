"""A straight line, or a power, through required k of which some are only known to be larger than what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import erfcx
from scipy.stats import chi2, norm

from limbeck.errors import BadData
from limbeck.laws.covers import Floats
from limbeck.laws.estimate import Estimate

GAMMAS = np.round(np.arange(0.1, 3.01, 0.05), 2)


@dataclass(frozen=True)
class Line:
    """`y = X b + noise` with right-censored y (Tobin 1958): coefficients, noise, log likelihood."""

    coefficients: Floats
    noise: float
    log_likelihood: float
    covariance: Floats  # of the coefficients, by the curvature of the likelihood


def censored_fit(design: Floats, y: Floats, censored: NDArray[np.bool_], scale: Floats) -> Line:
    """Maximum likelihood of `y_i ~ N(x_i b, (s scale_i)^2)`, where a censored y_i is only a lower bound.

    `log L = sum_seen log phi((y - x b) / s scale) / (s scale) + sum_censored log Phi((x b - y) / s scale)`. Raises
    `BadData` where fewer values are seen than there are coefficients and one more.
    """
    seen = ~censored
    if seen.sum() < design.shape[1] + 1:
        raise BadData(
            f"only {int(seen.sum())} of {len(y)} values are known, too few for {design.shape[1]} coefficients."
        )
    unit = float(np.abs(y[seen]).mean()) or 1.0
    spread = np.abs(design).max(0)
    x, target = design / spread, y / unit
    start, *_ = np.linalg.lstsq(x[seen] / scale[seen, None], target[seen] / scale[seen], rcond=None)
    residual = (target[seen] - x[seen] @ start) / scale[seen]
    begin = np.append(start, np.log(max(float(np.sqrt(np.mean(residual**2))), 1e-6)))

    def noise(log_s: float) -> float:
        return math.exp(min(max(log_s, -40.0), 40.0))  # a line search may look far beyond any

    def loss(parameters: Floats) -> tuple[float, Floats]:
        s = noise(parameters[-1])
        z = (target - x @ parameters[:-1]) / (s * scale)
        value = -np.where(censored, norm.logsf(z), norm.logpdf(z) - np.log(s * scale)).sum()
        hazard = math.sqrt(2 / math.pi) / erfcx(z / math.sqrt(2))  # phi / Phi(-z), right however far out
        slope_z = np.where(censored, hazard, z)  # d(-log L) / dz
        gradient = -(slope_z / (s * scale)) @ x
        log_s = (-slope_z * z + np.where(censored, 0.0, 1.0)).sum()
        return float(value), np.append(gradient, log_s)

    found = minimize(loss, begin, jac=True, method="BFGS", options={"gtol": 1e-7})
    s, b = noise(found.x[-1]), found.x[:-1]
    step = 1e-5
    columns = [
        (loss(found.x + step * unit_vector)[1] - loss(found.x - step * unit_vector)[1]) / (2 * step)
        for unit_vector in np.eye(len(found.x))
    ]
    covariance = np.linalg.pinv(np.stack(columns))[:-1, :-1]  # the optimizer's own inverse Hessian is a rough one
    scaling = unit / spread
    log_likelihood = -float(found.fun) - float(seen.sum()) * np.log(unit)
    return Line(b * scaling, s * unit, log_likelihood, covariance * np.outer(scaling, scaling))


@dataclass(frozen=True)
class Growth:
    """Required k against a measure of diversity: `k = b0 + b1 x`, its curvature, and the power in `k = b0 + b1 x^g`."""

    intercept: float
    slope: Estimate
    curvature_p: float  # of `b2` in `b0 + b1 x + b2 x^2`, by likelihood ratio
    gamma: Estimate
    explained: float  # share of the variance of the values seen that the line explains
    values: int
    censored: int
    design_effect: float  # how much wider than that of independent values the intervals were made

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        held = {**vars(self), "slope": self.slope.to_dict(), "gamma": self.gamma.to_dict()}
        return {**held, "curvature_p": self.curvature_p}


def growth(x: ArrayLike, k: ArrayLike, censored: ArrayLike, scale: ArrayLike, *, design_effect: float = 1.0) -> Growth:
    """Fit required k against a measure x >= 0 of diversity, with an intercept; infinite k are censored, not dropped.

    Values of families that share configurations are not independent: `design_effect`, the ratio of a slope's true
    variance to that of independent values, divides every log likelihood ratio (a quasi-likelihood), so that intervals
    and p are wider by its root. The interval of gamma is the profile likelihood's over [0.1, 3], open at the ends.

    Raises `BadData` where x has fewer than three values, or every k that is seen is the same.
    """
    values, needed = np.asarray(x, float), np.asarray(k, float)
    hidden, spread = np.asarray(censored, bool), np.asarray(scale, float)
    if len(np.unique(np.round(values, 9))) < 3:
        raise BadData("the families have fewer than three different values of this measure: nothing grows with it.")
    seen = needed[~hidden]
    if seen.size and np.ptp(seen) <= 1e-9 * seen.max():
        raise BadData("every family that reaches the gap needs the same number of samples: nothing grows.")
    one = np.ones_like(values)
    line = censored_fit(np.stack([one, values], 1), needed, hidden, spread)
    curved = censored_fit(np.stack([one, values, values**2], 1), needed, hidden, spread)
    ratio = max(0.0, 2 * (curved.log_likelihood - line.log_likelihood)) / design_effect
    profile = np.array(
        [censored_fit(np.stack([one, values**g], 1), needed, hidden, spread).log_likelihood for g in GAMMAS]
    )
    best = int(np.argmax(profile))
    inside = GAMMAS[2 * (profile[best] - profile) / design_effect <= chi2.ppf(0.95, 1)]
    low = None if inside[0] == GAMMAS[0] else float(inside[0])
    high = None if inside[-1] == GAMMAS[-1] else float(inside[-1])
    error = float(np.sqrt(line.covariance[1, 1] * design_effect))
    slope = float(line.coefficients[1])
    residual = seen - np.stack([one, values], 1)[~hidden] @ line.coefficients
    total = seen - seen.mean()
    return Growth(
        intercept=float(line.coefficients[0]),
        slope=Estimate.of(slope, slope - 1.96 * error, slope + 1.96 * error),
        curvature_p=float(chi2.sf(ratio, 1)),
        gamma=Estimate.of(float(GAMMAS[best]), low, high),
        explained=float(1 - (residual @ residual) / float(total @ total)),
        values=len(values),
        censored=int(hidden.sum()),
        design_effect=float(design_effect),
    )
