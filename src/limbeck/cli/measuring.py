"""Verbs that measure networks: what one set's gap is made of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli import app
from limbeck.cli.folders import RUNS, RowsArgument, RunsOption, is_table, opened
from limbeck.cli.making import DeviceOption, JsonOption, usual_configuration
from limbeck.cli.printing import duration, interval, print_json, print_table
from limbeck.cli.progress import spinner

LONG = 20.0  # seconds from which on a wait is told
PARTS = {
    "residual": "start not forgotten: prod(1 - rate mu)(L_0 - L*)",
    "matching": "set's gradient is not the data's: |g_S - g_D|^2",
    "update": "momentum, mini-batches, decay: the rest of |d - g_D|^2",
    "curvature": "steps longer than 1 / beta",
    "generalisation": "(test - training loss) on the set less the same on the full data",
}


@app.command()
def measure(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="The folder of a synthetic set.")],
    configuration: Annotated[
        str | None, typer.Option("--configuration", "-c", help="Train under this; by default what the set is for.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="The source to measure on; by default the set's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training, as in evaluate.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Measure every so many steps; 1 checks the bound exactly.")] = 1,
    probe: Annotated[int, typer.Option(min=2, help="At most so many training samples stand for the data.")] = 4096,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Say what a set's gap is made of. And how tight the bound is, and what to do about the largest part."""
    from limbeck.laws.decomposition import decompose
    from limbeck.measures.decomposition import foretold_seconds
    from limbeck.measures.decomposition import measure as run
    from limbeck.sources import load_source
    from limbeck.synthetic import SyntheticSet

    held = SyntheticSet.load(folder)
    chosen = configuration or held.configuration or usual_configuration(held.domain)
    data = load_source(source or held.source)
    if not as_json and (seconds := foretold_seconds(data, chosen, every=every, probe=probe, device=device)) > LONG:
        fewer = max(min(probe, len(data.train)) // 4, 2)
        shorter = f"--probe {fewer} takes about a quarter of it, --every 5 leaves steps out"
        print(f"This takes about {duration(seconds)}; {shorter}.", file=sys.stderr)
    with spinner(f"training under {chosen}, measured step by step", as_json):
        measured = run(held, data, chosen, seed, every=every, probe=probe, device=device)
    found = decompose(measured).to_dict()
    if as_json:
        print_json(found)
        return
    print(_sentence(found))
    print_table([{"part": name, "loss": found[name], "what": what} for name, what in PARTS.items()])
    print(_first_order(found["first_order"]))
    longest = found["longest_step"]
    steps = f"longest step {longest:.2g} / beta" if longest > 0 else "no step ran where the loss curves upwards"
    print(f"{found['pl']['verdict']}; {steps}.")
    for note in found["notes"]:
        print(note["message"])
    print(f"Next: {'; '.join(found['advice']) or 'nothing stands out'}.")


@app.command()
def interchange(
    file: RowsArgument,
    every: Annotated[int, typer.Option(min=1, help="Measure every so many steps of each training.")] = 25,
    runs: RunsOption = RUNS,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Which surrogate to take at which k. And whether they are interchangeable, by one discrepancy of every set."""
    from limbeck.findings import discrepancies
    from limbeck.laws import read_rows
    from limbeck.laws.interchange_answer import interchange_answer

    if is_table(file):
        rows: list[dict[str, Any]] = read_rows(file)
    else:
        rows = discrepancies(opened(file, runs), every=every, device=device, on_done=None if as_json else _tell)
    answer = interchange_answer(rows)
    if as_json:
        print_json({**answer, "rows": rows})
        return
    print(answer["sentence"])
    print()
    print_table([_line(one) for one in answer["guidance"]])
    judged = answer["interchange"]
    if "refusal" not in judged:
        print()
        print_table(
            [
                {"method": name, "slope on log A^2": interval(one), "adjusted gap": interval(judged["adjusted"][name])}
                for name, one in judged["slopes"].items()
            ]
        )
        slopes, gaps = judged["equal_slopes"], judged["equal_intercepts"]
        print(
            f"Equal slopes: F = {slopes['f']:.2f}, p = {slopes['p']:.2g}. Equal adjusted gaps: F = {gaps['f']:.2f}, "
            f"p = {gaps['p']:.2g}. Rank correlation of A^2 and gap within (configuration, k): "
            f"{interval(answer['rank_correlation'])}."
        )
    fitted = [one for one in answer["decline"] if "refusal" not in one]
    if fitted:
        print()
        print_table([_decline_line(one) for one in fitted])
    if answer["left_out"] and "refusal" not in answer["left_out"]:
        print()
        print("Predicting a method that was left out, R2 of its gaps:")
        print_table([{"method": name, **scores} for name, scores in answer["left_out"].items()])


def _tell(row: dict[str, Any]) -> None:
    head = f"{row['method']}, k = {row['k']}, set {row['set']} under {row['configuration']}"
    said = f"FAILED: {row['failed']}" if "failed" in row else f"A^2 = {row['discrepancy']:.3g}"
    print(f"{head}: {said}", file=sys.stderr)


def _line(one: dict[str, Any]) -> dict[str, Any]:
    said = "best" if one["best"] else ("not told apart" if one["p"] is None else f"p = {one['p']:.2g}")
    return {
        "k": one["k"],
        "method": one["method"],
        "sets": one["sets"],
        "A^2": interval(one["discrepancy"]),
        "worth in random samples": interval(one["worth"]),
        "gap": interval(one["gap"]),
        "away less home": interval(one["breadth"]),
        "seconds": one["seconds"],
        "against the best": said,
        "take": "yes" if one["advised"] else "",
    }


def _decline_line(one: dict[str, Any]) -> dict[str, Any]:
    head = {"surrogate of": one["method"], "k": one["k"], "steps": one["steps"], "A^2 before": one["start"]}
    measured = {"slope of log A^2 a step": "slope", "rate a step": "rate", "floor": "floor"}
    return head | {title: interval(one[name]) for title, name in measured.items()}


def _sentence(found: dict[str, Any]) -> str:
    worth = found["effective_balanced"]
    random = (
        "" if worth is None else f" Along its path its gradients are worth {worth:.3g} class-balanced random samples."
    )
    return (
        f"{found['samples']} samples leave a gap of {100 * found['gap_error']:.3g} points of error and "
        f"{found['gap_loss']:.3g} in loss. Training loss on the data ends {found['excess']:.3g} above its lowest; the "
        f"bound says {found['bound']:.3g} ({found['tightness']:.3g} times as much).{random}"
    )


def _first_order(one: dict[str, Any]) -> str:
    """Both rates side by side: which power of k each bound has for random samples."""
    held = "" if one["holds"] else ": it does not hold here, as training does not contract at that rate"
    random = "" if one["random"] is None else f"; as many random samples, C sqrt(1/k): {one['random']:.3g}"
    return (
        f"First-order bound on the difference of training losses, {one['measured']:.3g}: G sum |e| / mu = "
        f"{one['bound']:.3g} (G = {one['steepness']:.2g}, mu = {one['mu']:.2g}{random}){held}."
    )
