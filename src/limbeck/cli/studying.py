"""Verbs that run studies and look at them: study run, study status, study table, study merge."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli import app
from limbeck.cli.answering import answer_and_report, print_family, print_proposals
from limbeck.cli.folders import RUNS, RunsOption, StudyArgument, opened
from limbeck.cli.making import JsonOption
from limbeck.cli.printing import duration, print_json, print_table, size
from limbeck.cli.progress import OnDone, spinner, study_bar
from limbeck.cli.tracking import Note, TrackerOption, of_cells, tracked
from limbeck.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from limbeck.campaign import Campaign
    from limbeck.proposals import Proposal
    from limbeck.study import Cell, Piece, Status, StudyFolder, StudyForecast

study = typer.Typer(help="Run a grid of methods, sizes, sets, configurations and seeds.", no_args_is_help=True)
app.add_typer(study, name="study")


@study.command()
def run(
    file: StudyArgument,
    runs: RunsOption = RUNS,
    runner: Annotated[
        str, typer.Option(help="serial, processes, 'processes(workers=4)', ray, 'ray(address=auto)'.")
    ] = "processes",
    shard: Annotated[str, typer.Option(help="Only part i/n of the cells, for job arrays.")] = "1/1",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps, in place of the study's own.")] = None,
    extend: Annotated[bool, typer.Option("--extend", help="Go on although the study file has changed.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed cells again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure what the rest will take, say it, and stop.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="End with the plan's answer and the report.")] = False,
    until: Annotated[
        str,
        typer.Option(
            help='Go on with runs of its own choice: "width < 0.2 dex" of every required k. Or run only what finds the '
            'worst configuration: "worst gap width < 0.04".'
        ),
    ] = "",
    budget: Annotated[str, typer.Option(help="Time on the clock for --until, such as 2h or 30min.")] = "",
    gap: Annotated[float | None, typer.Option(help="Target gap of --until; by default the study's own.")] = None,
    distance: Annotated[
        str, typer.Option(help="Of configurations, in the search for the worst: spec, function, kernel.")
    ] = "",
    tracker: TrackerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Run what is left of a study. The same command goes on after any stop."""
    from limbeck.runners import forecast_study, run_study
    from limbeck.study import Study, StudyFolder, StudyForecast
    from limbeck.study import shard as part_of

    if file.is_dir():
        folder = StudyFolder(file)
        if device not in (None, folder.study.device):
            raise BadSetting(f"{file} was run on the device '{folder.study.device}'. Give another name to a new study.")
    else:
        own = Study.load(file)
        folder = StudyFolder.open(own.on(device) if device else own, runs, extend=extend)
    if dry_run:
        with spinner("measuring pieces of the study's own work", as_json):
            made = forecast_study(folder, runner, part=shard)
        _print_forecast(folder, made, as_json)
        return
    if until or budget:
        if shard != "1/1":
            raise BadSetting(
                "--until chooses by the whole study's laws, which a shard does not have. Leave --shard out."
            )
        with tracked(tracker, folder.path.name, folder.study.settings()) as note:
            _pursue(folder, runner, until, budget, gap, distance, retry, as_json, report, note)
        return
    if distance or gap is not None:
        raise BadSetting("--gap and --distance are of the answer that --until waits for. Give them with --until.")
    with (
        tracked(tracker, folder.path.name, folder.study.settings()) as note,
        _watched(folder, part_of(folder.cells(), shard), note, as_json) as show,
    ):
        ended = run_study(folder, runner, part=shard, retry=retry, on_done=show)
    if as_json:
        print_json({"folder": str(folder.path), **ended.to_dict()})
        return
    _print_status(folder, ended, as_json=False)
    _print_outcome(StudyForecast.load(folder))
    if report and ended.complete:
        answer_and_report(folder)


def _pursue(
    folder: StudyFolder,
    runner: str,
    until: str,
    budget: str,
    gap: float | None,
    distance: str,
    retry: bool,
    as_json: bool,
    report: bool,
    note: Note | None,
) -> None:
    """Run, propose, run again, until the answer is precise enough or the time is spent."""
    from limbeck.pursuit import pursue, read_budget, read_until

    if not until:
        raise BadSetting('a budget alone says no goal. Give --until, such as --until "width < 0.2 dex".')

    goal, family = read_until(until), None
    if goal.of_family:
        from limbeck.cli.covering import measured_distance
        from limbeck.family import FamilyCampaign

        apart = measured_distance(distance or "spec", folder).value
        family = partial(FamilyCampaign, folder, apart, gap)
    elif distance:
        raise BadSetting('--distance is of the search for the worst: --until "worst gap width < 0.04".')
    what = "a worst gap" if family else "a required k"

    def told(width: float) -> str:
        return f"{100 * width:.1f} points" if family else f"{width:.2f} decades"

    def tell(campaign: Campaign, proposals: Iterable[Proposal]) -> None:
        if not as_json:
            known = told(campaign.width) if math.isfinite(campaign.width) else "not known yet"
            print(f"Widest interval of {what}: {known}. Next:")
            print_proposals([one.to_dict() for one in proposals])

    ended = pursue(
        folder,
        width=goal.width,
        budget_seconds=read_budget(budget),
        gap=gap,
        runner=runner,
        retry=retry,
        watched=lambda cells: _watched(folder, cells, note, as_json),
        on_round=tell,
        standing=family,
    )
    standing = {"family": family().family()} if family else {}
    if as_json:
        print_json({"folder": str(folder.path), **ended.to_dict(), **standing})
        return
    left = f"widest interval {told(ended.width)}" if math.isfinite(ended.width) else "no interval is known"
    print(f"Ended by {ended.why} after {ended.runs} chosen runs: {left}.")
    for one in standing.get("family", []):
        print_family(one)
    if report:
        answer_and_report(folder)


@contextmanager
def _watched(folder: StudyFolder, cells: Sequence[Cell], note: Note | None, quiet: bool) -> Iterator[OnDone | None]:
    """The bar over these cells, and what a tracker is told beside."""
    with study_bar(cells, folder.finished(), quiet) as show:
        yield of_cells(note, show)


@study.command()
def status(file: StudyArgument, runs: RunsOption = RUNS, as_json: JsonOption = False) -> None:
    """How far a study is, what failed and why, and what is left."""
    from limbeck.study import status as state

    folder = opened(file, runs)
    _print_status(folder, state(folder), as_json)


@study.command()
def table(
    file: StudyArgument,
    runs: RunsOption = RUNS,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, the form that `limbeck laws` reads.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the results, a row a training."""
    from limbeck.study import table as rows_of
    from limbeck.study import table_csv

    rows = rows_of(opened(file, runs))
    if as_json:
        print_json({"rows": rows})
    elif as_csv:
        print(table_csv(rows), end="")
    else:
        print_table(rows, ["method", "configuration", "k", "set", "seed", "error", "gap"])


@study.command()
def merge(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="The study folder that receives.")],
    others: Annotated[
        list[Path], typer.Argument(metavar="OTHERS", help="Folders of the same study, from other shards or machines.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Bring finished cells of other folders into one. Nothing that is there is changed."""
    from limbeck.study import StudyFolder
    from limbeck.study import merge as bring

    done = bring(StudyFolder(into), [StudyFolder(other) for other in others])
    facts = {"copied": done.copied, "known": done.known, "conflicts": list(done.conflicts)}
    facts["unreadable"] = [str(path) for path in done.unreadable]
    if as_json:
        print_json(facts)
    else:
        print(f"{done.copied} cells copied, {done.known} were there already.")
        for cell in done.conflicts:
            print(f"CONFLICT: cell {cell[:16]} has two different results; the one in {into} was kept.")
        for path in done.unreadable:
            print(f"UNREADABLE: {path}")
    if done.conflicts or done.unreadable:
        raise typer.Exit(1)


def _print_status(folder: StudyFolder, state: Status, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder.path), **state.to_dict()})
        return
    print_table([{"cells": kind, **vars(count)} for kind, count in state.counts.items()])
    unknown = "what is left is known after the first cells"
    left = unknown if state.seconds_left is None else f"{duration(state.seconds_left)} left"
    print(f"{folder.path}: {duration(state.seconds_spent)} of work done, {left} (on one core).")
    of_reason: dict[str, list[str]] = defaultdict(list)
    for failure in state.failures:
        of_reason[failure["reason"]].append(failure["cell"])
    for reason, cells in of_reason.items():
        print(f"FAILED {cells[0]}{f' and {len(cells) - 1} more' * (len(cells) > 1)}: {reason}")


def _print_forecast(folder: StudyFolder, made: StudyForecast, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder.path), **made.to_dict()})
        return
    print_table([_piece_line(held) for held in made.by_method()])
    print(
        f"{made.cells} cells are left: about {duration(made.seconds)} of work for one core, "
        f"{duration(made.elapsed_seconds)} with {made.workers} at a time, up to {size(made.memory_bytes)} of memory in "
        f"all and {size(made.disk_bytes)} of disk. Measured just now; afterwards you are told how far off it was."
    )


def _piece_line(pieces: Sequence[Piece]) -> dict[str, str | int]:
    """Cells of one kind and method in a line: how many, the quickest to the slowest, and all."""
    each = [duration(choose(piece.seconds for piece in pieces)) for choose in (min, max)]
    return {
        "cells": pieces[0].kind,
        "method": pieces[0].short_method,
        "number": sum(piece.cells for piece in pieces),
        "each": " to ".join(dict.fromkeys(each)),
        "all": duration(sum(piece.cells * piece.seconds for piece in pieces)),
        "memory": size(max(piece.memory_bytes for piece in pieces)),
        "disk": size(sum(piece.cells * piece.disk_bytes for piece in pieces)),
    }


def _print_outcome(made: StudyForecast | None) -> None:
    if made is None or made.outcome is None:
        return
    said = [
        f"{what} {show(held['foretold'])}, was {show(held['measured'])} ({held['ratio']:.2f} times)"
        for what, show in (("work", duration), ("elapsed", duration), ("memory", size))
        if (held := made.outcome[what]) and held["ratio"] is not None
    ]
    print(f"Foretold: {'; '.join(said)}.")
