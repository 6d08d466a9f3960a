"""Files that are whole or absent, and that say when they have been changed.

A record is one JSON file. Tensors are one safetensors file beside a manifest with the SHA-256 of every tensor, because
safetensors alone lets flipped bits through. Nothing that is read executes code.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.digest import canonical, digest, digest_array
from limbeck.errors import BadSetting, CorruptFile, LimbeckError, MissingData, StoreFailure

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=,+-]{0,120}")


def safe_name(name: str) -> str:
    """A name that stays in its folder. Raises `BadSetting` for one that could leave it."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise BadSetting(f"{name!r} can't be a file name here. Use letters, digits, '-', '_', '.', at most 120.")
    return name


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that it is whole or absent: temporary file, fsync, rename, fsync of the folder.

    Without `durable` there is no fsync: whole or absent whatever happens to this process, but a power cut may take or
    tear it until someone syncs it (`limbeck.durability`).

    Raises `StoreFailure` where the disk refuses, and leaves what was there before as it was.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        if durable:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise StoreFailure(
            f"{path} could not be written: {error.strerror or error}. Finished results are untouched; "
            "make room or choose another folder, and run the same command again."
        ) from None
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def check_writable(folder: Path) -> None:
    """Raise `StoreFailure` where nothing can be written into a folder, or into the one that it would be made in."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        if not place.is_dir():
            raise OSError(f"{place} is no folder")
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise StoreFailure(
            f"{folder} can't be written into: {error.strerror or error}. Choose another folder; nothing was begun."
        ) from None


def write_record(path: Path, record: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write a JSON record with a digest of its own content; `durable` as in `write_bytes`."""
    body = dict(record)
    content = json.dumps(body | {"sha256": digest(body)}, indent=1, allow_nan=False)
    write_bytes(path, content.encode(), durable=durable)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record. Raises `MissingData` where there is none, `CorruptFile` where it is not as written."""
    return parse_record(read_bytes(path), path)


def parse_record(content: bytes, path: Path) -> dict[str, Any]:
    """A record from its bytes; `path` is for the message. Raises `CorruptFile` where it is not as written."""
    try:
        record: dict[str, Any] = json.loads(content)
        if digest({key: value for key, value in record.items() if key != "sha256"}) == record["sha256"]:
            del record["sha256"]
            return record
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise CorruptFile(f"{path} is not as it was written. Delete it and run the command again to make it anew.")


def write_tensors(folder: Path, name: str, tensors: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Write tensors as `<name>.safetensors` and what they are as `<name>.json`; returns the content digest.

    The manifest is written last, so that a set whose manifest can be read is complete.
    """
    from safetensors.torch import save

    safe_name(name)
    held = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    sums = {key: tensor_digest(tensor) for key, tensor in held.items()}
    write_bytes(folder / f"{name}.safetensors", save(held))
    write_record(folder / f"{name}.json", {"about": dict(about), "tensors": sums})
    return digest(sums)


def read_tensors(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read tensors and what they are, every SHA-256 checked.

    Raises `MissingData` or `CorruptFile`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    manifest = read_record(folder / f"{safe_name(name)}.json")
    path = folder / f"{name}.safetensors"
    try:
        tensors = load(read_bytes(path))
        sums = {key: tensor_digest(tensor) for key, tensor in tensors.items()}
    except LimbeckError:
        raise
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError, MemoryError):
        sums = {}
        tensors = {}
    if sums != manifest.get("tensors"):
        raise CorruptFile(f"{path} is not as it was written (a SHA-256 differs). Restore a copy or remake it.")
    return tensors, manifest["about"]


def tensor_digest(tensor: Any) -> str:
    """SHA-256 over a tensor's dtype, shape and bytes."""
    return digest_array(np.asarray(tensor.detach().cpu().contiguous().numpy()))


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises `MissingData` where there is none or it can't be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingData(f"{path} is not there. Check the path, or make it first.") from None
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror or error}. Check its permissions.") from None


def same_record(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two records say the same, to the byte."""
    return canonical(dict(first)) == canonical(dict(second))
