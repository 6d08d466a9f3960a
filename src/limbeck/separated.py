"""Text files of values with a separator between them, as people and programs write them."""

from __future__ import annotations

import csv
from pathlib import Path

from limbeck.errors import BadData, MissingData

SEPARATORS = ",;\t"


def read_separated(path: Path) -> tuple[list[str], list[list[str]], str]:
    """The header, the rows and the separator of a CSV file, stripped text, without lines that have nothing in them.

    There is no header where the file is empty.

    The separator is the one of comma, semicolon and tab that the header has most of. Raises `MissingData` for a file
    that can't be read, and `BadData` for one that is no such text, or has a row of more or fewer cells than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            first = handle.readline()
            handle.seek(0)
            separator = max(SEPARATORS, key=first.count)
            rows = [row for row in csv.reader(handle, delimiter=separator, strict=True) if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path} can't be read as CSV in UTF-8 ({error}). Save it as comma-separated text.") from None
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror or error}. Check its permissions.") from None
    header, *body = [[cell.strip() for cell in row] for row in rows] or [[]]
    for line, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise BadData(f"{path}: row {line} has {len(row)} cells, the header {len(header)}. Correct or remove it.")
    return header, body, separator
