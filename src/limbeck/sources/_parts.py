"""Some of the raw samples: a split that is read in pieces and never copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.digest import digest_array

PIECE = 1 << 21  # numbers that are held in float64 at a time: their memory is used again, not asked for anew
ROWS = 4096  # of small samples


@dataclass(frozen=True)
class Part:
    """Rows of raw samples (all, *shape), in order, and a label for each."""

    x: np.ndarray[Any, Any]  # (all, *shape), uint8 or float32
    rows: np.ndarray[Any, Any]  # (n,) int64, places in x
    labels: np.ndarray[Any, Any]  # (n,) int64

    @classmethod
    def whole(cls, x: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None = None) -> Part:
        """All samples; of class 0 where no labels are given."""
        every = np.arange(len(x))
        return cls(x, every, np.zeros_like(every) if labels is None else labels)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *shape)"""
        return (len(self.rows), *self.x.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a raw value."""
        kind: np.dtype[Any] = self.x.dtype
        return kind

    @property
    def digest(self) -> str:
        """SHA-256 of the samples and their labels."""
        return digest_array(self, self.labels)

    def where(self, mask: np.ndarray[Any, Any]) -> Part:
        """The samples where a mask (n,) is true."""
        return Part(self.x, self.rows[mask], self.labels[mask])

    def pieces(self) -> Iterator[np.ndarray[Any, Any]]:
        """The samples in order, some at a time."""
        size = max(1, min(ROWS, PIECE // max(1, self.x[0].size)))
        for start in range(0, len(self), size):
            rows = self.rows[start : start + size]
            together = rows[-1] - rows[0] == len(rows) - 1
            yield self.x[rows[0] : rows[-1] + 1] if together else self.x[rows]
