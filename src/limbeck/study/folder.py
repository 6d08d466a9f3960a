"""The folder of a study: records of finished cells, their tensors, and the study file that they were run from.

    <runs>/<study name>/
        study.toml            the study, every setting written out
        study.json            the same with the facts of its source: what is read
        cells/ab/<id>.json            a finished cell
        cells/ab/<id>.failed.json     why a cell failed; gone when a retry succeeds
        additions/<digest>.json       work beyond the study file, see `limbeck.study.additions`
        objects/ab/<digest>.*         tensors, named by their content
        work/<id>/                    checkpoints of an unfinished distillation

Files only, each whole or absent: safe on a shared disk, and merged by copying. A record that a power cut has torn is
found by its digest, and its cell is made anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from limbeck.durability import GROUP_SECONDS
from limbeck.errors import BadData, CorruptFile, MissingData, StoreFailure, StudyChanged
from limbeck.store import read_record, write_bytes, write_record
from limbeck.study.additions import Addition
from limbeck.study.cells import Cell
from limbeck.study.grid import Facts
from limbeck.study.study import Study
from limbeck.variants import build

FORMAT = 1
FAILED = ".failed.json"


@dataclass(frozen=True)
class StudyFolder:
    """One study's folder on disk."""

    path: Path

    @classmethod
    def open(cls, study: Study, runs: Path | str, *, extend: bool = False) -> StudyFolder:
        """The folder of a study under `runs`, made where it is not there yet; the source is read for it.

        Raises `StudyChanged` where cells were run from other settings and `extend` is not given.
        """
        folder = cls(Path(runs) / study.name)
        facts = study.facts()
        own: dict[str, Any] = {"format": FORMAT, "settings": study.settings(), "facts": facts.about()}
        if (folder.path / "study.json").exists():
            held = folder._about
            if changes := differences(held["settings"], own["settings"]):
                if not extend and (folder.finished() or folder.failed()):
                    raise StudyChanged(
                        f"the study is not the one that {folder.path} was run from: {'; '.join(changes)}. Give "
                        "--extend to go on with the new one (finished cells that still belong to it are kept, nothing "
                        "is deleted), or give it another name."
                    )
            else:
                return folder
        write_bytes(folder.path / "study.toml", study.toml().encode())
        write_record(folder.path / "study.json", own)
        return cls(folder.path)

    @cached_property
    def study(self) -> Study:
        """The study that the folder was last run from. Raises `MissingData` or `CorruptFile`."""
        study = build(Study, self._about["settings"], str(self.path))
        assert isinstance(study, Study)
        return study

    @cached_property
    def facts(self) -> Facts:
        """The facts of the source that the study was run on."""
        return Facts.read(self._about["facts"])

    @cached_property
    def _about(self) -> dict[str, Any]:
        if not (self.path / "study.json").exists():
            raise MissingData(
                f"{self.path} holds no study. Run `limbeck study run FILE.toml` first, or check the path."
            )
        about = read_record(self.path / "study.json")
        if about.get("format", 0) > FORMAT:
            raise BadData(f"{self.path} was written by a newer limbeck (format {about['format']}). Upgrade limbeck.")
        return about

    def check_source(self) -> None:
        """Raise `StudyChanged` where the source's data are no longer those that the finished cells were run on."""
        if self.study.facts().digest != self.facts.digest:
            raise StudyChanged(
                f"the data of {self.study.source} are not those that {self.path} was run on (their digests differ). "
                "Restore the data, or give the study another name."
            )

    def cells(self) -> list[Cell]:
        """The study's cells, without reading its source."""
        return self.study.cells(self.facts, self.additions())

    def additions(self) -> list[Addition]:
        """What was added to the study's file, in a fixed order. Raises `CorruptFile` or `BadData`."""
        return sorted(Addition.read(read_record(path)) for path in sorted((self.path / "additions").glob("*.json")))

    def add(self, additions: Iterable[Addition]) -> None:
        """Remember work beyond the study's file; what is known already changes nothing. Raises `StoreFailure`."""
        for one in additions:
            write_record(self.path / "additions" / f"{one.name}.json", one.about())

    def record_path(self, cell_id: str) -> Path:
        """Where a cell's record is, or will be."""
        return self.path / "cells" / cell_id[:2] / f"{cell_id}.json"

    def failure_path(self, cell_id: str) -> Path:
        """Where a cell's failure is told."""
        return self.path / "cells" / cell_id[:2] / f"{cell_id}{FAILED}"

    def objects(self, name: str) -> Path:
        """The folder of an object's files, by its digest."""
        return self.path / "objects" / name[:2]

    def work(self, cell_id: str) -> Path:
        """The folder of a cell's checkpoints."""
        return self.path / "work" / cell_id

    def record(self, cell_id: str) -> dict[str, Any]:
        """A finished cell's record. Raises `MissingData` or `CorruptFile`."""
        return read_record(self.record_path(cell_id))

    def failure(self, cell_id: str) -> dict[str, Any]:
        """A failed cell's record. Raises `MissingData` or `CorruptFile`."""
        return read_record(self.failure_path(cell_id))

    def write(self, cell_id: str, record: dict[str, Any], *, durable: bool = True) -> None:
        """Remember a cell's record, finished or failed. Raises `StoreFailure`.

        Without `durable` the caller syncs it, together with others; that of long work is synced here even so, before
        its checkpoints are dropped.
        """
        durable = durable or record["seconds"] >= GROUP_SECONDS
        if "failed" in record:
            write_record(self.failure_path(cell_id), record, durable=durable)
            return
        write_record(self.record_path(cell_id), record, durable=durable)
        try:
            self.failure_path(cell_id).unlink(missing_ok=True)
            shutil.rmtree(self.work(cell_id), ignore_errors=True)
        except OSError as error:
            raise StoreFailure(f"{self.path} refuses changes: {error.strerror}. Finished results are intact.") from None

    def finished(self, *, checked: bool = False) -> set[str]:
        """Ids of finished cells, by the names of their files alone: quick with 100,000 of them.

        With `checked` every record is read, and one that is not as it was written counts as none.
        """
        names = {name.removesuffix(".json") for name in self._names() if not name.endswith(FAILED)}
        return {name for name in names if _whole(self.record_path(name))} if checked else names

    def failed(self, *, checked: bool = False) -> set[str]:
        """Ids of cells that failed and were not finished since; `checked` as in `finished`."""
        names = {name.removesuffix(FAILED) for name in self._names() if name.endswith(FAILED)} - self.finished()
        return {name for name in names if _whole(self.failure_path(name))} if checked else names

    def _names(self) -> Iterator[str]:
        root = self.path / "cells"
        if not root.is_dir():
            return
        for part in sorted(os.listdir(root)):
            if (root / part).is_dir():
                yield from (
                    name for name in os.listdir(root / part) if name.endswith(".json") and not name.startswith(".")
                )


def _whole(path: Path) -> bool:
    """Whether a record is as it was written."""
    try:
        return bool(read_record(path))
    except CorruptFile:
        return False


def differences(held: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """What differs between two studies' settings, a phrase each; comments and the order of keys are no difference."""
    found = []
    for key in sorted({*held, *own}):
        before, after = (settings.get(key, _default(key)) for settings in (held, own))
        if before == after:
            continue
        if isinstance(before, list) and isinstance(after, list):
            added = [str(value) for value in after if value not in before]
            removed = [str(value) for value in before if value not in after]
            parts = [f"added {', '.join(added)}"] * bool(added) + [f"removed {', '.join(removed)}"] * bool(removed)
            found.append(f"{key}: {' and '.join(parts) or 'another order'}")
        else:
            found.append(f"{key} was {before!r}, is {after!r}")
    return found


def _default(key: str) -> Any:
    """What a setting is where it is not written, as the device of studies on the processor."""
    return Study.model_fields[key].default if key in Study.model_fields else None
