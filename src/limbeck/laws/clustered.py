"""Least squares whose errors come in clusters, with covariances and degrees of freedom that few clusters do not spoil.

The usual sandwich (CR1) with clusters - 1 degrees of freedom is far too sure where a coefficient rests on few clusters,
as a method's slope on three sets: of 150 planted worlds without any difference between eight methods it called 29 %
different. Here residuals are corrected cluster by cluster (CR2, Bell & McCaffrey 2002), and degrees of freedom are
those of the contrast asked for, under a working model in which runs of one cluster share an error (Imbens & Kolesar
2016); several contrasts at once are tested by Hotelling's T^2 with the same moments (Pustejovsky & Tipton 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from limbeck.errors import BadData
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import t_quantile

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A least-squares fit, cluster by cluster: `parts` are its rows of the design, (n_g, p) each."""

    coefficients: Floats
    inverse: Floats  # (X'X)^-1
    parts: tuple[Floats, ...]
    residuals: tuple[Floats, ...]
    roots: tuple[Floats, ...]  # (I - H_gg)^-1/2

    @cached_property
    def covariance(self) -> Floats:
        """CR2: unbiased where errors are independent and alike, whatever the design."""
        pieces = zip(self.parts, self.roots, self.residuals, strict=True)
        scores = np.array([part.T @ root @ own for part, root, own in pieces])
        return np.asarray(self.inverse @ scores.T @ scores @ self.inverse)

    @cached_property
    def shared(self) -> float:
        """Variance that a cluster's runs share, over that which they do not; at least 0."""
        pairs = sum(float(own.sum() ** 2 - own @ own) for own in self.residuals)
        count = sum(len(own) * (len(own) - 1) for own in self.residuals)
        total = sum(float(own @ own) for own in self.residuals) / sum(map(len, self.residuals))
        share = pairs / count / total if count and total > 0 else 0.0
        return max(share, 0.0) / (1 - min(share, 0.99))

    def df(self, rows: Floats) -> float:
        """Degrees of freedom of the covariance of some contrasts (q, p), by the moments of their joint estimate."""
        rows = np.atleast_2d(rows)
        q = len(rows)
        weights = [root @ part @ self.inverse @ rows.T for part, root in zip(self.parts, self.roots, strict=True)]
        sums = np.array([part.T @ own for part, own in zip(self.parts, weights, strict=True)])  # (clusters, p, q)
        groups = len(sums)
        products = -np.einsum("gps,pr,hrt->stgh", sums, self.inverse, sums, optimize=True)
        common = -np.einsum("cp,pr,grs->cgs", [part.sum(0) for part in self.parts], self.inverse, sums, optimize=True)
        for g, own in enumerate(weights):
            products[:, :, g, g] += own.T @ own
            common[g, g] += own.sum(0)
        products += self.shared * np.einsum("cgs,cht->stgh", common, common, optimize=True)
        expected = np.einsum("stgg->st", products)
        values, vectors = np.linalg.eigh((expected + expected.T) / 2)
        if values.min() <= 1e-12 * max(values.max(), 1e-300) or groups < 2:
            return 0.0
        white = vectors @ np.diag(values**-0.5) @ vectors.T
        products = np.einsum("as,stgh,tb->abgh", white, products, white, optimize=True)
        own = np.einsum("ssgh->sgh", products)
        spread = float(np.einsum("sgh,tgh->", own, own) + np.einsum("stgh,tsgh->", products, products))
        return q * (q + 1) / spread

    def estimate(self, row: Floats, level: float) -> Estimate:
        """A contrast with Student's interval; open where its clusters leave no degree of freedom."""
        value, df = float(row @ self.coefficients), self.df(row)
        if df < 1e-6:
            return Estimate.of(value)
        half = t_quantile(level, df) * math.sqrt(max(float(row @ self.covariance @ row), 0.0))
        return Estimate.of(value, value - half, value + half)

    def wald(self, rows: Floats) -> tuple[float, float]:
        """F and p of `rows @ coefficients = 0`; p is 1 where there are too few clusters for so many contrasts."""
        value, q, df = rows @ self.coefficients, len(rows), self.df(rows)
        distance = float(value @ np.linalg.pinv(rows @ self.covariance @ rows.T) @ value)
        if df <= q - 1:
            return distance / q, 1.0
        statistic = (df - q + 1) / (df * q) * distance
        return statistic, float(f_distribution.sf(statistic, q, df - q + 1))


def least_squares(design: Floats, y: Floats, clusters: Sequence[object]) -> Line:
    """Ordinary least squares. Raises `BadData` for fewer than two clusters, or fewer runs than coefficients."""
    n, p = design.shape
    names, place = np.unique([str(one) for one in clusters], return_inverse=True)
    if len(names) < 2 or n <= p:
        raise BadData(f"{len(names)} sets and {n} runs can't carry {p} coefficients. Distil more sets.")
    inverse = np.asarray(np.linalg.pinv(design.T @ design), float)
    coefficients = inverse @ design.T @ y
    members = [np.flatnonzero(place == one) for one in range(len(names))]
    parts = tuple(design[own] for own in members)
    roots = tuple(_root(np.eye(len(part)) - part @ inverse @ part.T) for part in parts)
    return Line(coefficients, inverse, parts, tuple((y - design @ coefficients)[own] for own in members), roots)


def _root(matrix: Floats) -> Floats:
    """The inverse square root, zero in directions that the cluster's own coefficients use up."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > 1e-9
    return np.asarray((vectors[:, kept] * values[kept] ** -0.5) @ vectors[:, kept].T)
