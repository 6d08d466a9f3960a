"""Content digests: the same value gives the same 64 hexadecimal digits on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces and no NaN: one byte string per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_array(*arrays: np.ndarray[Any, Any]) -> str:
    """SHA-256 over the dtype, shape and bytes of arrays, in order."""
    state = hashlib.sha256()
    for array in arrays:
        contiguous = np.ascontiguousarray(array)
        state.update(f"{contiguous.dtype.str}{contiguous.shape}".encode())
        state.update(contiguous.tobytes())
    return state.hexdigest()
