"""Feature vectors, such as sentence embeddings, from arrays or a parquet table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from limbeck.errors import BadData, BadSetting
from limbeck.parquet import parquet_columns, parquet_vectors
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._npz import read_npz
from limbeck.sources._tables import class_labels, divided


class Embeddings(SourceVariant):
    """Feature vectors of text, tables or anything that an encoder reads: an .npz file, or a .parquet table.

    An .npz file holds `x_train` (n, features) and `y_train` (n,), and if you have them `x_test`, `y_test`, ...; a table
    holds a column of vectors (lists of numbers, all of one length), a column of labels (texts or numbers: those that
    are not 0, 1, 2, ... already become the class names), and if you have it a column with `train`, `validation` or
    `test` for each row.
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
        of_table = path.suffix.lower() == ".parquet"
        raw = self._table(path) if of_table else read_npz(path, False, "auto", self.test_fraction)
        if (shape := np.shape(raw.train[0])) and len(shape) != 2:
            raise BadData(f"{path}: x_train has shape {shape}; vectors (n, features) are needed. Use npz for images.")
        return raw

    def _table(self, path: Path) -> RawData:
        x = parquet_vectors(path, self.vector)
        columns = parquet_columns(path, [self.label], [self.split])
        labels = class_labels(columns[self.label].to_pylist(), path)
        splits = columns[self.split].to_pylist() if self.split in columns else None
        return divided(path, x, labels, splits, self.test_fraction)
