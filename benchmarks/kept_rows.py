"""Rows of a benchmark in a CSV file, kept as they come: a run that is cut off goes on where it was."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class KeptRows:
    """A CSV file and its columns."""

    path: Path
    fields: Sequence[str]

    def read(self) -> list[dict[str, str]]:
        """The rows that are there; none before the first run."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as handle:
            return list(csv.DictReader(handle))

    def append(self, values: Sequence[Any]) -> None:
        """Add one row, numbers to six digits."""
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as handle:
            writer = csv.writer(handle)
            if fresh:
                writer.writerow(self.fields)
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])
