"""Laws whose exponent drifts with k, `(laws,)` at a time.

    gap(k) = f + a 10^-(D(u) - D(u_min)),   D(u) = alpha u + beta u^2 / 2,   u = log10(k / k_mid),

with k_mid the geometric middle of the k measured, alpha the exponent there and beta its change over a decade of k;
where `alpha + beta u` would be negative the excess stays as it is. beta = 0 is the straight law of `scaling.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from limbeck.laws.levels import Floats


@dataclass(frozen=True)
class BentLaws:
    """Laws, `(laws,)` each; the exponent is that at the middle k, the amplitude the excess at the smallest."""

    exponent: Floats
    bend: Floats
    floor: Floats
    amplitude: Floats
    smallest_k: float
    middle_k: float

    def gaps(self, k: Floats) -> Floats:
        """The gaps at k `(points,)`, `(laws, points)`."""
        falls = decay(np.asarray(k, float), self.smallest_k, self.middle_k, self.exponent, self.bend)
        return np.asarray(self.floor[:, None] + self.amplitude[:, None] * falls)

    def gap(self, k: float) -> Floats:
        """The gap at one k, `(laws,)`."""
        return self.gaps(np.array([k]))[:, 0]

    def required_k(self, target: float) -> Floats:
        """The k at which each law reaches a gap; at least 1, as a set has a sample; infinite where none does.

        `alpha u + beta u^2 / 2 = D(u_min) + log10(a / (target - f))` solved on its rising side.
        """
        room = np.where(self.floor < target, target - self.floor, np.nan)
        ratio = np.maximum(self.amplitude, 1e-300) / room
        fall = _fall(math.log10(self.smallest_k / self.middle_k), self.exponent, self.bend) + np.log10(ratio)
        root = self.exponent**2 + 2 * self.bend * fall
        u = 2 * fall / (self.exponent + np.sqrt(np.maximum(root, 0)))
        k = np.where(root >= 0, self.middle_k * 10.0**u, np.where(self.bend > 0, 0.0, np.inf))
        return np.asarray(np.where(np.isnan(room), np.inf, np.maximum(k, 1.0)))


def _fall(u: Floats | float, exponent: Floats, bend: Floats) -> Floats:
    """D(u), held where the local exponent would be negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.where(bend == 0, 0.0, -exponent / bend)
    held = np.where(bend < 0, np.minimum(u, turn), np.where(bend > 0, np.maximum(u, turn), u))
    return np.asarray(exponent * held + bend * held**2 / 2)


def decay(k: Floats, smallest_k: float, middle_k: float, exponent: Floats, bend: Floats) -> Floats:
    """The excess at k `(points,)` over that at the smallest k, `(laws, points)`."""
    first = _fall(math.log10(smallest_k / middle_k), exponent, bend)
    rest = _fall(np.log10(k / middle_k)[None, :], exponent[:, None], bend[:, None])
    return np.asarray(10.0 ** -(rest - first[:, None]))
