"""The fsck of a study folder: every record and every tensor, against its digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.digest import digest
from limbeck.errors import LimbeckError
from limbeck.store import read_bytes, read_record, read_tensors
from limbeck.study.folder import FAILED, StudyFolder


@dataclass(frozen=True)
class Problem:
    """A file that is not what it should be, and what to do."""

    path: Path
    message: str


def verify(folder: Path | str) -> list[Problem]:
    """Check every record and tensor of a study folder, or of a plain folder of sets; an empty list is a clean bill.

    A record must be as it was written, lie where its id says, have the id that its payload gives, and name objects
    that are there and whole.
    """
    root = Path(folder)
    if not root.is_dir():
        return [Problem(root, "is no folder. Check the path.")]
    if not (root / "study.json").exists() and ((root / "study.toml").exists() or (root / "cells").is_dir()):
        return [
            Problem(root / "study.json", "is not there, though a study's other files are. Run the study's file again.")
        ]
    if not (root / "study.json").exists():
        return [problem for path in sorted(root.rglob("*.json")) for problem in _object(path)]
    return [*_study(StudyFolder(root)), *_cells(StudyFolder(root)), *_objects(root)]


def _study(folder: StudyFolder) -> Iterator[Problem]:
    try:
        if read_bytes(folder.path / "study.toml") != folder.study.toml().encode():
            message = "is not as it was written; nothing reads it. Edit your own study file and run that."
            yield Problem(folder.path / "study.toml", message)
    except LimbeckError as error:
        yield Problem(folder.path, str(error))


def _cells(folder: StudyFolder) -> Iterator[Problem]:
    for path in sorted((folder.path / "cells").rglob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            record = read_record(path)
        except LimbeckError as error:
            yield Problem(path, str(error))
            continue
        yield from (Problem(path, message) for message in _faults(folder, path, record))


def _faults(folder: StudyFolder, path: Path, record: dict[str, Any]) -> Iterator[str]:
    again = "Delete it and run the study again."
    own = record.get("id")
    if own != digest([record.get("kind"), record.get("payload")]):
        yield f"has an id that its payload does not give. {again}"
    elif path not in (folder.record_path(str(own)), folder.failure_path(str(own))):
        yield f"lies where the record of another cell belongs. {again}"
    elif ("failed" in record) != path.name.endswith(FAILED):
        yield f"says that its cell {'failed' if 'failed' in record else 'finished'}, its name the contrary. {again}"
    name = record.get("object")
    if name is None:
        return
    try:
        manifest = read_record(folder.objects(name) / f"{name}.json")
    except LimbeckError:
        yield f"names tensors that are not there or not readable ({name[:12]}). {again}"
        return
    if "set" in record and manifest["about"].get("digest") != record["set"]:
        yield f"names a set whose samples are others ({name[:12]}). {again}"


def _objects(root: Path) -> Iterator[Problem]:
    for path in sorted((root / "objects").rglob("*.json")):
        yield from _object(path)


def _object(manifest: Path) -> Iterator[Problem]:
    if manifest.name.startswith("."):
        return
    try:
        if "tensors" in read_record(manifest):
            read_tensors(manifest.parent, manifest.stem)
    except LimbeckError as error:
        yield Problem(manifest, str(error))
