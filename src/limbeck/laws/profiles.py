"""Gaps of many methods, k and sets side by side: what distances are built from and checked against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from limbeck.errors import BadData
from limbeck.laws.columns import REFERENCE, Row, require
from limbeck.laws.covers import Floats
from limbeck.laws.table import runs_of
from limbeck.laws.worst import Runs, read_runs
from limbeck.measures.split_seeds import DistanceMatrix, split_seed_distances

PROBES = 1  # sets of every method and k that distances may see; the law is fitted to the others


def read_all(rows: Iterable[Row]) -> list[Runs]:
    """The runs of every method of a table on the configurations that all of them have, in one order.

    Raises `BadData` for a table that lacks a column, for one without methods, or without two configurations that all
    methods have.
    """
    held, table = runs_of(rows)
    require(table.columns, "configuration", "set", "seed")
    if any(row["error"] is None for row in held):
        raise BadData(
            "the coverage law needs the error of every run and reference, not the gap alone. Add a column error."
        )
    methods = list(dict.fromkeys(str(row["method"]) for row in held if row["method"] != REFERENCE))
    if not methods:
        raise BadData("the table has reference rows only. Evaluate a method under two configurations or more.")
    found = [read_runs(held, method) for method in methods]
    shared = [name for name in found[0].names if all(name in runs.names for runs in found)]
    if len(shared) < 2:
        raise BadData("no two configurations have all runs of all methods. Finish the study, or ask for one method.")
    return [replace(runs.among(shared), notes=(*table.notes, *runs.notes)) for runs in found]


def risk_profile(runs: Sequence[Runs], probes: int = PROBES) -> DistanceMatrix:
    """Distances of gap vectors over the first `probes` sets of every method and k: the theory's own metric.

    `d(a, b)^2` is the mean over probe sets of `(E gap_a - E gap_b)^2`, E over seeds and without their noise. On these
    sets its Lipschitz constant is 1 in the mean; on others it is to be measured. Raises `BadData` where no set is left
    to fit a law to, or each set was trained on once.
    """
    if min(one.error.shape[2] for one in runs) <= probes:
        raise BadData(
            f"{probes} sets of every k are needed to measure distances on and others to fit the law to. Run the study "
            "with more sets, or measure distances on networks (--distance function)."
        )
    features = []
    for one in runs:
        seeds = min(one.error.shape[3], max(one.reference.shape[1], 1))
        # a reference of its own for each seed, or the noise of the references would be common to all
        references = np.stack([one.reference[:, place::seeds].mean(1) for place in range(seeds)], 1)
        gaps = one.error[:, :, :probes, :seeds] - references[:, None, None, :]
        features.append(np.moveaxis(gaps, 3, 1).reshape(len(one.names), seeds, -1))
    fewest = min(part.shape[1] for part in features)
    joined = np.concatenate([part[:, :fewest] for part in features], axis=2)
    return split_seed_distances("risk-profile", runs[0].names, joined / np.sqrt(joined.shape[2]))


def gap_profiles(runs: Sequence[Runs], first: int = PROBES) -> Floats:
    """Mean gaps of every method, k and set from number `first` on: (configurations, methods x levels x sets)."""
    return np.concatenate([one.gap[:, :, first:].reshape(len(one.names), -1) for one in runs], axis=1)
