"""Parquet files, by column."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.errors import BadData, CorruptFile, MissingData, MissingExtra, nearest

ROWS = 4096  # read at a time


def parquet_columns(path: Path, needed: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """Columns of a parquet file by name, each a pyarrow array; all of them where none is needed.

    Raises `MissingExtra`, `MissingData`, `BadData` for a needed column that is not there, `CorruptFile`.
    """
    with _opened(path) as file:
        known = file.schema_arrow.names
        _has(path, known, needed)
        wanted = list(dict.fromkeys([*needed, *(name for name in optional if name in known)])) if needed else known
        table = file.read(columns=wanted)
        return {name: table[name].combine_chunks() for name in wanted}


def parquet_vectors(path: Path, name: str) -> np.ndarray[Any, Any]:
    """A column of lists of numbers as (n, features) float32, some rows at a time: the file is not held beside it.

    Raises `BadData` where they are no lists of numbers of one length, and what `parquet_columns` raises.
    """
    with _opened(path) as file:
        _has(path, file.schema_arrow.names, [name])
        x, done = np.empty((0, 0), dtype=np.float32), 0
        for batch in file.iter_batches(ROWS, columns=[name], use_threads=False):
            column = batch.column(0)
            lengths = column.value_lengths().unique().to_pylist() if hasattr(column, "value_lengths") else []
            try:
                if not done and lengths and lengths[0]:
                    x = np.empty((file.metadata.num_rows, lengths[0]), dtype=np.float32)
                if lengths != [x.shape[1]] or not lengths[0]:
                    known = list(dict.fromkeys([x.shape[1], *lengths] if done else lengths))
                    raise ValueError(f"lengths {known[:5]}" if lengths else f"type {column.type}")
                flat = column.flatten().to_numpy(zero_copy_only=False)
                x[done : done + len(batch)] = flat.reshape(len(batch), -1)
            except (ValueError, TypeError) as error:
                raise BadData(f"{path}: the vectors must be lists of numbers, all of one length ({error}).") from None
            done += len(batch)
    return x


def _has(path: Path, known: Collection[str], needed: Collection[str]) -> None:
    for name in needed:
        if name not in known:
            raise BadData(
                f"{path} has no column '{name}'. {nearest(name, known)} (Of a column a feature, write "
                f"table(path={path}).)"
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A parquet file, mapped into memory. Raises `MissingExtra`, `MissingData`, `CorruptFile`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("reading parquet needs pyarrow. Run `pip install 'limbeck[huggingface]'`.") from None
    if not path.is_file():
        raise MissingData(f"{path} is not there. Looked in {path.absolute().parent}. Check the path.")
    try:
        with pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is no whole parquet file ({error}). Write it again or restore a copy.") from None
