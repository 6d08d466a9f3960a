"""Tables of results: rows from a file or a study, checked, and grouped by method and configuration.

A row is a dict with `method`, `configuration`, `k`, `set`, `seed`, `error`; reference rows (training on the full data)
have `method` reference and no k. Instead of references a table may carry `gap`. Published tables of means carry
`error_mean`, `error_sd`, `n` (or `gap_mean`, `accuracy_mean`) instead of runs. Where a column `source` names several
data sets, each configuration is on one of them. `limbeck.laws.columns` says what else a column may be called.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.errors import BadData, MissingData
from limbeck.laws.columns import REFERENCE, Row, Table, finite, read_name, understood, with_points
from limbeck.laws.components import shared_effect
from limbeck.laws.levels import Floats, Levels, level_means, levels_of_means
from limbeck.laws.notes import Code, Note
from limbeck.parquet import parquet_columns
from limbeck.separated import read_separated

FILES = (".csv", ".tsv", ".txt", ".parquet")
"""How the names of files of results end."""
AGREE = 0.002  # gaps that are further from error less reference than rounding are another thing


@dataclass(frozen=True)
class Group:
    """All results of one method under one configuration, as levels of k."""

    method: str
    configuration: str
    levels: Levels | None  # None: no reference to take gaps from, as the notes say
    notes: tuple[Note, ...]


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a CSV file (of commas, semicolons or tabs) with a header line, as text, or of a parquet file.

    `groups` turns them into numbers and says what is wrong. Raises `MissingData` where there is no such file, `BadData`
    where it is no table.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingData(
            f"there is no table at '{file}'. Give a file with the columns method, configuration, k, set, seed, error."
        )
    if file.suffix.lower() == ".parquet":
        columns = {name: held.to_pylist() for name, held in parquet_columns(file, ()).items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    header, rows, separator = read_separated(file)
    header = [name.lower() if read_name(name).said == name.lower() else name for name in header]
    if len(set(header)) != len(header):
        raise BadData(f"'{file.name}' has two columns of one name: {', '.join(header)}. Name them apart.")
    if separator != ",":
        rows = [[with_points(name, cell) for name, cell in zip(header, row, strict=True)] for row in rows]
    return [dict(zip(header, row, strict=True)) for row in rows]


def groups(rows: Iterable[Row], *, pair: bool = False) -> list[Group]:
    """The table as levels of k for every method and configuration, gaps taken from the references.

    `pair` subtracts from each run the reference of the same seed, for runs that share an initialisation: noise of the
    seed then leaves the gap. An empty error is a run that failed: left out, with a note. Raises `BadData` for missing
    columns, impossible values (NaN too), contradictory duplicates, and where no configuration has a reference.
    """
    table = understood(rows)
    cleaned = _named_by_source([_clean(row) for row in table.rows])
    notes = list(table.notes)
    if "configuration" not in table.columns:
        notes.append(
            Note(Code.configuration_missing, "The table has no column 'configuration': all rows count as one.")
        )
    if table.means:
        if pair:
            raise BadData("runs can't be paired by seed in a table of means. Give a row for every run.")
        return _mean_groups(cleaned, notes)
    cleaned, more = _whole_runs(cleaned)
    notes += more
    for column, code in (("set", Code.set_missing), ("seed", Code.seed_missing)):
        if column not in table.columns:
            said = "every k counts as one distilled set" if column == "set" else "repeated rows of a set count as seeds"
            notes.append(Note(code, f"The table has no column '{column}': {said}."))
    found = [_run_group(name, part, cleaned, notes, pair) for name, part in _split(cleaned).items()]
    if all(group.levels is None for group in found):
        raise BadData(found[0].notes[-1].message)
    return found


def runs_of(rows: Iterable[Row]) -> tuple[list[dict[str, Any]], Table]:
    """The finished runs of a table, numbers for numbers, and the table as it was understood.

    Raises `BadData` where it can't be read, and for a table of means.
    """
    table = understood(rows)
    if table.means:
        raise BadData("this is a table of means; give a row for every run.")
    cleaned, notes = _whole_runs(_named_by_source([_clean(row) for row in table.rows]))
    return cleaned, replace(table, notes=(*table.notes, *notes))


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """One row with numbers for numbers; every complaint names the row."""
    where = f"row {row['line']}"
    method = _name(row.get("method"))
    if not method:
        raise BadData(f"{where}: the method is empty. Name the method, or '{REFERENCE}' for training on the full data.")
    k = None if method == REFERENCE else finite(row.get("k"), f"{where}: k")
    if method != REFERENCE and k is None:
        raise BadData(
            f"{where}: k is empty for the method '{method}'. Only rows of training on the full data have no k; their "
            f"method is '{REFERENCE}'."
        )
    if k is not None and (k < 1 or k != round(k)):
        raise BadData(f"{where}: k = {k:g} is not a whole number of samples of at least 1.")
    names = {name: _name(row.get(name)) for name in ("configuration", "source", "set", "seed")}
    return {"method": method, "k": k, **names, **{name: row[name] for name in ("error", "gap", "sd", "n", "line")}}


def _name(value: Any) -> str:
    """A cell that names something; data frames have NaN for none."""
    return "" if value is None or value != value else str(value).strip()


def _named_by_source(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where a table is of several sources, each configuration is one on one source: its gaps are of that source."""
    if len({row["source"] for row in rows}) < 2:
        return rows
    return [row | {"configuration": f"{row['configuration']} on {row['source']}".strip()} for row in rows]


def _whole_runs(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Note]]:
    kept, notes = _without_failed(rows)
    kept, more = _without_duplicates(kept)
    return kept, notes + more


def _without_failed(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Note]]:
    """Rows with a number; the others are counted aloud, as what is left may be the better half."""
    kept = [row for row in rows if row["error"] is not None or row["gap"] is not None]
    gone = len(rows) - len(kept)
    if not kept:
        raise BadData("no row has an error: every run of this table failed, or its column of errors is empty.")
    message = f"{gone} of {len(rows)} runs have no error, so they failed: means are of the runs that did not."
    return kept, [Note(Code.failed_runs, message)] if gone else []


def _without_duplicates(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Note]]:
    """One row for each (method, configuration, k, set, seed); contradictory ones are refused.

    Without seeds, repeated rows are repeated runs: they are all kept.
    """
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    repeated = 0
    for row in rows:
        key = tuple(row[name] for name in ("method", "configuration", "k", "set", "seed"))
        if not row["seed"]:
            key = (*key, row["line"])
        first = kept.setdefault(key, row)
        if first is row:
            continue
        repeated += 1
        if (first["error"], first["gap"]) != (row["error"], row["gap"]):
            raise BadData(
                f"rows {first['line']} and {row['line']} are one run (method {row['method']}, k {row['k']}, set "
                f"'{row['set']}', seed '{row['seed']}', configuration '{row['configuration']}') with different errors. "
                "Keep one, or give them different seeds."
            )
    notes = [Note(Code.duplicated_rows, f"{repeated} rows were given twice, word for word: each counts once.")]
    return list(kept.values()), notes if repeated else []


def _split(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["method"] != REFERENCE:
            parts.setdefault((row["method"], row["configuration"]), []).append(row)
    if not parts:
        raise BadData("the table has reference rows only. Evaluate at least one method at 3 or more values of k.")
    return dict(sorted(parts.items()))


def _run_group(
    name: tuple[str, str], part: list[dict[str, Any]], table: list[dict[str, Any]], notes: list[Note], pair: bool
) -> Group:
    method, configuration = name
    references = [row for row in table if row["method"] == REFERENCE and row["configuration"] == configuration]
    notes = list(notes)
    k = np.array([row["k"] for row in part], float)
    sets, seeds = [row["set"] for row in part], [row["seed"] for row in part]
    errors, own = _numbers(references, "error"), _numbers(part, "error")
    given, zero = _numbers(part, "gap"), _numbers(references, "gap")
    spread: tuple[float, float] | None = None
    if errors.size and own.size == k.size:
        spread = _of_one(errors)
        if pair:
            gap, spread = _paired(own, seeds, references, method)
            notes.append(Note(Code.seeds_paired, "Each run is set against the reference of its own seed."))
        else:
            gap = own - errors.mean()
            spread, more = _with_shared_seeds(k, own, sets, seeds, spread)
            notes += [*more, *_disagreeing(gap, given)]
    elif given.size == k.size:
        gap = given - (zero.mean() if zero.size else 0.0)
        spread = _of_one(zero) if zero.size else None
    else:
        said = f"'{configuration}'" if configuration else "of this table"
        message = (
            f"There is no full-data error for the configuration {said}, which method '{method}' was run under, and not "
            f"every row has a gap. Add rows with method '{REFERENCE}', an empty k and that configuration."
        )
        return Group(method, configuration, None, (*notes, Note(Code.no_reference, message)))
    spread, more = _with_shared_sets(k, gap, sets, spread)
    notes += more
    return Group(method, configuration, level_means(k, gap, sets, reference=spread), tuple(notes))


def _numbers(rows: Sequence[Row], name: str) -> Floats:
    return np.array([row[name] for row in rows if row[name] is not None], float)


def _of_one(values: Floats) -> tuple[float, float]:
    """(standard deviation of one reference run, number of runs)."""
    return float(values.std(ddof=1)) if values.size > 1 else math.nan, float(values.size)


def _disagreeing(gap: Floats, given: Floats) -> list[Note]:
    """Gaps of the table that are not error less mean reference error."""
    most = float(np.abs(gap - given).max()) if given.size == gap.size else 0.0
    if most <= AGREE:
        return []
    message = (
        f"The column of gaps is up to {most:.2g} off from error less the mean reference error of its configuration: "
        "errors and references are used."
    )
    return [Note(Code.columns_disagree, message)]


def _paired(
    own: Floats, seeds: list[str], references: list[dict[str, Any]], method: str
) -> tuple[Floats, tuple[float, float]]:
    """Gaps against the reference of the same seed; what is left of the reference's noise is common to all levels."""
    of_seed = {row["seed"]: row["error"] for row in references}
    missing = sorted(set(seeds) - set(of_seed))
    if missing:
        raise BadData(f"method '{method}' has runs with the seeds {', '.join(missing[:5])} that no reference run has.")
    gap = own - np.array([of_seed[seed] for seed in seeds])
    used = sorted(set(seeds))
    by_seed = np.array([gap[[one == seed for one in seeds]].mean() for seed in used])
    return gap, (float(by_seed.std(ddof=1)) if len(used) > 1 else math.nan, float(len(used)))


def _with_shared_seeds(
    k: Floats, own: Floats, sets: list[str], seeds: list[str], spread: tuple[float, float]
) -> tuple[tuple[float, float], list[Note]]:
    """Noise that all sets share through their seeds moves every level alike: it joins the reference's shift."""
    variance, p = shared_effect(list(zip(k.tolist(), sets, strict=True)), seeds, own)
    if p >= 0.01 or not math.isfinite(spread[0]):
        return spread, []
    message = (
        f"All sets move together with the seed of the run (p = {p:.2g}): that noise is common to every k and is added "
        "to the reference's. Runs that share initialisations can be paired instead."
    )
    return _widened(spread, variance, len(set(seeds))), [Note(Code.shared_seed_effect, message)]


def _with_shared_sets(
    k: Floats, gap: Floats, sets: list[str], spread: tuple[float, float] | None
) -> tuple[tuple[float, float] | None, list[Note]]:
    """Noise that sets of one name share at every k joins the reference's shift, as levels are then not independent."""
    of_set: dict[tuple[float, str], list[float]] = {}
    for one, name, value in zip(k, sets, gap, strict=True):
        of_set.setdefault((float(one), name), []).append(float(value))
    units, names = zip(*of_set, strict=True)
    variance, p = shared_effect(units, names, [float(np.mean(held)) for held in of_set.values()])
    if p >= 0.01 or (spread is not None and not math.isfinite(spread[0])):
        return spread, []
    count = len(set(names))
    message = (
        f"Sets of one name move together at every k (p = {p:.2g}), as where each holds the smaller one: that noise is "
        "common to every k and is added to the reference's. Make the sets of each k anew for narrower intervals."
    )
    return _widened(spread or (0.0, float(count)), variance, count), [Note(Code.shared_set_effect, message)]


def _widened(spread: tuple[float, float], variance: float, count: int) -> tuple[float, float]:
    """(sd of one reference run, number of runs) with a variance in their mean's that was averaged over `count`."""
    sd, runs = spread
    return math.sqrt(sd**2 + variance * runs / count), runs


def _mean_groups(rows: list[dict[str, Any]], notes: list[Note]) -> list[Group]:
    """Levels of means; a row is one k, or one set of a k where the table names sets."""
    for row in rows:
        _check_mean(row)
    found = []
    for (method, configuration), part in _split(rows).items():
        full = [row for row in rows if row["method"] == REFERENCE and row["configuration"] == configuration]
        by = "error" if full and all(row["error"] is not None for row in (*full, *part)) else "gap"
        if any(row[by] is None for row in part) or len(full) > 1:
            raise BadData(
                f"the configuration '{configuration}' has {len(full)} rows of method '{REFERENCE}'; a table of means "
                "needs exactly one, with the error of training on the full data."
            )
        reference, zero = None, 0.0
        if full and full[0][by] is not None:
            reference, zero = (full[0]["sd"], full[0]["n"]), full[0][by]
        k, mean, sd, n = (np.array([row[name] for row in part], float) for name in ("k", by, "sd", "n"))
        sets = [row["set"] for row in part] if all(row["set"] for row in part) else None
        found.append(
            Group(method, configuration, levels_of_means(k, mean - zero, sd, n, sets, reference=reference), (*notes,))
        )
    return found


def _check_mean(row: dict[str, Any]) -> None:
    """A mean of one run has no spread, and a reference may come without: its noise is then unknown."""
    if row["method"] == REFERENCE and row["sd"] is None:
        row["sd"], row["n"] = math.nan, 1.0
    if row["n"] == 1 and row["sd"] is None:
        row["sd"] = 0.0
    if (row["error"] is None and row["gap"] is None) or row["sd"] is None or row["n"] is None:
        raise BadData(
            f"row {row['line']}: a table of means needs error_mean, error_sd and n in every row (or gap or "
            "accuracy for error, se for sd): n is how many runs a mean is of."
        )
    if row["n"] < 1 or row["n"] != round(row["n"]):
        raise BadData(f"row {row['line']}: n = {row['n']:g} is no whole number of replicates of at least 1.")
