"""A table with a row a sample and a column a feature, as spreadsheets and data frames are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from limbeck.errors import BadData, BadSetting, nearest
from limbeck.parquet import parquet_columns
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._tables import class_labels, csv_columns, divided


class Table(SourceVariant):
    """Your own table: a .csv or .parquet file with a row a sample, a column of labels, and numbers in all others.

    Labels may be texts or numbers: those that are not 0, 1, 2, ... already become the class names, in their order.
    A column of splits, where there is one, says `train`, `validation` or `test` for each row. Columns that are no
    features, such as identifiers, are left out with `drop=[id, name]`.
    """

    path: str = ""
    label: str = Field(default="label", description="the column of labels")
    split: str = Field(default="split", description="the column of splits; may be absent")
    drop: tuple[str, ...] = Field(default=(), description="columns that are no features")
    test_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)

    def read(self) -> RawData:
        if not self.path:
            raise BadSetting("table needs a file: table(path=mine.csv) or table(path=mine.parquet).")
        path = Path(self.path).expanduser()
        held: dict[str, Any]
        if path.suffix.lower() == ".parquet":
            held = parquet_columns(path, ())
            held |= {name: held[name].to_pylist() for name in held.keys() & {self.label, self.split}}
        else:
            held = csv_columns(path)
        for name in (self.label, *self.drop):
            if name not in held:
                how = "label=NAME" if name == self.label else "drop=[NAME]"
                raise BadData(f"{path} has no column '{name}'. {nearest(name, held)} Write {how}.")
        names = [name for name in held if name not in (self.label, self.split, *self.drop)]
        if not names:
            raise BadData(f"{path} has no column beside its labels. Every other column is a feature.")
        x = np.stack([_numbers(held[name], name, path) for name in names], axis=1)  # (n, features)
        return divided(path, x, class_labels(held[self.label], path), held.get(self.split), self.test_fraction)


def _numbers(values: Any, name: str, path: Path) -> np.ndarray[Any, Any]:
    """One feature, float32, of a list or a pyarrow array. Raises `BadData` with the first row that holds no number."""
    if not isinstance(values, list):  # numbers without a Python object each, where all are there
        values = values.to_pylist() if values.null_count else values.to_numpy(zero_copy_only=False)
    try:
        column = np.array(values, dtype=np.float32)
    except (ValueError, TypeError):
        column = np.array([_number(value) for value in values], dtype=np.float32)
    if column.ndim != 1:
        raise BadData(f"{path}: column '{name}' holds lists. Of a column of vectors, write embeddings(path={path}).")
    bad = ~np.isfinite(column)
    if bad.any():
        row = int(bad.argmax())
        raise BadData(
            f"{path}: row {row + 2} holds {values[row]!r} in column '{name}', which is no number ({int(bad.sum())} of "
            f"{len(values)} rows). Fill them in, remove these rows, or leave the column out: drop=[{name}]."
        )
    return column


def _number(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError):
        return float("nan")
