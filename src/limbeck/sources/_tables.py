"""Tables of samples, a row each: columns of CSV and parquet files, labels, and a column that names the split."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.errors import BadData, CorruptFile, MissingData, MissingExtra, nearest
from limbeck.sources import RawData
from limbeck.sources._draws import Labelled

SPLITS = {"train": {"train"}, "validation": {"validation", "val", "valid"}, "test": {"test"}}
SEPARATORS = ",;\t"


def parquet_columns(path: Path, needed: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """Columns of a parquet file by name, each a pyarrow array; all of them where none is needed.

    Raises `MissingExtra`, `MissingData`, `BadData` for a needed column that is not there, `CorruptFile`.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("reading parquet needs pyarrow. Run `pip install 'limbeck[huggingface]'`.") from None
    _there(path)
    try:
        known = pyarrow.parquet.read_schema(path).names
        for name in needed:
            if name not in known:
                raise BadData(
                    f"{path} has no column '{name}'. {nearest(name, known)} (Of a column a feature, write "
                    f"table(path={path}).)"
                )
        wanted = list(dict.fromkeys([*needed, *(name for name in optional if name in known)])) if needed else known
        table = pyarrow.parquet.read_table(path, columns=wanted)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is no whole parquet file ({error}). Write it again or restore a copy.") from None
    return {name: table[name].combine_chunks() for name in wanted}


def csv_columns(path: Path) -> dict[str, list[str]]:
    """Columns of a CSV file with a header line, as text; the separator is the one that its header has most of.

    Raises `MissingData`, or `BadData` with the line that is wrong.
    """
    _there(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            first = handle.readline()
            handle.seek(0)
            rows = [row for row in csv.reader(handle, delimiter=max(SEPARATORS, key=first.count), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path} can't be read as CSV in UTF-8 ({error}). Save it as comma-separated text.") from None
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror or error}. Check its permissions.") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if len(rows) < 2 or len(set(header)) < len(header):
        wrong = "has two columns of one name" if len(rows) > 1 else "has no rows below its header"
        raise BadData(f"{path} {wrong}. A table starts with a line of column names, each different.")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise BadData(f"{path}: row {line} has {len(row)} cells, the header {len(header)}. Correct or remove it.")
    return {name: [row[place].strip() for row in rows[1:]] for place, name in enumerate(header)}


def divided(
    path: Path, x: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], splits: list[Any] | None, test_fraction: float
) -> RawData:
    """Vectors (n, features) and labels (n,) as raw data, divided by the words of the column of splits if there is one.

    Raises `BadData` for a word that names no split, or where nothing is to be trained on.
    """
    parts: dict[str, Labelled] = {"train": (x, labels)}
    if splits is not None:
        written = np.array([str(text).strip().lower() for text in splits])
        known = {word for words in SPLITS.values() for word in words}
        if odd := sorted(set(written.tolist()) - known):
            raise BadData(f"{path}: the split '{odd[0]}' is unknown. {nearest(odd[0], known)}")
        masks = {split: np.isin(written, list(words)) for split, words in SPLITS.items()}
        parts = {split: (x[mask], labels[mask]) for split, mask in masks.items() if mask.any()}
        if "train" not in parts:
            raise BadData(f"{path}: no row's split says 'train'. Mark the rows to be trained on so.")
    return RawData(
        path.stem, parts["train"], parts.get("test"), parts.get("validation"), (), False, "auto", test_fraction
    )


def _there(path: Path) -> None:
    if not path.is_file():
        raise MissingData(f"{path} is not there. Looked in {path.absolute().parent}. Check the path.")
