"""Verbs that make sets and train on them: distill, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import app
from limbeck.cli.printing import duration, print_json, print_table, size
from limbeck.cli.progress import spinner, step_bar
from limbeck.cli.tracking import TrackerOption, of_steps, tracked

if TYPE_CHECKING:
    from limbeck.samples import Domain
    from limbeck.synthetic import SyntheticSet

FOR_IMAGES = "convnet(width=32, depth=2)/adamw(lr=5e-3)/none/cosine(steps=300)"
FOR_VECTORS = "mlp/adamw/none/cosine(steps=300)"

SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A source, such as digits or 'npz(path=mine.npz)'.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DeviceOption = Annotated[str, typer.Option(help="A torch device: cpu, cuda.")]


@app.command()
def distill(
    source: SourceArgument,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method, such as dm or 'dc(steps=200)'.")],
    per_class: Annotated[int, typer.Option("--per-class", "-k", min=1, help="Samples of each class.")] = 10,
    configuration: Annotated[
        str,
        typer.Option(
            "--configuration",
            "-c",
            help="architecture/optimizer/augmentation/schedule to distil for.",
            show_default=f"{FOR_IMAGES}; of vectors {FOR_VECTORS}",
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the set and of its checkpoints.")] = None,
    seed: Annotated[int, typer.Option(help="Seed; another seed is another replicate set.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many updates of the set.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="At most so many seconds.")] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Sets compared on validation data; 1 keeps the last.")] = 4,
    configurations: Annotated[
        list[str] | None,
        typer.Option(help="Draw states from this configuration too, or from 'cover:4 of FILE'; repeat for several."),
    ] = None,
    weights: Annotated[str, typer.Option(help="How several are weighed: equal or worst-case.")] = "equal",
    device: DeviceOption = "cpu",
    tracker: TrackerOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure the first steps, say what the whole will take, stop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Distil a source into a small synthetic set. The same command goes on after a stop."""
    from limbeck.checkpoint import drop
    from limbeck.cli.pooling import pooled
    from limbeck.configuration import Configuration
    from limbeck.cost import forecast
    from limbeck.distillation import distill as run
    from limbeck.sources import load_source
    from limbeck.spelling import parse
    from limbeck.store import check_writable, safe_name
    from limbeck.variants import make

    make("methods", method), Configuration.parse(configuration or FOR_IMAGES)  # what can't be is said before all work
    data = load_source(source)
    configuration = configuration or usual_configuration(data.domain)
    pool: dict[str, Any] = {"configurations": pooled(configurations or [], data), "weights": weights}
    if dry_run:
        with spinner("measuring the first steps", as_json):
            cost = forecast(
                data, method, configuration, per_class, steps=steps, candidates=candidates, device=device, **pool
            )
        if as_json:
            print_json(cost.to_dict())
            return
        if not cost.steps:
            print(f"{method} takes no steps: about {duration(cost.seconds)}, {size(cost.peak_memory_bytes)} of memory.")
            return
        experts = f", {duration(cost.expert_seconds)} of it for {cost.experts} experts" if cost.experts else ""
        print(
            f"{cost.steps} steps of {duration(cost.seconds_per_step)} each: about {duration(cost.seconds)} in all, "
            f"{size(cost.peak_memory_bytes)} of memory{experts}."
        )
        return
    folder = out or Path(safe_name(f"{parse(source)[0]}-{parse(method)[0]}-{per_class}-{seed}".replace(":", "-")))
    wanted: dict[str, Any] = {"method": make("methods", method).spec, "source": data.spec, "per_class": per_class}
    wanted |= {"seed": seed, "configuration": Configuration.parse(configuration).spec, "source_digest": data.digest}
    wanted |= {"steps": steps, "seconds": seconds, "candidates": candidates}
    wanted |= {"configurations": [Configuration.parse(one).spec for one in pool["configurations"]], "weights": weights}
    if made := _held(folder, wanted):
        _tell_of(made, folder, as_json, again=True)
        return
    check_writable(folder)
    facts: dict[str, Any] = {"source": source, "method": method, "per_class": per_class, "seed": seed}
    facts |= {"configuration": configuration}
    with tracked(tracker, folder.name, facts) as note, step_bar(method, quiet=as_json) as show:
        made = run(
            data, method, configuration, per_class, seed=seed, steps=steps, seconds=seconds,
            candidates=candidates, folder=folder, on_progress=of_steps(note, show), device=device, **pool,
        )  # fmt: skip
    made.save(folder)
    drop(folder, made.provenance["run"])
    _tell_of(made, folder, as_json)


def usual_configuration(domain: Domain) -> str:
    """What is trained where no configuration is given."""
    return FOR_IMAGES if domain.is_image else FOR_VECTORS


def _tell_of(made: SyntheticSet, folder: Path, as_json: bool, again: bool = False) -> None:
    """What was made, where it is, and what can be done with it."""
    facts: dict[str, Any] = {"folder": str(folder), "k": made.k, "bytes": made.bytes, "digest": made.digest}
    facts |= {"method": made.method, "steps": made.provenance["steps"], "seconds": made.provenance["seconds"]}
    facts["candidates"] = made.provenance["candidates"]
    if as_json:
        print_json(facts)
        return
    how = "are there already, made by this very command" if again else f"after {duration(facts['seconds'])}"
    print(f"{made.k} samples ({size(made.bytes)}) in {folder} {how}.")
    print(
        f"Next: limbeck evaluate {folder}" + (f", or limbeck show {folder} to see them." * made.domain.is_image or ".")
    )


def _held(folder: Path, wanted: dict[str, Any]) -> SyntheticSet | None:
    """The set that a folder holds, where it is the one that is wanted; None where there is none.

    Raises `BadSetting` where it is of another recipe, budget or data, and would be lost.
    """
    from limbeck.errors import BadSetting, CorruptFile, MissingData
    from limbeck.synthetic import SyntheticSet

    try:
        held = SyntheticSet.load(folder)
    except (MissingData, CorruptFile):  # what is broken is made anew
        return None
    facts, budget = held.provenance, held.provenance.get("budget")
    pool = facts.get("pool") or {"configurations": [], "weighting": wanted["weights"]}
    known = {name: getattr(held, name) for name in ("method", "source", "per_class", "seed", "configuration")}
    known |= {"configurations": pool["configurations"], "weights": pool["weighting"], **(budget or {})}
    known |= {name: facts[name] for name in ("source_digest",) if name in facts}
    odd = [
        f"{name}={known[name]}" if name != "source_digest" else f"of other data of {held.source}"
        for name in wanted
        if name in known and known[name] != wanted[name]
    ]
    if odd:
        raise BadSetting(f"{folder} holds another set ({', '.join(odd)}). Choose another --out, or remove that folder.")
    return held if budget else None  # of an older version, which may have had another budget


@app.command(name="import")
def import_set(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pt file as the papers' repositories publish them.")],
    out: Annotated[Path, typer.Argument(metavar="SET", help="The folder of the set to make.")],
    source: Annotated[str, typer.Option(help="What it was distilled from, prepared as there: preprocessing=zca.")],
    labels: Annotated[Path | None, typer.Option(help="The file of its labels, where they are in another.")] = None,
    experiment: Annotated[int, typer.Option(min=0, help="Which of several sets in the file, from 0.")] = 0,
    method: Annotated[str, typer.Option(help="What its rows are to be called.")] = "published",
    as_json: JsonOption = False,
) -> None:
    """Bring in a published set. Nothing in its file is run."""
    from limbeck.errors import BadSetting
    from limbeck.export import import_published_pt, published_set
    from limbeck.sources import load_source

    if (out / "set.json").exists():
        raise BadSetting(f"{out} holds a set already. Choose another folder, or remove that one.")
    data = load_source(source)
    samples = import_published_pt(file, labels, classes=data.domain.classes, experiment=experiment)
    made = published_set(samples, data, method=method)
    made.save(out)
    if as_json:
        print_json({"folder": str(out), "k": made.k, "bytes": made.bytes, "digest": made.digest, "method": made.method})
    else:
        print(f"{made.k} samples ({size(made.bytes)}) in {out}.")
        print(f"Next: limbeck evaluate {out} -c CONFIGURATION")


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="The folder of a synthetic set.")],
    configuration: Annotated[
        list[str] | None,
        typer.Option("--configuration", "-c", help="Train under this configuration; repeat for several."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="The source to test on; by default the set's own.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each configuration.")] = 3,
    reference_seeds: Annotated[
        int, typer.Option(min=0, help="Trainings on the full data, which the gap is taken against; 0 for none.")
    ] = 3,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Train on a set and test, one row a training. Under every given configuration and seed."""
    from limbeck.dynamics import Dynamics
    from limbeck.evaluation import cached_reference, with_gaps
    from limbeck.evaluation import evaluate as run
    from limbeck.sources import load_source
    from limbeck.synthetic import SyntheticSet

    held = SyntheticSet.load(folder)
    wanted = configuration or [held.configuration or usual_configuration(held.domain)]
    for chosen in wanted:  # a mistake in the last is said before the first is trained
        Dynamics(chosen, held.domain)
    data = load_source(source or held.source)
    rows = []
    for chosen in wanted:
        with spinner(f"training on {held.k} samples under {chosen}", as_json):
            rows += run(held, chosen, data, range(seeds), device=device)
        with spinner(f"training on all data under {chosen}", as_json):
            rows += cached_reference(data, chosen, range(reference_seeds), device=device)
    rows = with_gaps(rows)
    if as_json:
        print_json({"rows": rows})
        return
    print_table(rows, ["method", "k", "set", "configuration", "seed", "error", "gap", "cost_seconds"])
