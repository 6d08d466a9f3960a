"""Feature vectors, such as sentence embeddings, from arrays or a parquet table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from limbeck.errors import BadData, BadSetting
from limbeck.parquet import parquet_columns
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._npz import read_npz
from limbeck.sources._tables import divided


class Embeddings(SourceVariant):
    """Feature vectors of text, tables or anything that an encoder reads: an .npz file, or a .parquet table.

    An .npz file holds `x_train` (n, features) and `y_train` (n,), and if you have them `x_test`, `y_test`, ...; a table
    holds a column of vectors (lists of numbers, all of one length), a column of labels (whole numbers, or texts, which
    are numbered in order), and if you have it a column with `train`, `validation` or `test` for each row.
    """

    path: str = ""
    vector: str = Field(default="embedding", description="the table's column of vectors")
    label: str = Field(default="label", description="the table's column of labels")
    split: str = Field(default="split", description="the table's column of splits; may be absent")
    test_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)

    def read(self) -> RawData:
        if not self.path:
            raise BadSetting("embeddings needs a file: embeddings(path=mine.npz) or embeddings(path=mine.parquet).")
        path = Path(self.path).expanduser()
        if path.suffix.lower() in (".csv", ".tsv"):
            raise BadData(f"{path} is a table with a column a feature. Write table(path={self.path}).")
        raw = self._table(path) if path.suffix == ".parquet" else read_npz(path, False, "auto", self.test_fraction)
        if (shape := np.shape(raw.train[0])) and len(shape) != 2:
            raise BadData(f"{path}: x_train has shape {shape}; vectors (n, features) are needed. Use npz for images.")
        return raw

    def _table(self, path: Path) -> RawData:
        columns = parquet_columns(path, [self.vector, self.label], [self.split])
        if nulls := columns[self.label].null_count:
            raise BadData(f"{path}: {nulls} rows have no label. Fill them in or remove the rows.")
        labels = np.array(columns[self.label].to_pylist())
        splits = columns[self.split].to_pylist() if self.split in columns else None
        return divided(path, _vectors(columns[self.vector], path), labels, splits, self.test_fraction)


def _vectors(column: Any, path: Path) -> np.ndarray[Any, Any]:
    """A column of lists as (n, features) float32."""
    try:
        lengths = column.value_lengths().unique().to_pylist() if hasattr(column, "value_lengths") else []
        if len(lengths) != 1 or not lengths[0]:
            raise ValueError(f"lengths {lengths[:5]}" if lengths else f"type {column.type}")
        flat: np.ndarray[Any, Any] = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    except (ValueError, TypeError) as error:
        raise BadData(f"{path}: the vectors must be lists of numbers, all of one length ({error}).") from None
    return flat.reshape(-1, lengths[0])
