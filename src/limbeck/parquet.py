"""Parquet files, by column."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from limbeck.errors import BadData, CorruptFile, MissingData, MissingExtra, nearest


def parquet_columns(path: Path, needed: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """Columns of a parquet file by name, each a pyarrow array; all of them where none is needed.

    Raises `MissingExtra`, `MissingData`, `BadData` for a needed column that is not there, `CorruptFile`.
    """
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
                raise BadData(
                    f"{path} has no column '{name}'. {nearest(name, known)} (Of a column a feature, write "
                    f"table(path={path}).)"
                )
        wanted = list(dict.fromkeys([*needed, *(name for name in optional if name in known)])) if needed else known
        table = pyarrow.parquet.read_table(path, columns=wanted)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is no whole parquet file ({error}). Write it again or restore a copy.") from None
    return {name: table[name].combine_chunks() for name in wanted}
