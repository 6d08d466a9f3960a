"""Feature vectors, such as sentence embeddings, from arrays or a parquet table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from limbeck.errors import BadData, BadSetting, CorruptFile, MissingData, MissingExtra, nearest
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._draws import Labelled
from limbeck.sources._npz import read_npz

SPLITS = {"train": {"train"}, "validation": {"validation", "val", "valid"}, "test": {"test"}}


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
        raw = self._table(path) if path.suffix == ".parquet" else read_npz(path, False, "auto", self.test_fraction)
        if (shape := np.shape(raw.train[0])) and len(shape) != 2:
            raise BadData(f"{path}: x_train has shape {shape}; vectors (n, features) are needed. Use npz for images.")
        return raw

    def _table(self, path: Path) -> RawData:
        columns = _columns(path, [self.vector, self.label], self.split)
        x = _vectors(columns[self.vector], path)
        labels, names = _numbered(columns[self.label])
        parts: dict[str, Labelled] = {"train": (x, labels)}
        if self.split in columns:
            written = np.array([str(text).lower() for text in columns[self.split].to_pylist()])
            known = {word for words in SPLITS.values() for word in words}
            if odd := sorted(set(written.tolist()) - known):
                raise BadData(f"{path}: the split '{odd[0]}' is unknown. {nearest(odd[0], known)}")
            masks = {split: np.isin(written, list(words)) for split, words in SPLITS.items()}
            parts = {split: (x[mask], labels[mask]) for split, mask in masks.items() if mask.any()}
            if "train" not in parts:
                raise BadData(f"{path}: no row of column '{self.split}' says 'train'.")
        test, validation = parts.get("test"), parts.get("validation")
        return RawData(path.stem, parts["train"], test, validation, names, False, "auto", self.test_fraction)


def _columns(path: Path, needed: list[str], optional: str) -> Any:
    """The table's columns, by name; each a pyarrow array."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("reading parquet needs pyarrow. Run `pip install 'limbeck[huggingface]'`.") from None
    if not path.is_file():
        raise MissingData(f"{path} is not there. Looked in {path.absolute().parent}. Check the path.")
    try:
        known = pyarrow.parquet.read_schema(path).names
        for name in needed:
            if name not in known:
                raise BadData(f"{path} has no column '{name}'. {nearest(name, known)}")
        wanted = list(dict.fromkeys([*needed, *([optional] if optional in known else [])]))
        table = pyarrow.parquet.read_table(path, columns=wanted)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is no whole parquet file ({error}). Write it again or restore a copy.") from None
    return {name: table[name].combine_chunks() for name in wanted}


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


def _numbered(column: Any) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Labels as numbers; texts are numbered in their order and become the class names."""
    if column.null_count:
        raise BadData(f"{column.null_count} rows have no label. Fill them in or remove the rows.")
    values = np.array(column.to_pylist())
    if values.dtype.kind != "U":
        return values, ()
    names, labels = np.unique(values, return_inverse=True)
    return labels, tuple(names.tolist())
