"""The CIFAR binary format: records of one or two label bytes and 3072 pixels, without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.errors import CorruptFile
from limbeck.sources._draws import Labelled

PIXELS = 3 * 32 * 32


def read_records(content: bytes, labels: int, kept: int, name: str) -> Labelled:
    """Images (n, 3, 32, 32) uint8 and label number `kept` of the `labels` a record has.

    A record is `labels` bytes, then 1024 red, 1024 green and 1024 blue bytes, row by row.
    Raises `CorruptFile` where the length is no whole number of records.
    """
    record = labels + PIXELS
    if not content or len(content) % record:
        raise CorruptFile(
            f"{name} has {len(content)} bytes, no whole number of records of {record}. It is truncated, or of another "
            "format (the binary version is needed, not the Python one). Get it again."
        )
    rows: np.ndarray[Any, Any] = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    return rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, kept]


def joined(parts: list[Labelled]) -> Labelled:
    """Several files' samples as one, in order."""
    return np.concatenate([x for x, _ in parts]), np.concatenate([labels for _, labels in parts])
