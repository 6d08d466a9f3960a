"""Verbs that make sets and train on them: distill, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli import app
from limbeck.cli.printing import duration, print_json, print_table, size
from limbeck.cli.progress import step_bar
from limbeck.cli.tracking import TrackerOption, of_steps, tracked

DEFAULT_CONFIGURATION = "convnet(width=32, depth=2)/adamw(lr=5e-3)/none/cosine(steps=300)"

SourceArgument = Annotated[str, typer.Argument(help="A source, such as digits or 'npz(path=mine.npz)'.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DeviceOption = Annotated[str, typer.Option(help="A torch device: cpu, cuda.")]


@app.command()
def distill(
    source: SourceArgument,
    method: Annotated[str, typer.Argument(help="A method, such as dm or 'dc(steps=200)'.")],
    per_class: Annotated[int, typer.Option("--per-class", "-k", min=1, help="Samples of each class.")] = 10,
    configuration: Annotated[
        str, typer.Option("--configuration", "-c", help="architecture/optimizer/augmentation/schedule to distil for.")
    ] = DEFAULT_CONFIGURATION,
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
    dry_run: Annotated[bool, typer.Option(help="Measure the first steps, say what the whole will take, stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Distil a source into a small synthetic set."""
    from limbeck.cli.pooling import pooled
    from limbeck.cost import forecast
    from limbeck.distillation import distill as run
    from limbeck.sources import load_source
    from limbeck.store import safe_name
    from limbeck.variants import parse

    data = load_source(source)
    pool: dict[str, Any] = {"configurations": pooled(configurations or [], data), "weights": weights}
    if dry_run:
        cost = forecast(
            data, method, configuration, per_class, steps=steps, candidates=candidates, device=device, **pool
        )
        if as_json:
            print_json(cost.to_dict())
            return
        experts = f", {duration(cost.expert_seconds)} of it for {cost.experts} experts" if cost.experts else ""
        print(
            f"{cost.steps} steps of {duration(cost.seconds_per_step)} each: about {duration(cost.seconds)} in all, "
            f"{size(cost.peak_memory_bytes)} of memory{experts}."
        )
        return
    folder = out or Path(safe_name(f"{parse(source)[0]}-{parse(method)[0]}-{per_class}-{seed}".replace(":", "-")))
    _refuse_another(folder, {"method": method, "source": data.spec, "per_class": per_class, "seed": seed})
    facts: dict[str, Any] = {"source": source, "method": method, "per_class": per_class, "seed": seed}
    facts |= {"configuration": configuration}
    with tracked(tracker, folder.name, facts) as note, step_bar(method, quiet=as_json) as show:
        made = run(
            data, method, configuration, per_class, seed=seed, steps=steps, seconds=seconds,
            candidates=candidates, folder=folder, on_progress=of_steps(note, show), device=device, **pool,
        )  # fmt: skip
    made.save(folder)
    for checkpoint in folder.glob("checkpoint-*"):
        checkpoint.unlink()
    facts = {"folder": str(folder), "k": made.k, "bytes": made.bytes, "digest": made.digest}
    facts |= {"method": made.method, "steps": made.provenance["steps"], "seconds": made.provenance["seconds"]}
    facts["candidates"] = made.provenance["candidates"]
    if as_json:
        print_json(facts)
        return
    print(f"{made.k} samples ({size(made.bytes)}) in {folder} after {duration(facts['seconds'])}.")
    print(f"Next: limbeck evaluate {folder}, or limbeck show {folder} to see them.")


def _refuse_another(folder: Path, wanted: dict[str, Any]) -> None:
    """Raise `BadSetting` where a folder holds a set of another recipe, which would be lost."""
    from limbeck.errors import BadSetting, CorruptFile, MissingData
    from limbeck.synthetic import SyntheticSet
    from limbeck.variants import make

    try:
        held = SyntheticSet.load(folder)
    except (MissingData, CorruptFile):  # what is broken is made anew
        return
    wanted = {**wanted, "method": make("methods", wanted["method"]).spec}
    odd = [f"{name}={getattr(held, name)}" for name, value in wanted.items() if getattr(held, name) != value]
    if odd:
        raise BadSetting(f"{folder} holds another set ({', '.join(odd)}). Choose another --out, or remove that folder.")


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
    """Train on a set under configurations and seeds, and test: one row a training."""
    from limbeck.evaluation import cached_reference, with_gaps
    from limbeck.evaluation import evaluate as run
    from limbeck.sources import load_source
    from limbeck.synthetic import SyntheticSet

    held = SyntheticSet.load(folder)
    data = load_source(source or held.source)
    rows = []
    for chosen in configuration or [held.configuration or DEFAULT_CONFIGURATION]:
        rows += run(held, chosen, data, range(seeds), device=device)
        rows += cached_reference(data, chosen, range(reference_seeds), device=device)
    rows = with_gaps(rows)
    if as_json:
        print_json({"rows": rows})
        return
    print_table(rows, ["method", "k", "set", "configuration", "seed", "error", "gap", "cost_seconds"])
