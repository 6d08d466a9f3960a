"""Tables of samples, a row each: columns of CSV files, labels, and a column that names the split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from limbeck.errors import BadData, MissingData, nearest
from limbeck.separated import read_separated
from limbeck.sources import RawData
from limbeck.sources._draws import Labelled

SPLITS = {"train": {"train"}, "validation": {"validation", "val", "valid"}, "test": {"test"}}


def csv_columns(path: Path) -> dict[str, list[str]]:
    """Columns of a CSV file with a header line, as text.

    Raises `MissingData`, or `BadData` with the line that is wrong.
    """
    _there(path)
    header, rows, _ = read_separated(path)
    if not rows or len(set(header)) < len(header):
        wrong = "has two columns of one name" if rows else "has no rows below its header"
        raise BadData(f"{path} {wrong}. A table starts with a line of column names, each different.")
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def class_labels(values: list[Any], path: Path) -> np.ndarray[Any, Any]:
    """Class numbers where the labels are 0, 1, 2, ..., else their texts, which become the class names.

    Raises `BadData` for a row without a label."""
    texts = np.array(["" if value is None else str(value).strip() for value in values])
    if (empty := texts == "").any():
        raise BadData(
            f"{path}: row {int(empty.argmax()) + 2} has no label ({int(empty.sum())} of {len(texts)} rows). "
            "Fill them in or remove these rows."
        )
    known = set(texts.tolist())
    return texts.astype(np.int64) if known == {str(number) for number in range(len(known))} else texts


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
