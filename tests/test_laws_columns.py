"""Tables that others made: whatever the columns are called, the same numbers give the same law, or a refusal."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Command
from limbeck.errors import BadData
from limbeck.laws import answer, fit_scaling, groups, read_rows
from limbeck.laws.columns import read_name
from limbeck.laws.coverage_answer import coverage_answer
from limbeck.laws.profiles import read_all
from worlds import KS, Rows, World, reference_rows

WORLD = World()
Change = Callable[[Rows], Rows]


def means() -> Rows:
    """A table of means of five sets with the mean of five references."""
    k, gap, _, references = World(seeds=1, sets=5).draw(7)
    head = {"configuration": "mlp", "n": 5}
    rows: Rows = [
        {"method": "dm", **head, "k": int(one), "error_mean": 0.1 + gap[k == one].mean(),
         "error_sd": gap[k == one].std(ddof=1)}
        for one in np.unique(k)
    ]  # fmt: skip
    full = {"error_mean": 0.1, "error_sd": references.std(ddof=1)}
    return [*rows, {"method": "reference", **head, "k": None, **full}]


def said(rows: Rows) -> dict[str, Any]:
    """The law's numbers, without its notes."""
    (fit,) = answer(rows, [0.12], [1000])["fits"]
    return {name: fit[name] for name in ("floor", "exponent", "amplitude", "required_k", "predictions", "levels")}


def notes(rows: Rows) -> dict[str, str]:
    return {note["code"]: note["message"] for fit in answer(rows)["fits"] for note in fit["notes"]}


def named(**names: str) -> Change:
    return lambda rows: [{names.get(name, name): value for name, value in row.items()} for row in rows]


def column(name: str, value: Callable[[dict[str, Any]], Any], *gone: str) -> Change:
    return lambda rows: [
        {key: held for key, held in row.items() if key not in gone} | {name: value(row)} for row in rows
    ]


def chain(*changes: Change) -> Change:
    def changed(rows: Rows) -> Rows:
        for change in changes:
            rows = change(rows)
        return rows

    return changed


def same(one: Any, other: Any) -> bool:
    """Equal numbers, as far as adding and taking off a reference rounds alike."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9))


OF_RUNS: dict[str, Change] = {
    "percent": column("Error (%)", lambda row: 100 * row["error"], "error"),
    "accuracy": column("test_acc", lambda row: 1 - row["error"], "error"),
    "accuracy in per cent": column("Accuracy [%]", lambda row: 100 * (1 - row["error"]), "error"),
    "pct": column("acc_pct", lambda row: 100 * (1 - row["error"]), "error"),
    "other names": named(error="Test Error", configuration="config", set="set_id", seed="Trial"),
    "ipc and classes": chain(
        column("IPC", lambda row: None if row["k"] is None else row["k"] / 10, "k"), column("num classes", lambda _: 10)
    ),
    "full data": lambda rows: [row | {"method": row["method"].replace("reference", "Full data")} for row in rows],
    "REFERENCE": lambda rows: [row | {"method": row["method"].replace("reference", "Reference ")} for row in rows],
    "NaN of data frames": lambda rows: [
        row | ({"k": math.nan, "set": math.nan, "seed": row["seed"]} if row["k"] is None else {}) for row in rows
    ],
    "NaN for names": lambda rows: [row | {"configuration": math.nan} for row in rows],
    "k of references": lambda rows: [row | {"k": row["k"] or "all"} for row in rows],
    "gap beside": column("gap", lambda row: row["error"] - np.mean([r["error"] for r in WORLD.rows(3)[-5:]])),
    "gap alone": chain(
        column("gap", lambda row: row["error"] - 0.1, "error"),
    ),
}
OF_MEANS: dict[str, Change] = {
    "bare error": named(error_mean="error"),
    "std": named(error_mean="mean error", error_sd="Std", n="Runs"),
    "std of error": named(error_mean="error_avg", error_sd="std_error", n="n_runs"),
    "standard error": column("error_se", lambda row: row["error_sd"] / math.sqrt(row["n"]), "error_sd"),
    "per cent": chain(
        column("error_mean (%)", lambda row: 100 * row["error_mean"], "error_mean"),
        column("error_sd", lambda row: 100 * row["error_sd"]),
    ),
    "spread in per cent alone": column("sd (%)", lambda row: 100 * row["error_sd"], "error_sd"),
    "accuracy": chain(
        column("acc (%)", lambda row: 100 - 100 * row["error_mean"], "error_mean"),
        column("acc_std", lambda row: 100 * row["error_sd"], "error_sd"),
    ),
    "gap": column("gap", lambda row: row["error_mean"] - 0.1, "error_mean"),
    "gap_mean": chain(column("gap_mean", lambda row: row["error_mean"] - 0.2, "error_mean"), named(error_sd="gap_sd")),
    "gap beside": column("gap", lambda row: row["error_mean"] - 0.1),
}


@pytest.mark.parametrize("name", list(OF_RUNS))
def test_runs_by_any_name_give_the_same_law(name: str) -> None:
    rows = WORLD.rows(3)
    assert same(said(OF_RUNS[name](rows)), said(rows))


@pytest.mark.parametrize("name", list(OF_MEANS))
def test_means_by_any_name_give_the_same_law(name: str) -> None:
    """A table of `gap, error_sd, n` too: what deviates is the run, whatever is subtracted from all of them."""
    assert same(said(OF_MEANS[name](means())), said(means()))


def test_what_was_read_in_another_sense_than_its_name_is_said() -> None:
    told = notes(chain(OF_MEANS["accuracy"], named(configuration="config"))(means()))["columns_read_as"]
    assert "'acc (%)' is accuracy in per cent" in told
    assert "error is 1 - accuracy" in told
    assert "'config' is configuration" in told
    assert (
        "the method 'Full data', without k, is the reference"
        in notes(OF_RUNS["full data"](WORLD.rows(3)))["columns_read_as"]
    )
    assert "columns_read_as" not in notes(WORLD.rows(3))


def test_a_table_is_told_in_one_note_how_it_was_read() -> None:
    rows = chain(OF_MEANS["accuracy"], OF_RUNS["ipc and classes"], OF_RUNS["full data"])(means())
    (fit,) = answer(rows)["fits"]
    (told,) = [note["message"] for note in fit["notes"] if note["code"] == "columns_read_as"]
    for part in ("is accuracy in per cent", "k is per_class times classes", "is the reference"):
        assert part in told


def test_a_gap_of_means_without_reference_is_a_law_whose_reference_noise_is_unknown() -> None:
    rows = column("gap", lambda row: row["error_mean"] - 0.1, "error_mean")(means()[:-1])
    assert "reference_noise_unknown" in notes(rows)
    assert said(rows)["floor"]["estimate"] == pytest.approx(said(means())["floor"]["estimate"], abs=0.01)


def test_a_reference_mean_may_come_without_its_spread() -> None:
    rows = [*means()[:-1], means()[-1] | {"error_sd": "", "n": ""}]
    assert "reference_noise_unknown" in notes(rows)
    assert said(rows)["levels"] == said(means())["levels"]


def test_means_of_named_sets_are_the_law_of_their_runs() -> None:
    """Mean and spread over the seeds of each set: the set is the unit, as it is where every run is given."""
    runs = WORLD.rows(3)
    errors = {
        (k, s): [r["error"] for r in runs if (r["k"], r["set"]) == (k, s)] for k in (*KS, None) for s in (0, 1, 2, None)
    }
    rows: Rows = [
        {"method": "dm" if k else "reference", "configuration": "mlp", "k": k, "set": s, "error": np.mean(held),
         "sd": np.std(held, ddof=1), "n": len(held)}
        for (k, s), held in errors.items() if held
    ]  # fmt: skip
    assert same(said(rows), said(runs))
    assert "means_only" not in notes(rows)
    one = [row for row in rows if row["set"] in (0, None)]
    assert "residual_variance" in notes(one)  # seeds of one set say nothing of how sets differ
    with pytest.raises(BadData, match="one k twice"):
        answer([{name: value for name, value in row.items() if name != "set"} for row in rows])


def test_means_without_any_spread_get_an_interval_from_the_scatter_about_the_law() -> None:
    told = notes([row | {"error_sd": 0.0} for row in means()])
    assert {"zero_variance", "residual_variance"} <= set(told)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (column("accuracy (%)", lambda row: 1 - row["error"], "error"), "says per cent, but no value of it is above 1"),
        (column("accuracy", lambda row: 100 - 100 * row["error"], "error"), r"name the column 'accuracy \(%\)'"),
        (column("Error %", lambda row: 1000 * row["error"], "error"), "is no per cent between 0 and 100"),
        (column("per_class", lambda row: row["k"]), "k equals per_class in every row"),
        (column("ipc", lambda row: row["k"], "k"), "no column 'k'.*times classes"),
        (column("error_mean", lambda row: row["error"]), "of means or of runs"),
        (column("err", lambda row: row["error"], "error") , None),
        (chain(column("err", lambda row: 0.1), named(error="test_error")), "both say error"),
        (column("optimizer", lambda row: "sgd" if row["seed"] == 0 else "adam", "seed"), "'optimizer', at every k"),
        (chain(named(configuration="dataset"), column("width", lambda row: row["seed"], "seed")), "'width', at every"),
        (column("error_sd", lambda row: 0.01), "needs error_mean, error_sd and n"),
        (chain(column("sd", lambda row: 0.01), column("n", lambda row: None if row["k"] == 50 else 1)), "and n in"),
    ],
)  # fmt: skip
def test_what_could_be_meant_in_two_ways_is_refused(change: Change, words: str | None) -> None:
    rows = change(WORLD.rows(3))
    if words is None:
        assert same(said(rows), said(WORLD.rows(3)))
        return
    with pytest.raises(BadData, match=words):
        answer(rows)


@pytest.mark.parametrize("spread", [2.0, 0.62, -0.1])
def test_a_spread_that_fractions_can_not_have_is_refused(spread: float) -> None:
    """sd^2 <= mean (1 - mean) n / (n - 1) for numbers between 0 and 1 (Bhatia and Davis)."""
    with pytest.raises(BadData, match="can't be the spread of 5 numbers between 0 and 1"):
        answer([row | {"error_sd": spread} for row in means()])


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (column("comment", lambda row: f"run {row['k']} {row['seed']}"), ["'comment'"]),
        (chain(column("n", lambda row: 3), column("host", lambda row: "a")), ["'host'", "'n'"]),
        (column("accuracy", lambda row: 1 - row["error"]), ["'accuracy'"]),
        (column("Test error", lambda row: 0.5), ["'Test error'"]),
        (column("ci95", lambda row: 0.01), ["'ci95'"]),
    ],
)
def test_what_is_not_used_is_named_and_changes_nothing(change: Change, names: list[str]) -> None:
    rows = change(WORLD.rows(3))
    told = notes(rows)["columns_unused"]
    assert all(name in told for name in names)
    assert same(said(rows), said(WORLD.rows(3)))


def test_columns_that_a_study_writes_for_other_ends_need_no_word() -> None:
    rows = [row | {"loss": 1.0, "bytes": 10, "training_seed": 3, "source": "digits"} for row in WORLD.rows(3)]
    assert "columns_unused" not in notes(rows)


def test_samples_of_a_class_may_stand_for_k_on_demand() -> None:
    rows = [row | {"per_class": row["k"] and row["k"] // 10} for row in WORLD.rows(3)]
    by_class = answer(rows, [0.12], axis="per_class")["fits"][0]["required_k"][0]
    assert by_class["estimate"] == pytest.approx(said(rows)["required_k"][0]["estimate"] / 10)


def test_a_gap_that_is_not_error_less_reference_is_told() -> None:
    rows = [row | {"gap": row["error"]} for row in WORLD.rows(3)]
    assert "up to 0.1 off" in notes(rows)["columns_disagree"]


def test_a_set_of_data_is_a_source_with_laws_of_its_own() -> None:
    rows = [row | {"Dataset": "a"} for row in WORLD.rows(3)]
    rows += [row | {"Dataset": "b"} for row in World(floor=0.2).rows(4, base=0.3)]
    assert [group.configuration for group in groups(rows)] == ["mlp on a", "mlp on b"]


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("Acc. (%)", ("accuracy", True)), ("std_dev", ("sd", False)), ("standard error", ("se", False)),
        ("stderr of err", ("stderr of err", False)), ("mean", ("mean", False)), ("k", ("k", False)),
        ("error_mean_sd", ("error_mean_sd", False)), ("Validation_Error", ("validation_error", False)),
        ("gap (pct)", ("gap", True)), ("mean accuracy", ("accuracy_mean", False)), ("%", ("%", False)),
    ],
)  # fmt: skip
def test_a_name_says_what_it_says_and_no_more(name: str, means: tuple[str, bool]) -> None:
    found = read_name(name)
    assert (found.said, found.per_cent) == means


def write(path: Path, rows: Rows, separator: str = ",", comma: bool = False) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as handle:
        writer = csv.writer(handle, delimiter=separator)
        writer.writerow(rows[0])
        for row in rows:
            cells = ["" if cell is None else str(cell) for cell in row.values()]
            writer.writerow([cell.replace(".", ",") if comma else cell for cell in cells])
            handle.write("\r\n" + separator * (len(row) - 1) + "\r\n   \r\n")  # as spreadsheets leave them
    return path


@pytest.mark.parametrize(("separator", "comma"), [(",", False), (";", True), ("\t", True), (";", False)])
def test_spreadsheets_of_any_country_read_alike(tmp_path: Path, separator: str, comma: bool) -> None:
    rows = OF_MEANS["accuracy"](means())
    assert same(said(read_rows(write(tmp_path / "table.csv", rows, separator, comma))), said(rows))


def test_a_thousands_mark_in_k_is_not_taken_for_a_decimal_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("method;k;error\ndm;1,000;0,2\nreference;;0,1\n")
    with pytest.raises(BadData, match="row 1: k is '1,000', which is no number"):
        answer(read_rows(path))


def test_a_parquet_table_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(WORLD.rows(3)), tmp_path / "rows.parquet")
    assert same(said(read_rows(tmp_path / "rows.parquet")), said(WORLD.rows(3)))


@pytest.mark.parametrize("ending", ["csv", "TSV", "parquet"])
def test_verbs_take_a_table_by_its_ending(limbeck: Command, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table.{ending}"
    if ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(means()), path)
    else:
        write(path, means(), "," if ending == "csv" else "\t")
    assert limbeck("plan", path, "--gap", "0.12").out.startswith("For a gap of 12 points: dm needs ")


def test_the_table_of_the_documentation_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "tables.md").read_text()
    (tmp_path / "table.csv").write_text(text.split("```")[1].strip() + "\n")
    levels = groups(read_rows(tmp_path / "table.csv"))[0].levels
    assert levels is not None
    assert levels.mean == pytest.approx([0.588, 0.414, 0.283])


def test_the_coverage_law_reads_tables_by_the_same_rules() -> None:
    rows = [row for seed, name in enumerate("abc") for row in WORLD.rows(seed, configuration=name)]
    percent = column("error (%)", lambda row: 100 * row["error"], "error")(rows)
    (plain,), (read,) = read_all(rows), read_all(percent)
    assert read.gap == pytest.approx(plain.gap)
    assert {note.code.value for note in read.notes} == {"columns_read_as"}
    with pytest.raises(BadData, match="Divide per cents by 100"):
        read_all([row | {"error": 100 * row["error"]} for row in rows])
    with pytest.raises(BadData, match="different errors"):
        read_all([*rows, rows[0] | {"error": 0.5}])
    with pytest.raises(BadData, match="table of means"):
        coverage_answer(means(), 0.1, [])
    failed = [row | {"error": None} if place == 4 else row for place, row in enumerate(rows)]
    (left,) = read_all(failed)
    assert left.names == ("b", "c")
    assert {note.code.value for note in left.notes} == {"failed_runs", "configurations_left_out"}


def test_gaps_alone_keep_the_noise_of_their_references() -> None:
    k, gap, sets, references = WORLD.draw(6)
    rows: Rows = [
        {"method": "dm", "configuration": "mlp", "k": a, "set": b, "seed": i, "gap": c}
        for i, (a, c, b) in enumerate(zip(k, gap, sets, strict=True))
    ]
    rows += [row | {"gap": row["error"] - references.mean(), "error": None} for row in reference_rows(references)]
    direct = fit_scaling(k, gap, sets, reference_errors=references)
    assert said(rows)["floor"] == pytest.approx(direct.floor.to_dict())
