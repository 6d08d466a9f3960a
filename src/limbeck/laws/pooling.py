"""Many laws at once: what is common to the configurations of a method, and how far they differ.

`theta_i ~ N(mu, tau^2)` over the laws of a family, for theta the exponent (as a logit over the range looked at), the
floor, or the excess at a common k (as a log). Each law brings the whole profile likelihood of its theta,
`L_i = (1 + (Q_i(theta) - Q_i,min) / df_i)^(-(df_i + 1) / 2)`, so an open or lopsided interval counts for what it says.
mu is flat, tau half-normal; all sums are over grids. On quadratic profiles this is the normal random-effects model of
DerSimonian and Laird (1986); normal summaries of such profiles hold the truth less often (docs/results/pooling.md).

Laws measured on the same sets err together: estimate i is off by `s_i (sqrt(rho_i) z + sqrt(1 - rho_i) z_i)`, z common.
So profiles are read as `Q_i / (1 - rho_i)`, and what z moves is added to each answer at the end (decision 0032).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import f as f_distribution
from scipy.stats import norm

from limbeck.errors import BadData
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Floats
from limbeck.laws.projection import GRID, HIGHEST_EXPONENT, LOWEST_EXPONENT, quadratic
from limbeck.laws.scaling import ScalingFit
from limbeck.laws.shared_sets import shared_noise

PRIOR_TAU = {"exponent": 1.0, "floor": 0.1, "amplitude": 1.0}  # scale of the half-normal, on the model's scale
_POINTS = 141
_STILL = np.zeros(1)
_DRAWS = (np.arange(41) + 0.5) / 41  # probabilities at which the common noise is looked at
_TAUS = np.append(0.0, np.geomspace(0.02, 3, 24))  # (taus,) in units of the prior's scale


@dataclass(frozen=True)
class Pooled:
    """One parameter over many laws: the mean law's, the spread between laws, and each law's own, drawn to the mean."""

    mean: Estimate
    new_law: Estimate  # where the parameter of one more configuration is expected
    tau: Estimate  # standard deviation between laws on the model's scale
    i_squared: float  # share of the spread of the estimates that is no noise
    q: float  # Cochran's Q: what one value for all laws adds to the misfit
    equal_p: float  # p-value of one value for all laws
    own: tuple[Estimate, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = {name: getattr(self, name).to_dict() for name in ("mean", "new_law", "tau")}
        return {**vars(self), **parts, "own": [one.to_dict() for one in self.own]}


@dataclass(frozen=True)
class Family:
    """What the laws of one method have in common, and the tests of it."""

    laws: int
    smallest_k: float  # where the amplitude is taken
    parameters: dict[str, Pooled]
    ancova_f: float
    ancova_p: float  # of one exponent for all laws, under one noise
    left_out: tuple[int, ...]  # laws without exponent or interval
    shared: float  # correlation between two laws of what a set adds: they are measured on the same sets

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parameters = {name: one.to_dict() for name, one in self.parameters.items()}
        return {**vars(self), "parameters": parameters, "left_out": list(self.left_out)}


def pool_laws(fits: Sequence[ScalingFit], *, level: float = 0.95) -> Family:
    """Pool the exponents, floors and amplitudes of several laws, each from its own data.

    The laws are those of one method under several configurations; that these are measured on the same sets is allowed
    for. Laws of several methods under one configuration share its reference, which is not. For exponents and floors the
    floor may be negative here: laws held at zero can't be averaged.

    Raises `BadData` where fewer than two laws have an exponent with an interval.
    """
    used = [i for i, fit in enumerate(fits) if _has_exponent(fit)]
    held = [fits[i] for i in used]
    if len(held) < 2:
        raise BadData(f"{len(held)} of {len(fits)} laws have an exponent with an interval; pooling needs two.")
    common = float(np.median([fit.smallest_k for fit in held]))
    df = np.array([fit.profile.df for fit in held])
    grids = {"exponent": _exponents(held), "floor": _floors(held), "amplitude": _amplitudes(held, common)}
    shared = shared_noise(held)
    found = {}
    for name, (theta, misfit, back) in grids.items():
        shares = np.full(len(held), shared)
        if name == "floor":  # each configuration has a reference of its own
            error = half_widths(theta, misfit)
            shares *= np.maximum(1 - (np.array([fit.levels.shift_sd for fit in held]) / error) ** 2, 0)
        found[name] = pool_profiles(theta, misfit, df, PRIOR_TAU[name], level=level, back=back, shares=shares)
    f, p = equal_exponents(held, shared)
    left = tuple(i for i in range(len(fits)) if i not in used)
    return Family(len(held), common, found, f, p, left, shared)


def _has_exponent(fit: ScalingFit) -> bool:
    return fit.region is not None and fit.profile.fixed_exponent is None and fit.best.amplitude > 0


def pool_profiles(
    theta: Floats,
    misfit: Floats,
    df: Floats,
    prior_tau: float,
    *,
    level: float = 0.95,
    back: Callable[[Floats], Floats] = np.asarray,
    shares: Floats | float = 0.0,
) -> Pooled:
    """The random-effects model of profiles `misfit` (laws, points) over an even grid `theta` (points,).

    `shares` (laws,) is the part of each profile's variance that all laws have in common. `Q = min over theta of sum of
    (Q_i - Q_i,min) (df_i - 2) / df_i / (1 - share_i)`, the first factor taking the noise of the variances out of its
    mean, and over what the common noise may be (`_one_for_all`); `Q / (n - 1)` against F(n - 1, sum df_i).
    """
    n = len(misfit)
    part = np.broadcast_to(np.asarray(shares, float), n)
    rise = (misfit - misfit.min(1, keepdims=True)) / (1 - part[:, None])
    likelihood = _likelihood(rise, df)  # (laws, points)
    tau = prior_tau * _TAUS
    kernels = np.stack([_kernel(theta, one) for one in tau])  # (taus, mu, points)
    each = np.maximum(np.einsum("tmp,lp->tml", kernels, likelihood, optimize=True), 1e-300)  # (taus, mu, laws)
    log = np.log(each).sum(2) - (_TAUS[:, None] ** 2) / 2 + np.log(np.gradient(tau))[:, None]
    weight = np.exp(log - log.max())
    weight /= weight.sum()  # (taus, mu)
    spread = np.einsum("tmp,tml->pl", kernels, weight[:, :, None] / each, optimize=True)
    own = likelihood.T * spread  # (points, laws)
    draws = _common(theta, misfit, df, part)
    moved, moved_own = _moved(draws, half_widths(theta, misfit), part, float(weight.sum(1) @ tau**2))
    ends = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])

    def estimate(x: Floats, mass: Floats, turn: Callable[[Floats], Floats] = back, moves: Floats = _STILL) -> Estimate:
        low, middle, high = map(float, turn(_quantiles(x, mass, ends, moves)))
        return Estimate.of(middle, low, high)

    fair = np.where(df > 2, (df - 2) / df, 1 / 3)
    q = _one_for_all(theta, rise * fair[:, None], draws)
    return Pooled(
        mean=estimate(theta, weight.sum(0), moves=moved),
        new_law=estimate(theta, np.einsum("tm,tmp->p", weight, kernels, optimize=True), moves=moved),
        tau=estimate(tau, weight.sum(1), np.asarray),
        i_squared=max(0.0, 1 - (n - 1) / q) if q > 0 else 0.0,
        q=q,
        equal_p=float(f_distribution.sf(q / (n - 1), n - 1, float(df.sum()))),
        own=tuple(estimate(theta, own[:, i], moves=moved_own[i]) for i in range(n)),
    )


def _likelihood(rise: Floats, df: Floats) -> Floats:
    """Of profiles whose variance is an estimate (laws, points)."""
    return np.asarray((1 + rise / df[:, None]) ** (-(df[:, None] + 1) / 2))


def half_widths(theta: Floats, misfit: Floats) -> Floats:
    """Half of where each profile is within 1 of its least, (laws,): a standard error, up to that of the whole grid."""
    inside = misfit - misfit.min(1, keepdims=True) <= 1
    return np.asarray((theta[1] - theta[0]) * np.maximum(inside.sum(1), 1) / 2)


def _common(theta: Floats, misfit: Floats, df: Floats, share: Floats) -> Floats:
    """By how much the common noise moves each law (laws, draws): even quantiles of its profile at Q_i / rho_i.

    These keep the profile's lopsidedness, which a normal shift would not.
    """
    draws, shared = np.zeros((len(misfit), len(_DRAWS))), share > 0
    if shared.any():
        rise = (misfit - misfit.min(1, keepdims=True))[shared]
        tempered = _likelihood(rise / share[shared, None], df[shared])  # (laws, points)
        draws[shared] = [_quantiles(theta, own, _DRAWS) for own in tempered]
    return np.asarray(draws - np.median(draws, 1, keepdims=True))


def _moved(draws: Floats, error: Floats, share: Floats, tau2: float) -> tuple[Floats, Floats]:
    """By how much the common noise moves the mean (draws,), and each law's own (laws, draws).

    With weights `w_i = 1 / ((1 - rho_i) s_i^2 + tau^2)` the mean moves by the weighted mean of the laws' moves; a law's
    own estimate lies between its own and the mean, and moves as they do.
    """
    alone = (1 - share) * error**2
    weight = 1 / (alone + tau2)
    mean = weight @ draws / weight.sum()
    drawn = (alone * weight)[:, None]  # to the mean: 1 where laws are equal
    return mean, drawn * mean + (1 - drawn) * draws


def _one_for_all(theta: Floats, rise: Floats, draws: Floats) -> float:
    """`min over theta and z of sum of rise_i(theta - move_i(z)) + z^2`: the misfit of one theta for all laws.

    The common noise z moves laws that are less certain further, which is no difference between them.
    """
    if not draws.any():
        return float(rise.sum(0).min())
    moved = [
        sum(np.interp(theta - move, theta, own) for move, own in zip(moves, rise, strict=True)) + z**2
        for moves, z in zip(draws.T, norm.ppf(_DRAWS), strict=True)
    ]
    return float(np.min(moved))


def _kernel(theta: Floats, tau: float) -> Floats:
    """N(mu, tau^2) over the grid for every mu on it, rows summing to 1; the identity for tau = 0."""
    if tau < 0.3 * (theta[1] - theta[0]):
        return np.eye(len(theta))
    density = np.exp(-((theta[None, :] - theta[:, None]) ** 2) / (2 * tau**2))
    return np.asarray(density / density.sum(1, keepdims=True))


def _quantiles(x: Floats, mass: Floats, shares: Floats, moves: Floats = _STILL) -> Floats:
    """Where the mass up to x, each point's counted half, passes shares of the whole; mixed over equal `moves` of it."""
    below = (np.cumsum(mass) - mass / 2) / mass.sum()
    mixed = np.mean([np.interp(x - move, x, below, 0, 1) for move in moves], 0) if moves.any() else below
    return np.interp(shares, mixed, x)


def _exponents(fits: Sequence[ScalingFit]) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
    """A logit from 0.1 to 2.48, every law's misfit on it, and the way back to exponents."""

    def back(theta: Floats) -> Floats:
        return np.asarray(LOWEST_EXPONENT + (HIGHEST_EXPONENT - LOWEST_EXPONENT) * expit(theta))

    theta = np.linspace(-5, 5, _POINTS)
    return theta, np.stack([fit.profile.quadratic(back(theta)).minimum(signed_floor=True)[0] for fit in fits]), back


def _floors(fits: Sequence[ScalingFit]) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
    """Floors from well below the lowest to above the highest that any law allows."""
    ends = np.array([fit.interval_of(lambda exponent, floor, amplitude: floor) for fit in fits])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    theta = np.linspace(low - 0.5 * (high - low) - 1e-4, high + 0.1 * (high - low) + 1e-4, _POINTS)
    curves = []
    for fit in fits:
        q = fit.profile.quadratic(GRID)
        floor = theta[:, None]
        curves.append(q.at(floor, np.maximum((q.r1 - q.m01 * floor) / q.m11, 0)).min(1))
    return theta, np.stack(curves), np.asarray


def _amplitudes(fits: Sequence[ScalingFit], common: float) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
    """Logs of the excess at a common k."""
    middle = [math.log(fit.best.amplitude) - fit.best.exponent * math.log(common / fit.smallest_k) for fit in fits]
    theta = np.linspace(min(middle) - 2, max(middle) + 1.5, _POINTS)
    curves = []
    for fit in fits:
        q = fit.profile.quadratic(GRID)
        amplitude = np.exp(theta)[:, None] * (common / fit.smallest_k) ** GRID
        curves.append(q.at(np.maximum((q.r0 - q.m01 * amplitude) / q.m00, 0), amplitude).min(1))
    return theta, np.stack(curves), np.exp


def equal_exponents(fits: Sequence[ScalingFit], shared: float = 0.0) -> tuple[float, float]:
    """F and p of one exponent for all laws, floors and amplitudes being their own: an analysis of covariance.

    `F = (min over alpha of sum Q_i(alpha) - sum min Q_i) / (n - 1) / (1 - rho)` with all Q in one variance `s^2 = sum
    df_i s_i^2 / sum df_i`, on n - 1 and sum df_i degrees of freedom, rho being the correlation of the laws' noise, and
    the least also over what that noise may be (`_one_for_all`).
    """
    df = np.array([fit.profile.df for fit in fits])
    own = np.array([fit.levels.set_sd**2 for fit in fits])
    scale = float(np.sum(df * own) / df.sum()) / own
    parts = [(fit.levels, fit.profile.shift_variance, s) for fit, s in zip(fits, scale, strict=True)]
    curves = np.stack([quadratic(a, GRID, shift_variance=b, scale=s).minimum()[0] for a, b, s in parts])
    rise = curves - curves.min(1, keepdims=True)
    draws = _common(np.log(GRID), curves, df, np.full(len(fits), shared))
    f = _one_for_all(np.log(GRID), rise / (1 - shared), draws) / (len(fits) - 1)
    return f, float(f_distribution.sf(f, len(fits) - 1, float(df.sum())))
