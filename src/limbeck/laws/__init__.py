"""Laws of how the gap of distilled sets shrinks: pure statistics, arrays in; estimate, interval, notes out.

`fit_scaling` takes arrays of one method under one configuration; `answer` takes a whole table of results, `read_rows`
reads one from a CSV file. Nothing here imports torch or trains anything.
"""

from __future__ import annotations

from limbeck.laws.answers import answer
from limbeck.laws.decisions import RequiredK, required_k
from limbeck.laws.estimate import Estimate
from limbeck.laws.levels import Levels, level_means
from limbeck.laws.multiplicity import benjamini_hochberg, holm
from limbeck.laws.notes import Code, Note
from limbeck.laws.pooling import Family, Pooled, pool_laws
from limbeck.laws.ratios import required_ratio
from limbeck.laws.scaling import ScalingFit, fit_levels, fit_scaling
from limbeck.laws.table import Group, groups, read_rows

__all__ = [
    "Code", "Estimate", "Family", "Group", "Levels", "Note", "Pooled", "RequiredK", "ScalingFit", "answer",
    "benjamini_hochberg", "fit_levels", "fit_scaling", "groups", "holm", "level_means", "pool_laws", "read_rows",
    "required_k", "required_ratio",
]  # fmt: skip
