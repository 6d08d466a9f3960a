"""The .npz format: named arrays, read without pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limbeck.errors import BadData, CorruptFile, MissingData
from limbeck.sources import RawData
from limbeck.sources._draws import Labelled

PARTS = ("x_train", "y_train", "x_test", "y_test", "x_validation", "y_validation")


def read_npz(path: Path, mirror: bool, layout: Literal["auto", "nchw", "nhwc"], test_fraction: float) -> RawData:
    """The raw data of an .npz file. Raises `MissingData`, `CorruptFile` or `BadData`."""
    held = read_arrays(path)
    train, test, validation = (_pair(held, split, path) for split in ("train", "test", "validation"))
    if train is None:
        with np.load(path, allow_pickle=False) as file:
            found = ", ".join(file.files[:8]) or "nothing"
        raise BadData(f"{path} has no x_train and y_train; it holds {found}. Name your arrays x_train and y_train.")
    names = tuple(str(name) for name in held["class_names"].ravel()) if "class_names" in held else ()
    return RawData(path.stem, train, test, validation, names, mirror, layout, test_fraction)


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an .npz file that limbeck knows by name. Raises `MissingData`, `CorruptFile` or `BadData`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise BadData(
                    f"{path} holds one array without a name. Write numpy.savez(path, x_train=..., y_train=...)."
                )
            return {name: file[name] for name in file.files if name in (*PARTS, "class_names")}
    except FileNotFoundError:
        raise MissingData(f"{path} is not there. Looked in {path.absolute().parent}. Check the path.") from None
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror or error}. Check the path and permissions.") from None
    except ValueError as error:
        if "pickle" in str(error).lower() and _is_numpy(path):
            raise BadData(
                f"{path} holds Python objects, which could run code when read; they were not read. "
                "Save plain numbers: numpy.savez(path, x_train=numpy.asarray(..., dtype='float32'), ...)."
            ) from None
        why = "a file of another kind" if not _is_numpy(path) else error
        raise CorruptFile(f"{path} is no whole .npz file ({why}). Write it again or restore a copy.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise CorruptFile(f"{path} is no whole .npz file ({error}). Write it again or restore a copy.") from None


def _is_numpy(path: Path) -> bool:
    """Whether a file starts as .npz (a zip archive) or .npy files do; numpy takes all others for pickles."""
    with path.open("rb") as file:
        return file.read(6)[:2] in (b"PK", b"\x93N")


def _pair(held: dict[str, np.ndarray[Any, Any]], split: str, path: Path) -> Labelled | None:
    x, y = held.get(f"x_{split}"), held.get(f"y_{split}")
    if x is not None and y is not None:
        return x, y
    if x is None and y is None:
        return None
    lacking = f"x_{split}" if x is None else f"y_{split}"
    raise BadData(f"{path} has no {lacking}. x_{split} and y_{split} belong together: write both.")
