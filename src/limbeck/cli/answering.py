"""Verbs that answer from a study's results: plan, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import app
from limbeck.cli.folders import RUNS, RowsArgument, RunsOption, StudyArgument, is_table, opened
from limbeck.cli.making import JsonOption
from limbeck.cli.printing import interval, law_name, number, print_json, print_table, remarks
from limbeck.cli.progress import spinner
from limbeck.errors import BadSetting

if TYPE_CHECKING:
    from limbeck.study import StudyFolder

EACH = 12  # remarks are printed one by one up to this number


@app.command()
def plan(
    file: RowsArgument,
    gap: Annotated[float | None, typer.Option(help="Target gap, a fraction; by default the study's own.")] = None,
    configuration: Annotated[str | None, typer.Option("--configuration", "-c", help="Only this one.")] = None,
    next_runs: Annotated[int, typer.Option("--next", help="Also propose the next N runs of the study.", min=0)] = 0,
    family: Annotated[
        bool,
        typer.Option("--family", help="Also who may be the worst of all configurations; --next is then about that."),
    ] = False,
    distance: Annotated[str, typer.Option(help="Of configurations, with --family: spec, function, kernel.")] = "",
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """How many samples each method needs for a target gap. In a sentence and a table, with the runs to do next."""
    from limbeck.laws import read_rows
    from limbeck.planner import plan as answer
    from limbeck.study import table as rows_of

    if is_table(file):
        rows, target = read_rows(file), gap
        if next_runs or family:
            raise BadSetting("a table can't be run on. Give the study's file or folder with --next and --family.")
    else:
        folder = opened(file, runs)
        rows, target = rows_of(folder), folder.study.target_gap if gap is None else gap
    if target is None:
        raise BadSetting("a table has no target of its own. Give one with --gap, such as --gap 0.05.")
    planned = answer(rows, gap=target, configuration=configuration).to_dict()
    if distance and not family:
        raise BadSetting("--distance says how far configurations of a family are apart. Give it with --family.")
    if family:
        from limbeck.cli.covering import measured_distance
        from limbeck.family import FamilyCampaign

        whole = FamilyCampaign(folder, measured_distance(distance or "spec", folder).value, target)
        planned |= {"family": whole.family(), "next": [one.to_dict() for one in whole.propose(next_runs)]}
    elif next_runs:
        from limbeck.campaign import Campaign

        planned["next"] = [one.to_dict() for one in Campaign(folder, target).propose(next_runs)]
    if as_json:
        print_json(planned)
        return
    _print_plan(planned)
    for one in planned.get("family", []):
        print_family(one)
    if next_runs:
        print("\nNext runs, best first:")
        print_proposals(planned["next"])


@app.command()
def report(
    file: StudyArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="HTML file; by default in the folder.")] = None,
    gap: Annotated[float | None, typer.Option(help="Target gap, a fraction; by default the study's own.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw gap against k for a paper too: png, svg or pdf.")] = None,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Write one offline page. The answer, the laws, the pictures, the tables, how to repeat it."""
    from limbeck.findings import findings
    from limbeck.plots import law_figure
    from limbeck.report import write_report

    folder = opened(file, runs)
    with spinner("fitting laws", as_json):
        found = findings(folder, gap)
    written = {"path": str(write_report(found, out or folder.path / "report.html"))}
    if figure is not None:
        target = folder.study.target_gap if gap is None else gap
        written["figure"] = str(law_figure(found.get("fits", []), found["rows"], figure, gap=target))
    if as_json:
        print_json(written)
    else:
        print("\n".join(f"{'Report' if name == 'path' else 'Figure'}: {path}" for name, path in written.items()))


def answer_and_report(folder: StudyFolder) -> None:
    """Print what a study found, and write its report into its folder."""
    from limbeck.findings import findings
    from limbeck.report import write_report

    found = findings(folder)
    print()
    if "plan" in found:
        _print_answer(found["plan"])
    else:
        print("Nothing was measured beside the references.")
    print(f"Report: {write_report(found, folder.path / 'report.html').resolve()}")


def _print_plan(planned: dict[str, Any]) -> None:
    _print_answer(planned)
    print()
    rows = [{name: row[name] for name in ("method", "configuration")} | _answered(row) for row in planned["rows"]]
    print_table(rows)
    lines = [f"- {law_name(note)}: {note['message']}" for note in planned["refusals"]]
    if lines := lines + remarks(planned["notes"], len(rows)):
        print("", *lines, sep="\n")
    _print_advice(planned["guidance"])


def _print_answer(planned: dict[str, Any]) -> None:
    """The sentence, and below it a line a configuration where there are several."""
    print(planned["sentence"])
    for line in planned["lines"]:
        print(f"  {line}")


def _answered(row: dict[str, Any]) -> dict[str, str]:
    needed = interval(row, samples=True)
    if row["estimate"] is None:
        needed = "refused" if row["low"] is None else f"refused, or {number(row['low'])} and more"
    return {"k needed": needed, "floor": interval(row["floor"]), "exponent": interval(row["exponent"])}


def _print_advice(guidance: list[dict[str, Any]]) -> None:
    """What to do about each law; of many laws, one line a kind."""
    advice = [one for law in guidance for one in law["advice"]]
    if not advice:
        return
    lines = [f"- {law_name(one)}: {one['message']}" for one in advice]
    print("\nWhat to do:", *(lines if len(lines) <= EACH else remarks(advice, len(guidance))), sep="\n")


def print_family(one: dict[str, Any]) -> None:
    """Print how far the search for a method's worst configuration is."""
    head = f"\n{one['method']} at k = {one['k']:,}: {one['measured']} of {one['of']} configurations were measured"
    if one["worst"] is None:
        print(f"{head}; 2 are needed to say which may be the worst.")
        return
    print(f"{head}; the worst gap is {interval(one['worst'])}. It may be that of:")
    shown = [{**held, "measured": "yes" if held["measured"] else "no"} for held in one["suspects"]]
    print_table(shown, ["configuration", "chance", "gap", "sd", "measured"])


def print_proposals(proposals: list[dict[str, Any]]) -> None:
    """Print the runs to do next, a line each with its reason."""
    columns = ["kind", "method", "configuration", "k", "set", "seconds", "gain", "reason"]
    print_table(proposals, columns)
