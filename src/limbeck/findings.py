"""What a study found, as the one plain dict that the report shows: rows, laws, plan, pictures, failures."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import Any

from limbeck import __version__
from limbeck.export import pixels, sheet_png
from limbeck.laws import answer
from limbeck.planner import plan
from limbeck.sources import load_source
from limbeck.study import StudyFolder, table
from limbeck.study.work import load_set

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
        found["fits"] = answer(rows, [target])["fits"]
        found["plan"] = plan(rows, gap=target).to_dict()
        found["notes"] = [advice for law in found["plan"]["guidance"] for advice in law["advice"]]
    found["images"] = _images(folder)
    return found


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
        undo = load_source(folder.study.source).preprocessing.undo
        caption = f"{made.method}: {made.per_class} per class, a row a class, set {cell.payload.get('set', 0)}"
        sheet = sheet_png(pixels(samples.x, undo), samples.group.numpy())
        pictures.append({"method": made.method, "per_class": made.per_class, "caption": caption, "png": sheet})
    return pictures
