"""Bring the results of several folders of one study together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.durability import sync
from limbeck.errors import BadData, CorruptFile, MissingData
from limbeck.store import read_bytes, read_record, same_record, write_bytes
from limbeck.study.folder import FAILED, StudyFolder, differences
from limbeck.study.parcel import object_files

MEASURED = ("seconds", "processor_seconds", "peak_memory_bytes", "finished", "limbeck")
"""What a record says of the run, not of the result."""
MEASURED_OF_ROWS = ("cost_seconds",)


@dataclass(frozen=True)
class Merged:
    """What a merge did. `conflicts` are cells that two folders answer differently; the first answer was kept."""

    copied: int
    known: int
    conflicts: tuple[str, ...]
    unreadable: tuple[Path, ...]


def merge(into: StudyFolder, others: Sequence[StudyFolder]) -> Merged:
    """Copy what is finished elsewhere and not here. Nothing that is here, as it was written, is changed.

    Tensors are made durable before the records that name them, each together: the same command mends what a power cut
    takes. Cells are pure, so two folders that differ on one cell mean another machine, another library or a changed
    file: each such cell is named in `conflicts`. A failure here is kept beside a success from there, which then counts.

    Raises `BadData` where a folder holds another study.
    """
    known = 0
    conflicts, unreadable = [], []
    copies: dict[Path, Path] = {}  # what is to come here, and from where
    objects: list[Path] = []
    for other in others:
        if changes := differences(other.study.settings(), into.study.settings()):
            raise BadData(f"{other.path} holds another study than {into.path}: {'; '.join(changes)}. Name its own.")
        into.add(other.additions())
        for path in _records(other.path):
            here = into.path / path.relative_to(other.path)
            try:
                record, held = read_record(path), _held(copies.get(here, here))
                if held is None:
                    objects += _copy_object(record, other, into)
                    copies[here] = path
                elif path.name.endswith(FAILED) or same_record(outcome(record), outcome(held)):
                    known += 1
                else:
                    conflicts.append(str(record["id"]))
            except (CorruptFile, MissingData):
                unreadable.append(path)
    sync(objects)
    for here, path in copies.items():
        write_bytes(here, read_bytes(path), durable=False)
    sync(copies)
    return Merged(len(copies), known, tuple(conflicts), tuple(unreadable))


def outcome(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what was measured of its run: equal for equal cells, on one kind of machine."""
    kept = {key: value for key, value in record.items() if key not in MEASURED}
    if "rows" in kept:
        kept["rows"] = [
            {key: value for key, value in row.items() if key not in MEASURED_OF_ROWS} for row in kept["rows"]
        ]
    return kept


def _held(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none as it was written."""
    try:
        return read_record(path)
    except (CorruptFile, MissingData):
        return None


def _records(root: Path) -> Iterator[Path]:
    yield from (path for path in sorted((root / "cells").rglob("*.json")) if not path.name.startswith("."))


def _copy_object(record: dict[str, Any], other: StudyFolder, into: StudyFolder) -> list[Path]:
    """Tensors first and their manifest last, as they were written. A record arrives after what it names."""
    name = record.get("object")
    if name is None:
        return []
    for there, here in zip(object_files(other, name), object_files(into, name), strict=True):
        write_bytes(here, read_bytes(there), durable=False)
    return object_files(into, name)
