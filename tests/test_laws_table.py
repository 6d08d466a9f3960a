"""Tables that limbeck made and tables that it did not: what can be read is read, what is wrong is said by its row."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.errors import BadData, MissingData
from limbeck.laws import Code, Group, answer, fit_levels, fit_scaling, groups, read_rows
from limbeck.laws.interchange_answer import NEEDED, interchange_answer
from limbeck.laws.profiles import read_all
from worlds import KS, Rows, World, reference_rows

WORLD = World()


def only(rows: Rows, **settings: Any) -> Group:
    found = groups(rows, **settings)
    assert len(found) == 1
    return found[0]


def codes(rows: Rows) -> set[str]:
    return {note["code"] for fit in answer(rows)["fits"] for note in fit["notes"]}


def changed(rows: Rows, line: int, **values: Any) -> Rows:
    return [row | values if place == line else row for place, row in enumerate(rows)]


def without(rows: Rows, *columns: str) -> Rows:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def write(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_gives_the_fit_of_its_arrays() -> None:
    k, gap, sets, references = WORLD.draw(1)
    group = only(WORLD.rows(1))
    assert group.levels is not None
    mine, direct = fit_levels(group.levels), fit_scaling(k, gap, sets, reference_errors=references)
    assert mine.best.floor == pytest.approx(direct.best.floor, abs=1e-9)
    assert mine.exponent.low == pytest.approx(direct.exponent.low)
    assert (mine.required_k(0.12).estimate or 0) == pytest.approx(direct.required_k(0.12).estimate)


def test_a_csv_file_reads_back_as_the_rows_it_was_written_from(tmp_path: Path) -> None:
    rows = WORLD.rows(2)
    text = read_rows(write(tmp_path / "rows.csv", rows))
    assert answer(text, [0.12], [1000]) == answer(rows, [0.12], [1000])


def test_a_byte_order_mark_and_spaces_around_names_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = ["method , configuration,k, error", *(f"dm,mlp,{k},{0.2 + 1 / k}" for k in KS), "reference,mlp,,0.1"]
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert [group.method for group in groups(read_rows(path))] == ["dm"]


def test_methods_and_configurations_are_fitted_apart() -> None:
    dc = [row for row in WORLD.rows(4, method="dc") if row["method"] == "dc"]
    rows = WORLD.rows(3) + dc + World(floor=0.2).rows(5, configuration="vit", base=0.3)
    found = {(group.method, group.configuration): group for group in groups(rows)}
    assert set(found) == {("dm", "mlp"), ("dc", "mlp"), ("dm", "vit")}
    levels = found["dm", "vit"].levels
    assert levels is not None
    assert levels.mean[-1] == pytest.approx(0.2 + 0.6 * 500**-0.5, abs=0.03)  # against its own reference


def test_gaps_may_stand_in_the_table_instead_of_references() -> None:
    k, gap, sets, _ = WORLD.draw(6)
    rows = [
        {"method": "dm", "configuration": "mlp", "k": a, "set": b, "seed": i, "gap": c}
        for i, (a, c, b) in enumerate(zip(k, gap, sets, strict=True))
    ]
    group = only(rows)
    assert group.levels is not None
    assert group.levels.mean == pytest.approx(
        fit_scaling(k, gap, sets).levels.mean
    )  # the gaps as they are, their reference's noise unknown
    assert Code.reference_noise_unknown in {note.code for note in group.levels.notes}


def test_published_means_with_their_spread_and_n_are_a_table_too() -> None:
    k, gap, sets, references = World(seeds=1, sets=5).draw(7)
    rows: Rows = [
        {"method": "dm", "configuration": "mlp", "k": int(one), "error_mean": 0.1 + gap[k == one].mean(),
         "error_sd": gap[k == one].std(ddof=1), "n": 5}
        for one in np.unique(k)
    ]  # fmt: skip
    rows.append(
        {"method": "reference", "configuration": "mlp", "k": None, "error_mean": 0.1,
         "error_sd": references.std(ddof=1), "n": 5}
    )  # fmt: skip
    group = only(rows)
    assert group.levels is not None
    direct = fit_scaling(k, gap, sets, reference_errors=references, heteroscedastic=False)
    mine = fit_levels(group.levels)
    assert mine.floor.to_dict() == pytest.approx(direct.floor.to_dict())
    assert Code.means_only.value in codes(rows)


def test_pairing_takes_noise_of_the_seed_out() -> None:
    """One seed moves the run on the set and the run on the full data alike."""
    random = np.random.default_rng(8)
    of_seed = 0.03 * random.standard_normal(4)
    rows: Rows = [
        {"method": "dm", "configuration": "mlp", "k": k, "set": s, "seed": i,
         "error": 0.1 + float(WORLD.gap(k)) + of_seed[i] + 0.002 * random.standard_normal()}
        for k in KS for s in range(3) for i in range(4)
    ]  # fmt: skip
    rows += reference_rows(0.1 + of_seed + 0.002 * random.standard_normal(4))
    paired, plain = only(rows, pair=True).levels, only(rows).levels
    assert paired is not None
    assert plain is not None
    assert paired.shift_sd < 0.2 * plain.shift_sd
    assert paired.mean == pytest.approx(WORLD.gap(np.array(KS)), abs=0.004)
    fit = answer(rows, pair=True)["fits"][0]
    assert "seeds_paired" in {note["code"] for note in fit["notes"]}
    with pytest.raises(BadData, match="seeds 3"):
        groups([row for row in rows if (row["method"], row["seed"]) != ("reference", 3)], pair=True)


@pytest.mark.parametrize(
    ("column", "code"),
    [("set", "set_missing"), ("seed", "seed_missing"), ("configuration", "configuration_missing")],
)
def test_columns_that_can_be_done_without_are_done_without_aloud(column: str, code: str) -> None:
    assert code in codes(without(World(sets=1).rows(9), column))


@pytest.mark.parametrize("column", ["method", "k", "error"])
def test_columns_that_can_not_are_named_with_the_nearest_there(column: str) -> None:
    rows = [
        {(f"{name}s" if name == column else name): value for name, value in row.items()} for row in WORLD.rows(9)
    ]  # 'errors', 'methods', 'ks'
    with pytest.raises(BadData, match=f"no column '{column}'") as raised:
        groups(rows)
    if column != "k":
        assert f"{column}s" in str(raised.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"error": math.nan}, "failed has no error"),
        ({"error": "nan"}, "failed has no error"),
        ({"error": math.inf}, "failed has no error"),
        ({"error": 12.5}, "Divide per cents by 100"),
        ({"error": -0.1}, "no fraction"),
        ({"error": "0,12"}, "no number"),
        ({"k": 0}, "whole number"),
        ({"k": 10.5}, "whole number"),
        ({"k": ""}, "k is empty"),
        ({"k": "ten"}, "no number"),
        ({"method": " "}, "method is empty"),
    ],
)
def test_an_impossible_value_is_refused_by_its_row(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData, match=said) as raised:
        groups(changed(WORLD.rows(10), 4, **values))
    assert "row 5" in str(raised.value)


def test_percentages_are_never_taken_for_fractions() -> None:
    rows = [row | {"error": 100 * row["error"]} for row in WORLD.rows(11)]
    with pytest.raises(BadData, match="per cents"):
        answer(rows)


def test_failed_runs_are_left_out_and_counted() -> None:
    rows = changed(changed(WORLD.rows(12), 4, error=""), 9, error=None)
    notes = [note for note in only(rows).notes if note.code == Code.failed_runs]
    assert notes
    assert notes[0].message.startswith("2 of 59 runs")
    with pytest.raises(BadData, match="no row has an error"):
        groups([row | {"error": None} for row in rows])


def test_rows_given_twice_count_once_and_contradictions_are_refused() -> None:
    rows = WORLD.rows(13)
    twice, once = only([*rows, *rows[:5]]), only(rows)
    assert twice.levels is not None
    assert once.levels is not None
    assert twice.levels.mean.tolist() == once.levels.mean.tolist()
    assert Code.duplicated_rows in {note.code for note in twice.notes}
    with pytest.raises(BadData, match="different errors"):
        groups([*rows, rows[0] | {"error": rows[0]["error"] + 0.01}])


def test_without_seeds_repeated_rows_are_repeated_runs() -> None:
    rows = without(WORLD.rows(14), "seed")
    group = only(rows)
    assert group.levels is not None
    assert group.levels.runs.tolist() == [9] * 6
    assert Code.duplicated_rows not in {note.code for note in group.notes}


def test_a_configuration_without_reference_is_told_and_the_others_are_fitted() -> None:
    rows = WORLD.rows(15) + [row for row in WORLD.rows(16, configuration="vit") if row["method"] != "reference"]
    fits = {fit["configuration"]: fit for fit in answer(rows, [0.12])["fits"]}
    assert fits["mlp"]["floor"]["estimate"] is not None
    assert fits["vit"]["floor"]["estimate"] is None
    assert fits["vit"]["required_k"][0]["refusal"] == "there is no full-data reference"
    assert {note["code"] for note in fits["vit"]["notes"]} == {"no_reference"}
    with pytest.raises(BadData, match="no full-data error"):
        answer([row for row in rows if row["method"] != "reference"])


@pytest.mark.parametrize(("ks", "levels"), [((10,), 1), ((10, 50), 2)])
def test_too_few_levels_give_a_refusal_with_its_reason(ks: tuple[int, ...], levels: int) -> None:
    fit = answer(World(ks=ks).rows(17), [0.12], [100])["fits"][0]
    assert fit["floor"]["estimate"] is None
    assert fit["required_k"][0]["estimate"] is None
    assert fit["required_k"][0]["refusal"]
    assert "too_few_levels" in {note["code"] for note in fit["notes"]}
    assert len(fit["levels"]) == levels  # what was measured is shown all the same


def test_a_table_of_nothing_or_of_references_alone_is_refused() -> None:
    with pytest.raises(BadData, match="no rows"):
        answer([])
    with pytest.raises(BadData, match="reference rows only"):
        answer(reference_rows([0.1, 0.2]))


MEANS: Rows = [{"method": "dm", "configuration": "", "k": k, "error_mean": 0.3, "error_sd": 0.01, "n": 3} for k in KS]
FULL: Rows = [{"method": "reference", "configuration": "", "k": None, "error_mean": 0.1, "error_sd": 0.01, "n": 3}]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (MEANS, "has 0 rows of method 'reference'"),
        (MEANS + FULL + FULL, "has 2 rows of method 'reference'"),
        (changed(MEANS + FULL, 2, n=0), "n = 0"),
        (changed(MEANS + FULL, 2, n=2.5), "n = 2.5"),
        (changed(MEANS + FULL, 2, error_sd=None), "needs error_mean, error_sd and n"),
        (changed(MEANS + FULL, 2, error_mean=30), "per cents"),
        (MEANS + MEANS[:1] + FULL, "one k twice"),
    ],
)
def test_incomplete_means_are_refused(rows: Rows, said: str) -> None:
    with pytest.raises(BadData, match=said):
        groups(rows)


def test_a_file_that_is_no_table_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no table"):
        read_rows(tmp_path / "nowhere.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00k")
    with pytest.raises(BadData, match="UTF-8"):
        read_rows(tmp_path / "bytes.csv")
    (tmp_path / "ragged.csv").write_text("method,k,error\ndm,10,0.2\ndm,20\n")
    with pytest.raises(BadData, match=r"row 3 has \d+ cells, the header \d+"):
        read_rows(tmp_path / "ragged.csv")
    (tmp_path / "twice.csv").write_text("method,k,k,error\ndm,10,10,0.2\n")
    with pytest.raises(BadData, match="two columns of one name"):
        read_rows(tmp_path / "twice.csv")


@pytest.mark.parametrize("gap", [0.0, -0.1, 1.0, 5.0, math.nan])
def test_a_target_that_is_no_gap_is_refused(gap: float) -> None:
    with pytest.raises(BadData, match="must lie between 0 and 1"):
        answer(WORLD.rows(18), [gap])


@pytest.mark.parametrize("k", [0.0, -5.0, math.inf, math.nan])
def test_a_prediction_at_no_k_is_refused(k: float) -> None:
    with pytest.raises(BadData, match="at least 1"):
        answer(WORLD.rows(18), at=[k])


def test_another_column_may_stand_for_k() -> None:
    """Soft labels double a set's bytes: the same law, required bytes in place of required k."""
    rows = [row | {"bytes": None if row["k"] is None else 800 * row["k"]} for row in WORLD.rows(19)]
    by_k, by_bytes = (answer(rows, [0.15], axis=axis)["fits"][0] for axis in ("k", "bytes"))
    assert by_bytes["exponent"] == pytest.approx(by_k["exponent"])
    assert by_bytes["required_k"][0]["estimate"] == pytest.approx(800 * by_k["required_k"][0]["estimate"])
    with pytest.raises(BadData, match="no column 'byte'") as raised:
        answer(rows, axis="byte")
    assert "bytes" in str(raised.value)


def test_a_table_from_elsewhere_is_read_whatever_separates_and_spells_its_columns(tmp_path: Path) -> None:
    rows = "dm,net,10,0,0,0.3\nreference,net,,,0,0.1\n"
    plain = "method,configuration,k,set,seed,error\n" + rows
    (tmp_path / "plain.csv").write_text(plain)
    expected = read_rows(tmp_path / "plain.csv")
    for number, separator in enumerate(";\t"):
        text = "Method,CONFIGURATION,K,Set,Seed,Error\n" + rows
        (tmp_path / f"{number}.csv").write_text(text.replace(",", separator))
        assert read_rows(tmp_path / f"{number}.csv") == expected


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"method": "dm", "k": 10, "precision": 0.9}, "no column 'error'.*or accuracy, or gap"),
        ({"method": "dm", "ipc": 10, "error": 0.1}, "no column 'k'.*samples of all classes together"),
        ({"method": "everything", "k": "", "error": 0.1}, "method is 'reference'"),
        ({"method": "dm", "k": 10, "error": "nan"}, "leave the cell empty"),
    ],
)
def test_what_other_tables_lack_is_said_with_what_to_do(row: dict[str, Any], words: str) -> None:
    with pytest.raises(BadData, match=words):
        groups([row])


def test_every_answer_names_the_row_that_holds_no_number() -> None:
    held = {"method": "dm", "configuration": "net", "k": "ten", "set": 0, "seed": 0, "error": 0.2}
    with pytest.raises(BadData, match="row 1: k is 'ten', which is no number"):
        read_all([held])
    row = dict.fromkeys(NEEDED, "1") | {"discrepancy": "much"}
    with pytest.raises(BadData, match="row 1: discrepancy is 'much'"):
        interchange_answer([row])
