"""What a study found, as the one plain dict that the report shows: rows, laws, plan, pictures, failures."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from limbeck import __version__
from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.errors import BadData, CorruptFile, Diverged
from limbeck.export import pixels, sheet_png
from limbeck.laws import groups
from limbeck.laws.advice import classes_of
from limbeck.laws.answers import answers_of
from limbeck.laws.coverage_answer import coverage_answer
from limbeck.laws.law import laws_of
from limbeck.laws.profiles import read_all, risk_profile
from limbeck.measures.distances.spec import Spec
from limbeck.measures.split_seeds import DistanceMatrix
from limbeck.measures.yardstick import Ground, measure_ground, measure_set
from limbeck.planner import plan_of
from limbeck.sources import Preprocessing, Source, load_source
from limbeck.store import read_record, write_record
from limbeck.study import StudyFolder, table
from limbeck.study.work import load_set
from limbeck.synthetic import SyntheticSet
from limbeck.variants import make

PICTURED_PER_CLASS = 10


def findings(folder: StudyFolder, gap: float | None = None) -> dict[str, Any]:
    """The dict of `limbeck.report.build_report` for a study's folder, finished or not.

    `gap` is the target that the plan answers for, by default the study's own.
    """
    study = folder.study
    target = study.target_gap if gap is None else gap
    rows = [row for row in table(folder) if row["error"] is not None]
    found: dict[str, Any] = {"title": study.name, "study": _study(folder), "rows": rows, "failures": _failures(folder)}
    if any(row["method"] != "reference" for row in rows):
        laws = laws_of(groups(rows))
        found["fits"] = answers_of(laws, [target])
        found["plan"] = plan_of(laws, gap=target, classes=classes_of(rows)).to_dict()
        found["notes"] = [advice for law in found["plan"]["guidance"] for advice in law["advice"]]
        if target is not None and len(study.evaluated) > 1:
            found["coverage"] = coverage(folder, rows, target)
    found["images"] = _images(folder)
    return found


def coverage(folder: StudyFolder, rows: Sequence[Mapping[str, Any]], gap: float) -> dict[str, Any]:
    """The answer of `limbeck coverage` for a study, or `{"refusal"}` with its reason where too little is there."""
    try:
        return coverage_answer(rows, gap, untrained_distances(folder, rows))
    except BadData as error:
        return {"refusal": str(error)}


def untrained_distances(folder: StudyFolder, rows: Sequence[Mapping[str, Any]]) -> list[DistanceMatrix]:
    """The distances of a study's configurations that need no training: the risk profile of its rows, and the settings'.

    Raises `BadData` where the rows have too few sets or seeds for a risk profile.
    """
    study = folder.study
    return [risk_profile(read_all(rows)), Spec().between(study.evaluated)]


def discrepancies(
    folder: StudyFolder,
    *,
    every: int = 25,
    device: str = "cpu",
    on_done: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """The rows of `laws.interchange_answer`: every finished set of a study, trained on under all its configurations.

    Every `every`-th step of each training is measured. Rows are kept in the study's folder and measured once. Of a
    training that diverges no row is returned; `on_done` is told of it, with `failed`, its reason.
    """
    study, finished = folder.study, folder.finished()
    source, rows = load_source(study.source), []
    for cell in folder.cells():
        if cell.kind != "distill" or cell.id not in finished:
            continue
        made = load_set(folder, cell.id)
        steps, seconds = (made.provenance.get(name) or 0 for name in ("steps", "seconds"))
        head = {"method": _whole(made.method), "k": made.k, "set": cell.payload["set"]}
        head |= {"home": made.configuration, "steps": steps, "seconds": seconds}
        for configuration in study.evaluated:
            asked = [made.digest, configuration.digest, source.digest, cell.payload["set"], every]
            path = folder.path / "discrepancies" / f"{digest(asked)}.json"
            if not path.exists():
                seed = int(cell.payload["set"])
                found: dict[str, Any]
                try:
                    ground = _ground(folder, source, configuration, device)
                    found = dict(measure_set(made, source, configuration, ground, seed, every=every, device=device))
                except Diverged as error:
                    found = {"failed": str(error)}
                write_record(path, found)
            row = {**head, "configuration": configuration.spec, **read_record(path)}
            if "failed" not in row:
                rows.append(row)
            if on_done:
                on_done(row)
    return rows


def _whole(text: str) -> str:
    """A method's name without its number of steps: what sets stopped early share with those that were not."""
    method = make("methods", text)
    steps = type(method).model_fields.get("steps")
    return str(method.spec if steps is None else method.with_settings(steps=steps.default).spec)


def _ground(folder: StudyFolder, source: Source, configuration: Configuration, device: str) -> Ground:
    path = folder.path / "discrepancies" / f"{digest([configuration.digest, source.digest])}.json"
    if not path.exists():
        write_record(path, measure_ground(source, configuration, device=device).to_dict())
    return Ground.read(read_record(path))


def _study(folder: StudyFolder) -> dict[str, Any]:
    import numpy
    import torch

    name = (folder.path / "study.toml").name
    return {
        "name": folder.study.name,
        "source": folder.study.source,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"limbeck study run {name} && limbeck report {name}",
        "toml": (folder.path / "study.toml").read_text(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "versions": {"limbeck": __version__, "torch": torch.__version__, "numpy": numpy.__version__},
    }


def _failures(folder: StudyFolder) -> list[dict[str, str]]:
    failed = folder.failed()
    return [
        {"cell": cell.title, "reason": folder.failure(cell.id)["failed"]}
        for cell in folder.cells()
        if cell.id in failed
    ]


def _preprocessing(folder: StudyFolder, made: SyntheticSet) -> Preprocessing:
    """What a set's own description says, or, where it has not all numbers, its source."""
    try:
        return Preprocessing.restored(made.preprocessing)
    except CorruptFile:
        return load_source(folder.study.source).preprocessing


def _images(folder: StudyFolder) -> list[dict[str, Any]]:
    """One sheet a method: its first set with at most ten images a class, the largest that there is."""
    finished = folder.finished()
    chosen: dict[str, Any] = {}
    for cell in folder.cells():
        held = cell.payload
        if cell.kind != "distill" or cell.id not in finished or held["per_class"] > PICTURED_PER_CLASS:
            continue
        kept = chosen.get(held["method"])
        if kept is None or held["per_class"] > kept.payload["per_class"]:
            chosen[held["method"]] = cell
    pictures = []
    for cell in chosen.values():
        made = load_set(folder, cell.id)
        if not made.domain.is_image:
            continue
        samples = made.samples()
        undo = _preprocessing(folder, made).undo
        caption = f"{made.method}: {made.per_class} per class, a row a class, set {cell.payload.get('set', 0)}"
        sheet = sheet_png(pixels(samples.x, undo), samples.group.numpy())
        pictures.append({"method": made.method, "per_class": made.per_class, "caption": caption, "png": sheet})
    return pictures
