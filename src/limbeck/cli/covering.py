"""The verb about families of configurations: coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import app
from limbeck.cli.folders import RUNS, RowsArgument, RunsOption, is_table, opened
from limbeck.cli.making import JsonOption
from limbeck.cli.printing import interval, print_json, print_table
from limbeck.errors import BadSetting

if TYPE_CHECKING:
    from limbeck.measures.split_seeds import DistanceMatrix
    from limbeck.study import StudyFolder

FROM_TABLE = "risk-profile"


@app.command()
def coverage(
    file: RowsArgument,
    gap: Annotated[float | None, typer.Option(help="Target gap, a fraction; by default the study's own.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only this method; repeatable.")] = None,
    distance: Annotated[
        list[str] | None,
        typer.Option(
            help="What diversity is measured by: risk-profile (of the table itself), function, kernel, spec; the "
            "first defines H, all are validated."
        ),
    ] = None,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """How many samples serve a whole family of configurations. And whether its diversity decides that."""
    from limbeck.findings import untrained_distances
    from limbeck.laws import read_rows
    from limbeck.laws.coverage_answer import coverage_answer
    from limbeck.laws.profiles import read_all, risk_profile
    from limbeck.study import table as rows_of

    folder = None if is_table(file) else opened(file, runs)
    rows = read_rows(file) if folder is None else rows_of(folder)
    target = folder.study.target_gap if gap is None and folder is not None else gap
    if target is None:
        raise BadSetting("a table has no target of its own. Give one with --gap, such as --gap 0.05.")
    if folder is not None and not distance:
        measured = untrained_distances(folder, rows)
    else:
        asked = distance or [FROM_TABLE]
        measured = [
            risk_profile(read_all(rows)) if text == FROM_TABLE else measured_distance(text, folder) for text in asked
        ]
    answer = coverage_answer(rows, target, measured, methods=method or ())
    if as_json:
        print_json(answer)
        return
    _print(answer)


def measured_distance(text: str, folder: StudyFolder | None) -> DistanceMatrix:
    """A distance measured on networks of a study's configurations, remembered in its folder."""
    from limbeck.digest import digest
    from limbeck.measures.distances import Distance
    from limbeck.measures.split_seeds import DistanceMatrix
    from limbeck.sources import load_source
    from limbeck.store import read_record, write_record
    from limbeck.variants import make

    if folder is None:
        raise BadSetting(f"a table names no source to measure the distance {text} on. Give the study, or leave it out.")
    chosen: Distance = make("measures.distances", text)
    study, source = folder.study, load_source(folder.study.source)
    name = digest([chosen.full_spec, source.digest, study.seed, [one.digest for one in study.evaluated]])
    path = folder.path / "distances" / f"{name}.json"
    if not path.exists():
        found = chosen.matrix(study.evaluated, source, seed=study.seed)
        write_record(path, {"distance": chosen.full_spec, "matrix": found.to_dict()})
    return DistanceMatrix.read(read_record(path)["matrix"])


def _print(answer: dict[str, Any]) -> None:
    print(answer["sentence"])
    print()
    print_table([_method_line(one) for one in answer["methods"]])
    print()
    print_table([_distance_line(one) for one in answer["distances"]])
    null = answer["null"]
    print()
    print(
        f"Beside it: the worst of {null['configurations']} numbers of pure noise against log M has R2 "
        f"{null['median']:.2f} ({null['low']:.2f} to {null['high']:.2f}); a straight line there shows nothing."
    )
    for note in [*answer["notes"], *(note for one in answer["methods"] for note in one["notes"])]:
        print(f"- {note['message']}")


def _method_line(one: dict[str, Any]) -> dict[str, Any]:
    explained = {held["measure"]: held["explained"] for held in one["measures"]}
    growth = one["needs"]["H"]
    return {
        "method": one["method"],
        "k for all": interval(one["whole_family"]),
        "c1 of sqrt(H)": interval(one["law"]["c1"]),
        "R2 of H": explained["H"],
        "R2 of log M": explained["log M"],
        "p": one["law"]["permutation_p"],
        "k per unit of H": interval(growth.get("slope")),
        "gamma": interval(growth.get("gamma")),
    }


def _distance_line(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "distance": one["kind"],
        "Mantel r": one["mantel"]["r"],
        "p": one["mantel"]["p_value"],
        "L95": one["lipschitz"]["value"],
        "held out": one["lipschitz"]["held_out"],
        "slack": one["lipschitz"]["slack"],
        "noise": one["noise"],
    }
