"""What a tracker is told of a run: a distillation step by step, a study cell by cell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli.progress import OnDone
from limbeck.errors import BadSetting, LimbeckError

if TYPE_CHECKING:
    from limbeck.distillation import Progress
    from limbeck.study import Cell

OnStep = Callable[["Progress"], None]
Note = Callable[[Mapping[str, float], int], None]
TrackerOption = Annotated[
    str, typer.Option(help="Send numbers there too: tensorboard, 'mlflow(uri=...)', 'wandb(project=...)'.")
]


@contextmanager
def tracked(tracker: str, name: str, facts: Mapping[str, Any]) -> Iterator[Note | None]:
    """Begin a tracker's run, where one is asked for, and end it on leaving.

    A tracker that fails on the way is left alone, said once. Raises `UnknownName`, `BadSetting` or `MissingExtra`
    where it can't begin.
    """
    if not tracker:
        yield None
        return
    from limbeck.variants import make

    chosen = make("trackers", tracker)
    try:
        run = chosen.begin(name, facts)
    except LimbeckError:
        raise
    except Exception as error:  # whatever its library raises
        raise BadSetting(f"{tracker} can't begin a run: {error}. Check its settings, or leave --tracker out.") from None
    call, failed = _forgiven(tracker), True
    try:
        yield lambda numbers, step: call(run.note, numbers, step)
        failed = False
    finally:
        call(run.end, failed)


def _forgiven(tracker: str) -> Callable[..., None]:
    """Calls of the tracker's library until one fails: whatever it raises, hours of work are worth more."""
    works = True

    def call(function: Callable[..., None], *given: object) -> None:
        nonlocal works
        if works:
            try:
                function(*given)
            except Exception as error:
                works = False
                print(f"limbeck: {tracker} takes no more ({error}); the run goes on without it.", file=sys.stderr)

    return call


def of_steps(note: Note | None, show: OnStep | None) -> OnStep | None:
    """What a distillation calls with each step, to move its bar and to tell a tracker."""
    if note is None:
        return show

    def tell(progress: Progress) -> None:
        note({"loss": progress.loss}, progress.step)
        if show is not None:
            show(progress)

    return tell


def of_cells(note: Note | None, show: OnDone | None) -> OnDone | None:
    """What a study calls with each cell: seconds by the cell's number, the mean error of trainings by their k.

    The full data stand at k = 0.
    """
    if note is None:
        return show
    from limbeck.study.cells import short_configuration, short_method

    numbers = count(1)

    def tell(cell: Cell, record: dict[str, Any]) -> None:
        note({f"seconds/{'failed' if 'failed' in record else cell.kind}": float(record["seconds"])}, next(numbers))
        if "rows" in record:
            method = short_method(cell.payload["method"]) if cell.kind == "evaluate" else cell.kind
            name = f"error/{method}/{short_configuration(cell.payload['configuration'])}"
            note({name: fmean(row["error"] for row in record["rows"])}, int(record.get("k") or 0))
        if show is not None:
            show(cell, record)

    return tell
