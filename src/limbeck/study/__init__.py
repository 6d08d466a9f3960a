"""A study: a grid of methods, sizes, sets, configurations and seeds, run as pure cells that files remember.

study = Study.load("digits.toml")
folder = StudyFolder.open(study, "runs")
run_study(folder)                   # limbeck.runners
rows = table(folder)                # the form that limbeck.laws reads
"""

from __future__ import annotations

from limbeck.study.additions import Addition
from limbeck.study.cells import KINDS, Cell, shard
from limbeck.study.folder import StudyFolder
from limbeck.study.forecast import Piece, StudyForecast, forecast, group_of
from limbeck.study.grid import Facts, Grid
from limbeck.study.merge import Merged, merge, outcome
from limbeck.study.order import Order
from limbeck.study.parcel import Parcel
from limbeck.study.rows import COLUMNS, table, table_csv
from limbeck.study.status import Status, measured, seconds_left, status
from limbeck.study.study import Budget, Study
from limbeck.study.verify import Problem, verify
from limbeck.study.work import Execute, about, check_device, load_set, run_cell

__all__ = [
    "COLUMNS",
    "KINDS",
    "Addition",
    "Budget",
    "Cell",
    "Execute",
    "Facts",
    "Grid",
    "Merged",
    "Order",
    "Parcel",
    "Piece",
    "Problem",
    "Status",
    "Study",
    "StudyFolder",
    "StudyForecast",
    "about",
    "check_device",
    "forecast",
    "group_of",
    "load_set",
    "measured",
    "merge",
    "outcome",
    "run_cell",
    "seconds_left",
    "shard",
    "status",
    "table",
    "table_csv",
    "verify",
]
