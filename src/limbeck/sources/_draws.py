"""Draws by digest: which samples are held out depends on the samples alone, not on their order or on a seed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

Labelled = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]  # x (n, *shape), labels (n,)


def sample_keys(x: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One uniform 64-bit key a sample, from the SHA-256 of its label and bytes; (n,) uint64."""
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    marks = labels.astype("<i8")
    sums = (hashlib.sha256(mark.tobytes() + row.data).digest()[:8] for mark, row in zip(marks, flat, strict=True))
    return np.frombuffer(b"".join(sums), dtype=">u8").astype(np.uint64)


def draw_fraction(labels: np.ndarray[Any, Any], keys: np.ndarray[Any, Any], fraction: float) -> np.ndarray[Any, Any]:
    """Mask of the samples with the smallest keys: `fraction` of each class, one at least, never all of a class."""
    counts = np.bincount(labels)
    return _smallest(labels, keys, [min(max(round(fraction * n), 1), n - 1) if n else 0 for n in counts.tolist()])


def draw_number(labels: np.ndarray[Any, Any], keys: np.ndarray[Any, Any], number: int) -> np.ndarray[Any, Any]:
    """Mask of about `number` samples (all, for 0), each class in proportion and with one sample at least.

    The draws are nested: those of a smaller number are among those of a larger one, up to rounding.
    """
    if number == 0 or number >= len(labels):
        return np.ones(len(labels), dtype=bool)
    counts = np.bincount(labels)
    exact = counts * (number / len(labels))
    quotas = np.maximum(np.floor(exact).astype(int), counts > 0)
    short = max(number - int(quotas.sum()), 0)
    quotas[np.argsort(-(exact - quotas), kind="stable")[:short]] += 1  # largest remainders first
    return _smallest(labels, keys, quotas.tolist())


def _smallest(labels: np.ndarray[Any, Any], keys: np.ndarray[Any, Any], quotas: list[int]) -> np.ndarray[Any, Any]:
    """Mask of the `quotas[c]` samples of each class c that have the smallest keys."""
    drawn = np.zeros(len(labels), dtype=bool)
    for group, quota in enumerate(quotas):
        own = np.flatnonzero(labels == group)
        drawn[own[np.argsort(keys[own], kind="stable")[:quota]]] = True
    return drawn
