"""Content digests: the same value gives the same 64 hexadecimal digits on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces and no NaN: one byte string per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


class InPieces(Protocol):
    """An array that is read some rows at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a value."""

    def pieces(self) -> Iterator[np.ndarray[Any, Any]]:
        """The rows in order."""


def digest_array(*arrays: np.ndarray[Any, Any] | InPieces) -> str:
    """SHA-256 over the dtype, shape and bytes of arrays, in order; in pieces or whole is the same."""
    state = hashlib.sha256()
    for array in arrays:
        held = np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array
        state.update(f"{held.dtype.str}{held.shape}".encode())
        for piece in [held] if isinstance(held, np.ndarray) else held.pieces():
            state.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
    return state.hexdigest()
