"""Verbs that read what is there: laws, verify, list, show, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import app
from limbeck.cli.making import JsonOption
from limbeck.cli.printing import interval, law_name, print_json, print_markdown, print_table, remarks, size
from limbeck.errors import BadSetting, CorruptFile, LimbeckError, MissingData, nearest

if TYPE_CHECKING:
    from limbeck.export import Undo
    from limbeck.sources import Preprocessing
    from limbeck.synthetic import SyntheticSet

FAMILIES = [
    *("sources", "architectures", "optimizers", "augmentations", "schedules", "domains"),
    *("methods", "surrogates", "states", "parameterizations", "measures.distances", "runners", "trackers"),
]
SetArgument = Annotated[Path, typer.Argument(metavar="SET", help="The folder of a synthetic set.")]


@app.command()
def laws(
    rows: Annotated[
        Path,
        typer.Argument(
            metavar="ROWS",
            help="CSV or parquet: method, configuration, k, set, seed, error (or gap, or error_mean, error_sd and n).",
        ),
    ],
    gap: Annotated[list[float] | None, typer.Option(help="Target gap to find k for, a fraction; repeatable.")] = None,
    at: Annotated[list[float] | None, typer.Option(help="k to predict the gap at; repeatable.")] = None,
    fixed_exponent: Annotated[
        bool, typer.Option("--fixed-exponent", help="Hold the exponent at 1/2, the paper's bound.")
    ] = False,
    pool: Annotated[
        bool, typer.Option("--pool", help="Also what each method's laws have in common over configurations.")
    ] = False,
    pair: Annotated[bool, typer.Option("--pair", help="Set each run against the reference of its own seed.")] = False,
    robust: Annotated[bool, typer.Option("--robust", help="Let sets far from the law count less (Huber).")] = False,
    by: Annotated[str, typer.Option("--interval", help="profile, cluster_bootstrap or bayes.")] = "profile",
    axis: Annotated[str, typer.Option(help="The column that stands for k, such as bytes.")] = "k",
    budget: Annotated[float | None, typer.Option(help="What may be spent: the gap at the k that it pays for.")] = None,
    cost: Annotated[float, typer.Option(help="Of one sample, in the budget's unit.")] = 1.0,
    fixed_cost: Annotated[float, typer.Option(help="Of a set of any size, in the budget's unit.")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Fit the scaling law to any table of results."""
    from limbeck.laws import answer, read_rows
    from limbeck.laws.decisions import Budget
    from limbeck.laws.scaling import INTERVALS

    if by not in INTERVALS:
        raise BadSetting(f"'{by}' is no kind of interval. {nearest(by, INTERVALS)}")
    fitted = answer(
        read_rows(rows),
        gap or [],
        at or [],
        exponent=0.5 if fixed_exponent else "free",
        interval=by,
        pool=pool,
        axis=axis,
        pair=pair,
        robust=robust,
        budget=None if budget is None else Budget(budget, cost, fixed_cost),
    )
    if as_json:
        print_json(fitted)
        return
    print_table([_law_line(fit) for fit in fitted["fits"]])
    names = ("method", "configuration")
    notes = [{name: fit[name] for name in names} | note for fit in fitted["fits"] for note in fit["notes"]]
    print("", *remarks(notes, len(fitted["fits"])), sep="\n")
    if pool:
        _print_pooled(fitted)


def _law_line(fit: dict[str, Any]) -> dict[str, Any]:
    """A law in a line; with the exponent held, the required k of the free one stands beside."""
    line = {"method": fit["method"], "configuration": fit["configuration"]}
    line |= {name: interval(fit[name]) for name in ("floor", "exponent", "amplitude", "saturation_k")}
    line |= {f"k for {need['gap']:g}": interval(need, samples=True) for need in fit["required_k"]}
    if free := fit.get("free_exponent"):
        line |= {f"k for {need['gap']:g}, exponent free": interval(need, samples=True) for need in free["required_k"]}
    return line | {f"gap at {point['k']:g}": interval(point) for point in fit["predictions"]}


def _print_pooled(fitted: dict[str, Any]) -> None:
    """The mean law of each method, where a new configuration's is expected, and how far configurations differ.

    Shared noise is the correlation of what a set adds under two configurations.
    """
    lines = []
    for family in fitted["pooled"]:
        for name, one in family.get("parameters", {}).items():
            line = {"method": family["method"], "laws": family["laws"], "parameter": name}
            line |= {"mean": interval(one["mean"]), "new configuration": interval(one["new_law"])}
            line |= {"I2": f"{100 * one['i_squared']:.0f} %", "p of one for all": one["equal_p"]}
            lines.append(line | {"shared noise": f"{family['shared']:.2f}"})
    print()
    if lines:
        print_table(lines)
    for family in fitted["pooled"]:
        for note in family["notes"]:
            print(f"{family['method']}: {note['message']}")
    below = [one for one in fitted["tests"]["exponent_below_half"] if one["holm"] < 0.05]
    for one in below:
        print(f"{law_name(one)}: exponent below 1/2 (p = {one['holm']:.2g} by Holm).")


@app.command(name="list")
def list_variants(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help=f"One of {', '.join(FAMILIES)}.")] = "methods",
    as_json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the Markdown table of the documentation.")
    ] = False,
) -> None:
    """List what there is to choose from."""
    from limbeck.variants import find, members

    if family not in FAMILIES:
        raise BadSetting(f"'{family}' is no family. {nearest(family, FAMILIES)}")
    facts = [find(family, name).about() for name in members(family)]
    if as_json:
        print_json(facts)
        return
    columns = [key for key in facts[0] if key != "settings"]
    if markdown:
        print_markdown(facts, columns)
    else:
        print_table(facts, columns)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="A study's folder or a set's.")],
    as_json: JsonOption = False,
) -> None:
    """Check every file against the digest that was written with it."""
    from limbeck.study import verify as check
    from limbeck.synthetic import SyntheticSet

    if not any(path.rglob("*.json")):
        known = "holds neither a study nor a set" if path.is_dir() else "is no folder"
        raise MissingData(f"{path} {known}. Give the folder of one, such as runs/NAME.")
    if (path / "set.json").exists():
        SyntheticSet.load(path)
        problems: list[str] = []
    else:
        problems = [f"{problem.path}: {problem.message}" for problem in check(path)]
    if as_json:
        print_json({"path": str(path), "problems": problems})
    else:
        print("\n".join(problems) or f"{path}: every file is as it was written.")
    if problems:
        raise typer.Exit(1)


@app.command()
def show(
    folder: SetArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="PNG file; by default set.png in the folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a set's images, a row a class, as one PNG sheet."""
    from limbeck.export import pixels, sheet_png
    from limbeck.synthetic import SyntheticSet

    held = SyntheticSet.load(folder)
    if not held.domain.is_image:
        raise BadSetting(f"{folder} holds vectors of {held.domain.shape[0]} features, not images. Use limbeck export.")
    samples = held.samples()
    path = out or folder / "set.png"
    sheet_png(pixels(samples.x, _undo(held)), samples.group.numpy(), path)
    labeller = held.labeller
    if as_json:
        print_json({"path": str(path)} | ({"labeller": labeller.about()} if labeller else {}))
        return
    print(f"{len(samples)} images in {path}.")
    if labeller:
        stored = sum(tensor.nbytes for tensor in labeller.state().values())
        print(f"Every view of them is labelled by a {labeller.architecture.spec} that the set carries: {size(stored)}.")


@app.command()
def export(
    folder: SetArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file (npz) or folder (png, huggingface) to write.")],
    to: Annotated[str, typer.Option(help="npz, png or huggingface.")] = "npz",
    as_json: JsonOption = False,
) -> None:
    """Write a set in a form that others read."""
    from limbeck.export import export_huggingface, export_npz, export_png_folder
    from limbeck.synthetic import SyntheticSet

    held = SyntheticSet.load(folder)
    names = held.provenance.get("class_names")
    if to == "npz":
        export_npz(held, out, _preprocessing(held))
    elif to == "png":
        export_png_folder(held, out, classes=names, undo=_undo(held))
    elif to == "huggingface":
        export_huggingface(held, out, classes=names, undo=_undo(held))
    else:
        raise BadSetting(f"a set can't be exported to '{to}'. {nearest(to, ['npz', 'png', 'huggingface'])}")
    if as_json:
        print_json({"path": str(out), "form": to, "k": held.k})
    else:
        print(f"{held.k} samples in {out}.")


def _undo(held: SyntheticSet) -> Undo | None:
    """How the set's samples turn back into pictures; nothing for vectors, which are none."""
    if not held.domain.is_image:
        return None
    found = _preprocessing(held)
    return None if found is None else found.undo


def _preprocessing(held: SyntheticSet) -> Preprocessing | None:
    """What prepares other samples as the set's were: from its own description, or else from its source.

    None where the source can't be read any more, or is no longer the same; that is said.
    """
    from limbeck.sources import load_source
    from limbeck.sources._preprocessing import Preprocessing

    try:
        return Preprocessing.restored(held.preprocessing)
    except CorruptFile:  # numbers of each feature are not in the description
        pass
    try:
        found = load_source(held.source).preprocessing
    except LimbeckError as error:
        why = str(error)
    else:
        if found.digest == held.preprocessing.get("digest"):
            return found
        why = f"{held.source} is now prepared in another way."
    print(f"limbeck: without the numbers of its preprocessing: {why}", file=sys.stderr)
    return None
