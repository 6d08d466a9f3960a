"""The table of a study: one row a training, the form that the laws read."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from limbeck.study.cells import Cell, short_configuration, short_method
from limbeck.study.folder import StudyFolder

COLUMNS = (
    *("method", "configuration", "k", "per_class", "set", "seed", "error", "gap"),
    *("validation_error", "loss", "cost_seconds", "flops", "bytes", "training_seed", "source"),
)


def table(folder: StudyFolder) -> list[dict[str, Any]]:
    """One row for each training that is finished, in the order of the grid.

    `error` is the test error after the last step, a fraction; `gap` is it less the mean reference error of the same
    configuration, None while there is no reference; reference rows have the method `reference` and no k. The same
    cells give the same rows whatever ran them, but for `cost_seconds`, which is measured.

    Raises `CorruptFile` for a record that is not as it was written.
    """
    finished = folder.finished()
    rows = [row for cell in folder.cells() if cell.id in finished for row in _rows(folder, cell)]
    errors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["method"] == "reference":
            errors[row["configuration"]].append(row["error"])
    means = {name: fmean(held) for name, held in errors.items()}
    for row in rows:
        base = means.get(row["configuration"])
        row["gap"] = None if base is None else row["error"] - base
    return rows


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV text; an empty field is None, and numbers read back to the last bit."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(folder: StudyFolder, cell: Cell) -> Iterator[dict[str, Any]]:
    if cell.kind not in ("reference", "evaluate"):
        return
    record = folder.record(cell.id)
    for replicate, row in zip(cell.payload["replicates"], record["rows"], strict=True):
        yield {
            "method": short_method(cell.payload["method"]) if cell.kind == "evaluate" else "reference",
            "configuration": short_configuration(cell.payload["configuration"]),
            "k": record.get("k"),
            "per_class": cell.payload.get("per_class"),
            "set": cell.payload.get("set"),
            "seed": replicate,
            "error": row["error"],
            "gap": None,
            "validation_error": row.get("validation_error"),
            "loss": row.get("loss"),
            "cost_seconds": row.get("cost_seconds"),
            "flops": row.get("flops"),
            "bytes": row.get("bytes"),
            "training_seed": row.get("seed"),
            "source": cell.payload["source"]["spec"],
        }
