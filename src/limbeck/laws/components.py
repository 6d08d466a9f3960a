"""Variance components: how much of a gap's noise comes from the distilled set, the seed of a run, the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as f_distribution

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """Where the noise of a gap comes from, as standard deviations of one set, one seed and one reference run.

    `intraclass` is the share of a run's variance that its set explains; `effective_runs` is the number of independent
    runs that would be worth as much as all runs at hand. None: not estimable from this design.
    """

    set_sd: float | None
    seed_sd: float | None
    reference_sd: float | None
    intraclass: float | None
    effective_runs: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain numbers for JSON."""
        return dict(vars(self))


def components(
    pooled: float | None, seed_sd: float | None, unit_runs: Floats, reference: tuple[float, float] | None
) -> Components:
    """Method of moments for a nested design: Var(set mean) = set^2 + seed^2 / seeds."""
    reference_sd = reference[0] if reference and reference[1] > 1 and math.isfinite(reference[0]) else None
    if pooled is None or seed_sd is None:
        return Components(None, seed_sd, reference_sd, None, None)
    seeds = float(1 / np.mean(1 / unit_runs))
    set_variance = max(pooled - seed_sd**2 / seeds, 0.0)
    total = set_variance + seed_sd**2
    share = set_variance / total if total > 0 else 0.0
    worth = float(np.sum(unit_runs / (1 + (unit_runs - 1) * share)))
    return Components(math.sqrt(set_variance), seed_sd, reference_sd, share, worth)


def shared_effect(units: Sequence[object], names: Sequence[object], gap: ArrayLike) -> tuple[float, float]:
    """Variance that all units share through the name of a row, and the p-value of there being none.

    Two-way analysis: `y = unit + name + e`; the name's mean square against the residual one, `F = MS_name / MS_rest`.
    Seeds that fix the initialisation move every set alike, and sets that are parts of one another every k: either looks
    like a floor. Balanced designs only (every unit with the same names); otherwise variance 0 and p = 1.
    """
    rows, row_of = np.unique([str(one) for one in units], return_inverse=True)
    columns, column_of = np.unique([str(one) for one in names], return_inverse=True)
    table = np.full((len(rows), len(columns)), np.nan)
    table[row_of, column_of] = np.asarray(gap, float)
    n_units, n_names = table.shape
    if np.isnan(table).any() or n_units < 2 or n_names < 2:
        return 0.0, 1.0
    rest = table - table.mean(1, keepdims=True)
    effect = rest.mean(0)
    between = n_units * float(np.sum(effect**2)) / (n_names - 1)
    within = float(np.sum((rest - effect) ** 2)) / ((n_units - 1) * (n_names - 1))
    if within <= 0:
        return 0.0, 1.0
    p = float(f_distribution.sf(between / within, n_names - 1, (n_units - 1) * (n_names - 1)))
    return max(between - within, 0.0) / n_units, p
