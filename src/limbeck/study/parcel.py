"""A cell's files as one value, to be sent where there is no shared disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import CorruptFile
from limbeck.store import parse_record, read_bytes, safe_name, write_bytes
from limbeck.study.folder import StudyFolder

SUFFIXES = (".safetensors", ".json")
"""Of an object's files: the manifest last, so that tensors whose manifest can be read are complete."""


@dataclass(frozen=True)
class Parcel:
    """The bytes of a cell's record, finished or failed, and of the object that it names, as they were written."""

    cell: str
    record: bytes
    tensors: tuple[bytes, ...] = ()  # in the order of SUFFIXES, or empty

    @classmethod
    def pack(cls, folder: StudyFolder, cell: str) -> Parcel:
        """A cell's files. Raises `MissingData` or `CorruptFile`."""
        path = folder.record_path(cell)
        content = read_bytes(path if path.exists() else folder.failure_path(cell))
        name = parse_record(content, path).get("object")
        return cls(cell, content, tuple(read_bytes(file) for file in object_files(folder, name)) if name else ())

    def unpack(self, folder: StudyFolder, *, durable: bool = True) -> dict[str, Any]:
        """Write the files into a folder, the record after what it names, and return the record.

        Without `durable` the caller syncs the record, see `StudyFolder.write`.

        Raises `CorruptFile` where the record is not as it was written, and `StoreFailure`.
        """
        record = parse_record(self.record, folder.record_path(self.cell))
        if record.get("id") != self.cell:
            raise CorruptFile(f"a record of another cell came back for {self.cell[:12]}. Run the study again.")
        if self.tensors:
            for path, content in zip(object_files(folder, record["object"]), self.tensors, strict=True):
                write_bytes(path, content)
        folder.write(self.cell, record, durable=durable)
        return record


def object_files(folder: StudyFolder, name: str) -> list[Path]:
    """Where an object's files are, or will be, in the order of writing. Raises `BadSetting` for a hostile name."""
    safe_name(name)
    return [folder.objects(name) / f"{name}{suffix}" for suffix in SUFFIXES]
