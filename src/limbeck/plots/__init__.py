"""Figures of measured gaps and their laws, from plain rows and the law's JSON answer.

The report reads and marks with the same functions, so that the page and a paper's figure show the same numbers with
the same colours and shapes. Nothing here imports torch or touches a global state.
"""

from limbeck.plots.figure import law_figure
from limbeck.plots.marks import COLOURS, SHAPES, Mark, dodge, marks
from limbeck.plots.results import Estimate, Law, Point, Target, laws, number, points, replication

__all__ = [
    "COLOURS",
    "SHAPES",
    "Estimate",
    "Law",
    "Mark",
    "Point",
    "Target",
    "dodge",
    "law_figure",
    "laws",
    "marks",
    "number",
    "points",
    "replication",
]
