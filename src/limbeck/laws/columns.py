"""What the columns of a table of results say: names, units and spellings brought to one form.

A table is read as it was meant where there is one way to mean it (the note `columns_read_as` says how), what carries
information and is not used is named (`columns_unused`), and what could be meant in two ways is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.errors import BadData, nearest
from limbeck.laws.notes import Code, Note

REFERENCE = "reference"
Row = Mapping[str, Any]
FACTORS = ("method", "configuration", "source", "k", "per_class", "classes", "set", "seed", "n")
RESPONSES = ("error", "accuracy", "gap")
STATISTICS = ("mean", "sd", "se")
ASIDE = ("validation_error", "loss", "cost_seconds", "flops", "bytes", "training_seed", "set_digest")
"""Columns of limbeck's own tables that laws are not about."""
SPELLINGS = {
    "config": "configuration", "dataset": "source", "data_set": "source", "ipc": "per_class",
    "images_per_class": "per_class", "samples_per_class": "per_class", "num_classes": "classes", "n_classes": "classes",
    "set_id": "set", "trial": "seed", "run": "seed", "rep": "seed", "repeat": "seed", "replicate": "seed",
    "n_runs": "n", "n_seeds": "n", "num_runs": "n", "num_seeds": "n", "err": "error", "error_rate": "error",
    "test_error": "error", "acc": "accuracy", "test_acc": "accuracy", "test_accuracy": "accuracy",
    "runs": "n", "seeds": "n", "replicates": "n", "repetitions": "n",
    "average": "mean", "avg": "mean", "std": "sd", "stdev": "sd", "stddev": "sd", "sem": "se", "stderr": "se",
}  # fmt: skip
WHOLE_SET = {"full", "full_data", "full_dataset", "full_set", "whole_data", "whole_dataset", "all_data"}
"""Methods that are training on the full data where no row says `reference` and they have no k."""
_PER_CENT = re.compile(r"[\s_]*[(\[]?(?:%|percent|per cent|pct)[)\]]?$")


@dataclass(frozen=True)
class Column:
    """A column as the table has it and as it is read."""

    name: str
    said: str
    per_cent: bool


@dataclass(frozen=True)
class Table:
    """Rows with the columns of `FACTORS` as they were written, and `error`, `gap`, `sd`, `n` as numbers or None."""

    rows: list[dict[str, Any]]
    columns: frozenset[str]  # what the table has, in limbeck's words
    means: bool  # each row is a mean of n runs with their standard deviation
    notes: tuple[Note, ...]


def understood(rows: Iterable[Row]) -> Table:
    """The table in limbeck's words. Raises `BadData` for what can't be one, or could be two things."""
    table = [dict(row) for row in rows]
    if not table:
        raise BadData("the table has no rows. Run a study first, or give a CSV file with a line for every training.")
    held = _held(table)
    filled = {said for said, one in held.items() if any(_there(row.get(one.name)) for row in table)}
    require(set(held), "method")
    own = {base: _response(held, filled, base) for base in RESPONSES}
    if not any(own.values()):  # an empty column: every run failed, which is said where they are counted
        own |= {base: _response(held, set(held), base) for base in RESPONSES}
    error = own["error"] or own["accuracy"]
    if error is None and own["gap"] is None:
        require(set(held), "error")
    spread = _spread(held, filled, error or own["gap"])
    means = spread is not None or any(one is not None and one.said.endswith("_mean") for one in (error, own["gap"]))
    used = [one for one in (error, own["gap"], spread) if one is not None]
    if error is not None:
        _check_unit(table, error)
    count = held.get("n") if means else None
    said = {name: one for name, one in held.items() if name in FACTORS and name != "n"}
    read, parts = _with_k([{name: row.get(one.name) for name, one in said.items()} for row in table], filled)
    for line, (row, out) in enumerate(zip(table, read, strict=True), start=1):
        out["n"] = None if count is None else finite(row.get(count.name), f"row {line}: n")
        out["error"], out["gap"] = (_fraction(row, one, line) for one in (error, own["gap"]))
        if error is not None and error is own["accuracy"] and out["error"] is not None:
            out["error"] = 1 - out["error"]
        out["sd"] = None if spread is None else _deviation(row, spread, error or own["gap"], out, line)
        out["line"] = line
    parts += _full_as_reference(read)
    told = {one.said for one in used} | set(said) | ({"n"} if means else set())
    unused = [one for name, one in held.items() if name in filled - told and name not in ASIDE]
    changed = [*(held[name] for name in said if name in filled), *used, *([count] if count else [])]
    parts = _read_as(changed, own, error) + parts
    notes = [Note(Code.columns_read_as, f"Read so: {'; '.join(parts)}.")] if parts else []
    return Table(read, frozenset(held), means, (*notes, *_unused(unused, table, read)))


def require(columns: Iterable[str], *names: str) -> None:
    """Raise `BadData`, naming the nearest column, where one of the names is missing."""
    known = set(columns)
    for name in names:
        if name not in known:
            also = " (or accuracy, or gap; means with their sd and n)" if name == "error" else ""
            how = {"k": " k counts the samples of all classes together: per_class times classes, if both are there."}
            raise BadData(f"the table has no column '{name}'{also}. {nearest(name, known)}{how.get(name, '')}")


def finite(value: Any, what: str) -> float | None:
    """A cell's number, None where it is empty. Raises `BadData`, `what` saying which cell, for anything else."""
    if not _there(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise BadData(f"{what} is '{str(value)[:40]}', which is no number.") from error
    if not math.isfinite(number):
        raise BadData(
            f"{what} is {number}. A run that failed has no error: leave the cell empty, and it is counted so."
        )
    return number


def with_points(name: str, cell: str) -> str:
    """A cell of a file that separates by something else than commas: 0,12 in a column of fractions is 0.12."""
    said = read_name(name).said
    fraction = said.split("_")[0] in RESPONSES or said in STATISTICS
    return cell.replace(",", ".") if fraction and re.fullmatch(r"[+-]?\d*,\d+", cell) else cell


def read_name(name: str) -> Column:
    """What a column's name says: `Acc. (%)` is accuracy in per cent, `std_error` the standard deviation of error."""
    plain = name.strip().lower()
    bare = _PER_CENT.sub("", plain)
    words = re.sub(r"[\s.\-]+", "_", bare).strip("_").replace("std_dev", "sd").replace("standard_deviation", "sd")
    words = words.replace("standard_error", "se")
    if SPELLINGS.get(words, words) in FACTORS:
        return Column(name, SPELLINGS.get(words, words), False)
    parts = [SPELLINGS.get(part, part) for part in words.split("_")]
    statistics = [part for part in parts if part in STATISTICS]
    rest = "_".join(part for part in words.split("_") if SPELLINGS.get(part, part) not in STATISTICS)
    base = SPELLINGS.get(rest, rest)
    if len(statistics) > 1 or base not in (*RESPONSES, *([""] if statistics and statistics != ["mean"] else [])):
        return Column(name, plain if plain in ASIDE else name, False)
    return Column(name, "_".join(part for part in (base, *statistics) if part), bare != plain)


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _held(table: Sequence[Row]) -> dict[str, Column]:
    """What each column says. A name of limbeck's own goes before another spelling of it, which is then not read."""
    names = list(dict.fromkeys(name for row in table for name in row))
    found: dict[str, Column] = {}
    for one in sorted(map(read_name, names), key=lambda one: one.said != one.name.strip().lower()):
        first = found.setdefault(one.said, one)
        if first is one:
            continue
        if first.name.strip().lower() != first.said or one.name.strip().lower() == one.said:
            raise BadData(f"the columns '{first.name}' and '{one.name}' both say {one.said}. Keep one.")
        found[one.name] = Column(one.name, one.name, False)
    return found


def _response(held: Mapping[str, Column], filled: set[str], base: str) -> Column | None:
    found = [held[name] for name in (f"{base}_mean", base) if name in filled]
    if len(found) > 1:
        raise BadData(f"the table has both '{found[0].name}' and '{found[1].name}': of means or of runs? Keep one.")
    return found[0] if found else None


def _spread(held: Mapping[str, Column], filled: set[str], response: Column | None) -> Column | None:
    """The column of standard deviations, or else of standard errors, that of the response first.

    What an error, an accuracy and a gap deviate by is one number, as their references are one number for all runs.
    """
    base = response.said.split("_")[0] if response else ""
    order = [f"{name}_{form}".lstrip("_") for form in ("sd", "se") for name in (base, *RESPONSES, "")]
    return next((held[name] for name in order if name in filled), None)


def _check_unit(table: Sequence[Row], error: Column) -> None:
    values = [finite(row.get(error.name), f"row {line}: {error.name}") for line, row in enumerate(table, start=1)]
    if error.per_cent and max((value for value in values if value is not None), default=2.0) <= 1:
        raise BadData(
            f"'{error.name}' says per cent, but no value of it is above 1. If they are fractions name the column "
            f"{error.said}; if they are per cents divide them by 100 and name it so too."
        )


def _fraction(row: Row, column: Column | None, line: int) -> float | None:
    if column is None:
        return None
    value = finite(row.get(column.name), f"row {line}: {column.name}")
    scale, least = (100 if column.per_cent else 1), (-1 if column.said.startswith("gap") else 0)
    if value is not None and not scale * least <= value <= scale:
        how = "" if column.per_cent else f" Divide per cents by 100, or name the column '{column.said} (%)'."
        kind = "per cent" if column.per_cent else "fraction"
        raise BadData(f"row {line}: {column.name} = {value:g} is no {kind} between {scale * least} and {scale}.{how}")
    return None if value is None else value / scale


def _deviation(row: Row, spread: Column, response: Column | None, out: Row, line: int) -> float | None:
    """The standard deviation of one run, in the response's unit where it names none of its own."""
    value, n = finite(row.get(spread.name), f"row {line}: {spread.name}"), out["n"]
    if value is None:
        return None
    per_cent = spread.per_cent or (response is not None and response.per_cent)
    sd = value / (100 if per_cent else 1) * (math.sqrt(n) if spread.said.endswith("se") and n else 1.0)
    mean = out["error"] if out["error"] is not None else out["gap"]
    most = math.sqrt(max(mean * (1 - mean), 0.0) * n / (n - 1)) if out["error"] is not None and n and n > 1 else 1.0
    if not 0 <= sd <= 1.05 * most + 0.005:  # rounded numbers may lie a little beyond
        raise BadData(
            f"row {line}: {spread.name} = {value:g} can't be the spread of {n or 1:g} numbers between 0 and 1"
            f"{'' if mean is None else f' whose mean is {mean:.3g}'}. Give it in the unit of "
            f"'{response.name if response else 'error'}'."
        )
    return sd


def _with_k(rows: list[dict[str, Any]], filled: set[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """k from samples of a class times classes where the table has no k of its own, which is then said."""
    own = [row for row in rows if str(row.get("method") or "").strip().lower() != REFERENCE]
    if "k" not in filled and {"per_class", "classes"} <= filled:
        for line, row in enumerate(rows, start=1):
            parts = [finite(row[name], f"row {line}: {name}") for name in ("per_class", "classes")]
            row["k"] = None if None in parts else math.prod(part for part in parts if part is not None)
        return rows, ["k is per_class times classes"]
    if "k" not in filled and any("k" not in row for row in rows):
        require({"method", *(name for row in rows for name in row)}, "k")
    if {"k", "per_class"} <= filled and all(row["k"] == row["per_class"] for row in own if _there(row["per_class"])):
        raise BadData(
            "k equals per_class in every row, but k counts the samples of all classes together: multiply it by the "
            "number of classes, or leave per_class out."
        )
    return rows, []


def _full_as_reference(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the reference as limbeck does, where the table calls it something else, which is then said."""
    named = [str(row.get("method") or "").strip() for row in rows]
    changed = {}
    for row, name in zip(rows, named, strict=True):
        plain = re.sub(r"[\s\-]+", "_", name.lower())
        if plain == REFERENCE:
            row["method"] = REFERENCE
        elif plain in WHOLE_SET and not _there(row.get("k")) and REFERENCE not in map(str.lower, named):
            row["method"], changed[name] = REFERENCE, True
    said = " and ".join(f"'{name}'" for name in changed)
    return [f"the method {said}, without k, is the reference"] if changed else []


def _read_as(changed: Sequence[Column], own: Mapping[str, Column | None], error: Column | None) -> list[str]:
    parts = [
        f"'{one.name}' is {one.said}{' in per cent' if one.per_cent else ''}"
        for one in dict.fromkeys(changed)
        if one.per_cent or one.name.strip().lower() != one.said
    ]
    if error is not None and error is own["accuracy"]:
        parts.append("error is 1 - accuracy")
    return parts


def _unused(unused: Sequence[Column], table: Sequence[Row], read: Sequence[Row]) -> list[Note]:
    """A note of what was not used. Raises `BadData` where such a column divides a law's runs at every k alike."""
    if not unused:
        return []
    for one in unused:
        if law := _divided(one, table, read):
            raise BadData(
                f"the runs of {law} differ in the column '{one.name}', at every k, and it is not read: are they one "
                "law? Name it configuration or source where each value has a law of its own, set or seed where it "
                "numbers repetitions, or leave it out."
            )
    names = ", ".join(f"'{one.name}'" for one in unused)
    return [Note(Code.columns_unused, f"Not used: the column{'s' if len(unused) > 1 else ''} {names}.")]


def _divided(column: Column, table: Sequence[Row], read: Sequence[Row]) -> str | None:
    """The method whose every k has the same two or more values of a column, in runs that nothing else tells apart."""
    found: dict[tuple[str, ...], dict[str, set[str]]] = {}
    keys: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row, out in zip(table, read, strict=True):
        if out["method"] == REFERENCE:
            continue
        law = tuple(str(out.get(name) or "") for name in ("method", "configuration", "source"))
        found.setdefault(law, {}).setdefault(str(out["k"]), set()).add(str(row.get(column.name)))
        keys.setdefault(law, []).append(tuple(str(out.get(name)) for name in ("k", "set", "seed")))
    for law, held in found.items():
        first = next(iter(held.values()))
        told_apart = len(set(keys[law])) == len(keys[law])
        if len(held) > 1 and len(first) > 1 and all(one == first for one in held.values()) and not told_apart:
            return f"'{law[0]}'"
    return None
