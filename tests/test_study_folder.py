"""A study's folder remembers every cell: as rows, as a status, through a merge, an edit, damage and a full disk."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import faked
from faked import QUICK
from limbeck.configuration import Configuration
from limbeck.errors import BadData, CorruptFile, Interrupted, MissingData, StoreFailure, StudyChanged
from limbeck.laws import read_rows
from limbeck.runners import run_study
from limbeck.sources import load_source
from limbeck.store import write_record
from limbeck.study import COLUMNS, Cell, Study, StudyFolder, merge, status, table, table_csv, verify
from limbeck.study.status import seconds_left
from little import CONFIGURATIONS, little_study, little_toml, opened, results, write_arrays


def ran(tmp_path: Path, runs: str = "runs", **changes: Any) -> StudyFolder:
    """A folder whose cells were all run, with work that stands in for training."""
    folder = opened(tmp_path, runs, **changes)
    run_study(folder, "serial", execute=QUICK)
    return folder


def test_the_table_has_a_row_a_training_and_the_gaps_of_its_own_references(tmp_path: Path) -> None:
    rows = table(ran(tmp_path))
    assert len(rows) == 2 * 2 + 2 * 2 * 2 * 2 * 2
    assert all(tuple(row) == COLUMNS for row in rows)
    for configuration in {row["configuration"] for row in rows}:
        own = [row for row in rows if row["configuration"] == configuration]
        errors = [row["error"] for row in own if row["method"] == "reference"]
        assert [row["k"] for row in own if row["method"] == "reference"] == [None, None]
        for row in own:
            assert row["gap"] == pytest.approx(row["error"] - sum(errors) / 2, abs=1e-15)
            assert row["error"] == faked.fraction(
                Configuration.parse(row["configuration"]).full_spec, row["training_seed"]
            )
    keys = [(row["method"], row["configuration"], row["k"], row["set"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys)


def test_csv_reads_back_to_the_last_bit_and_by_the_laws(tmp_path: Path) -> None:
    rows = table(ran(tmp_path))
    text = table_csv(rows)
    read = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["error"]) for row in read] == [row["error"] for row in rows]
    assert [row["k"] for row in read if row["method"] == "reference"] == [""] * 4
    (tmp_path / "rows.csv").write_text(text)
    assert len(read_rows(tmp_path / "rows.csv")) == len(rows)


def test_a_table_of_an_unfinished_study_has_what_is_there(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    assert table(folder) == []
    made: list[Cell] = []

    def stop(cell: Cell, record: dict[str, Any]) -> None:
        made.append(cell)
        if len(made) == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="finished cells are kept"):
        run_study(folder, "serial", on_done=stop, execute=QUICK)
    rows = table(folder)
    assert [row["method"] for row in rows] == ["reference", "random", "random"]
    assert all(row["gap"] is not None for row in rows)


def test_an_edited_study_is_refused_and_extended_on_request(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    before = results(folder)
    changed = little_study(tmp_path, per_class=[1, 3, 2])
    with pytest.raises(StudyChanged, match=r"per_class: added 2. Give --extend to go on"):
        StudyFolder.open(changed, tmp_path / "runs")
    assert results(StudyFolder(folder.path)) == before
    grown = StudyFolder.open(changed, tmp_path / "runs", extend=True)
    left = status(grown)
    assert left.counts["reference"].left == 0
    assert left.counts["distill"].left == 4
    run_study(grown, "serial", execute=QUICK)
    kept = [row for row in results(grown) if row["per_class"] != 2]
    assert sorted(map(str, kept)) == sorted(map(str, before))


def test_a_study_may_be_edited_until_a_cell_was_run(tmp_path: Path) -> None:
    opened(tmp_path)
    assert opened(tmp_path, per_class=[1, 2]).study.per_class == (1, 2)
    run_study(opened(tmp_path, per_class=[1, 2]), "serial", execute={})  # every cell fails: that is a result too
    with pytest.raises(StudyChanged):
        opened(tmp_path)


def test_comments_and_order_of_keys_are_no_change(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    lines = little_toml(tmp_path).partition("[distill]")
    turned = "# a comment\n" + "\n".join(reversed(lines[0].splitlines())) + "\n[distill]" + lines[2]
    assert StudyFolder.open(Study.read(turned), tmp_path / "runs") == folder


def test_data_that_changed_since_are_refused(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    write_arrays(tmp_path / "arrays.npz", counts=(21, 20, 20))
    load_source.cache_clear()
    with pytest.raises(StudyChanged, match=r"are not those that .* was run on"):
        run_study(folder, "serial", execute=QUICK)
    load_source.cache_clear()


def test_a_folder_of_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    about = {**folder._about, "format": 2}
    write_record(folder.path / "study.json", about)
    with pytest.raises(BadData, match="written by a newer limbeck"):
        _ = StudyFolder(folder.path).study
    with pytest.raises(MissingData, match="holds no study"):
        _ = StudyFolder(tmp_path).study


def test_names_of_files_say_what_is_finished(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    run_study(folder, "serial", execute=faked.DIVERGING)
    (folder.path / "cells" / "ab").mkdir(exist_ok=True)
    (folder.path / "cells" / "ab" / ".abc.json.x1").touch()  # a write that was cut off
    assert folder.finished() == {cell.id for cell in folder.cells()}
    assert folder.failed() == set()


def test_the_status_counts_and_names_failures_with_their_reasons(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["random", "k-means"])
    state = run_study(folder, "serial", execute=faked.DIVERGING)
    assert state.complete
    assert vars(state.counts["distill"]) == {"done": 4, "failed": 4, "blocked": 0, "left": 0}
    assert vars(state.counts["evaluate"]) == {"done": 8, "failed": 0, "blocked": 8, "left": 0}
    assert len(state.failures) == 4
    assert all("left the finite range at step 3" in failure["reason"] for failure in state.failures)
    assert state.failures[0]["cell"].startswith("distill k-means 1 per class, set 0")
    assert json.loads(json.dumps(state.to_dict())) == state.to_dict()
    retried = run_study(folder, "serial", retry=True, execute=QUICK)
    assert not retried.failures
    assert retried.counts["evaluate"].done == 16


def test_the_time_left_follows_from_measured_cells_of_the_same_kind() -> None:
    def cell(kind: str, n: int, cost: float) -> Cell:
        return Cell(kind, {"n": n, "configuration": "mlp"}, (), cost)

    spent = [(cell("reference", 0, 10.0), 5.0), (cell("evaluate", 1, 1.0), 3.0)]
    assert seconds_left(spent, []) == 0
    assert seconds_left([], [cell("reference", 2, 1.0)]) is None
    assert seconds_left(spent, [cell("reference", 2, 4.0), cell("evaluate", 3, 2.0)]) == pytest.approx(4 * 0.5 + 2 * 3)
    assert seconds_left(spent, [cell("expert", 4, 11.0)]) == pytest.approx(8.0)  # all seconds over all operations


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("no luck"), "RuntimeError: no luck (test_study_folder.py, line"),
        (KeyError("x"), "KeyError: 'x'"),
        (BadData("line one\nline two"), "line one line two"),
    ],
)
def test_any_error_inside_a_cell_is_its_result(tmp_path: Path, error: Exception, words: str) -> None:
    def broken(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
        raise error

    folder = opened(tmp_path)
    state = run_study(folder, "serial", execute={**QUICK, "distill": broken})
    assert state.counts["distill"].failed == 8
    assert words in state.failures[0]["reason"]
    assert len(table(folder)) == 4


def test_a_result_that_is_no_number_is_a_failure_in_words(tmp_path: Path) -> None:
    state = run_study(
        opened(tmp_path), "serial", execute={**QUICK, "evaluate": lambda f, c: {"rows": [{"error": float("nan")}]}}
    )
    assert "a result is not a finite number: the training has diverged" in state.failures[0]["reason"]


def test_diverging_trainings_fail_their_own_cells_alone(tmp_path: Path) -> None:
    wild = "mlp(width=8, depth=1)/sgd(lr=1e30)/none/constant(steps=6)"
    folder = opened(tmp_path, methods=["random"], configurations=[CONFIGURATIONS[0], wild])
    state = run_study(folder, "serial")
    assert state.counts["evaluate"].failed == 4
    assert state.counts["reference"].failed == 2
    assert all("lr=1e+30" in failure["cell"] for failure in state.failures)
    assert {row["configuration"] for row in table(folder)} == {CONFIGURATIONS[0]}


def test_shards_on_separate_disks_merge_to_the_whole(tmp_path: Path) -> None:
    whole = ran(tmp_path)
    parts = []
    for i in (1, 2, 3):
        folder = opened(tmp_path, f"shard{i}")
        run_study(folder, "serial", part=f"{i}/3", execute=QUICK)
        parts.append(folder)
    into = opened(tmp_path, "merged")
    done = merge(into, parts)
    assert (done.copied, done.known, done.conflicts, done.unreadable) == (len(whole.cells()), 0, (), ())
    assert results(into) == results(whole)
    assert verify(into.path) == []
    again = merge(into, parts)
    assert (again.copied, again.known) == (0, len(whole.cells()))
    assert run_study(into, "serial", execute={}).complete  # nothing is left to run


def test_two_results_for_one_cell_are_reported_loudly(tmp_path: Path) -> None:
    here, there = ran(tmp_path), ran(tmp_path, "there")
    cell = next(cell for cell in here.cells() if cell.kind == "evaluate")
    record = there.record(cell.id)
    record["rows"][0]["error"] += 0.01
    there.write(cell.id, record)
    before = here.record(cell.id)
    assert merge(here, [there]).conflicts == (cell.id,)
    assert merge(opened(tmp_path, "third"), [here, there]).conflicts == (cell.id,)
    assert here.record(cell.id) == before


def test_merging_another_study_or_a_damaged_record_is_told(tmp_path: Path) -> None:
    here = ran(tmp_path)
    with pytest.raises(BadData, match=r"holds another study than .*: per_class: added 3"):
        merge(here, [opened(tmp_path, "other", per_class=[1])])
    there, empty = ran(tmp_path, "there"), opened(tmp_path, "empty")
    path = there.record_path(there.cells()[0].id)
    path.write_text(path.read_text()[:-9])
    assert merge(empty, [there]).unreadable == (path,)


def test_a_success_elsewhere_stands_beside_a_failure_here(tmp_path: Path) -> None:
    here = opened(tmp_path, methods=["k-means"])
    run_study(here, "serial", execute=faked.DIVERGING)
    assert here.failed()
    merge(here, [ran(tmp_path, "there", methods=["k-means"])])
    assert here.failed() == set()
    assert status(here).counts["evaluate"].done == 8


def test_verify_finds_nothing_wrong_with_a_real_study(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    run_study(folder, "serial")
    assert verify(folder.path) == []
    assert [problem.message for problem in verify(tmp_path / "none")] == ["is no folder. Check the path."]


def test_verify_finds_every_kind_of_damage(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["k-means", "random"])
    run_study(folder, "serial", execute=faked.DIVERGING)
    cells = {kind: [c for c in folder.cells() if c.kind == kind] for kind in ("reference", "distill", "evaluate")}
    flipped, moved, swapped = (folder.record_path(cell.id) for cell in cells["reference"][:3])
    flipped.write_bytes(flipped.read_bytes().replace(b'"error": 0', b'"error": 1'))
    swapped.write_bytes(moved.read_bytes())
    moved.rename(moved.with_name(f"{moved.stem}{'.failed'}.json"))
    done = [cell for cell in cells["distill"] if cell.id in folder.finished()]
    name = folder.record(done[0].id)["object"]
    tensors = folder.objects(name) / f"{name}.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x7f")
    gone = folder.record(done[1].id)["object"]
    (folder.objects(gone) / f"{gone}.json").unlink()
    (folder.path / "study.toml").write_text("name = 'edited'")
    found = {problem.path.name: problem.message for problem in verify(folder.path)}
    assert "is not as it was written" in found[flipped.name]
    assert "lies where the record of another cell belongs" in found[swapped.name]
    assert "says that its cell finished, its name the contrary" in found[f"{moved.stem}.failed.json"]
    assert "a SHA-256 differs" in found[f"{name}.json"]
    assert "names tensors that are not there" in found[folder.record_path(done[1].id).name]
    assert "nothing reads it" in found["study.toml"]
    assert len(found) == 6


def test_a_damaged_record_is_not_counted_as_a_result(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    path = folder.record_path(folder.cells()[0].id)
    path.write_text(path.read_text()[:-5])
    with pytest.raises(CorruptFile, match="Delete it and run the command again"):
        table(folder)
    assert run_study(folder, "serial", execute=QUICK).complete
    assert len(table(folder)) == 36


def test_a_set_that_was_exchanged_is_not_trained_on(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["random"])
    run_study(folder, "serial")
    sets = [cell for cell in folder.cells() if cell.kind == "distill"]
    first, second = (folder.record(cell.id)["object"] for cell in sets[:2])
    for suffix in (".json", ".safetensors"):
        shutil.copy(folder.objects(second) / f"{second}{suffix}", folder.objects(first) / f"{first}{suffix}")
    training = next(cell for cell in folder.cells() if cell.needs == (sets[0].id,))
    folder.record_path(training.id).unlink()
    state = run_study(folder, "serial")
    assert "is not the one that its record names" in state.failures[0]["reason"]
    assert any(sets[0].id in str(p.path) for p in verify(folder.path))


def test_a_disk_that_refuses_ends_the_run_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    whole = results(ran(tmp_path, "whole"))
    real, budget = os.fsync, [30]

    def full(handle: int) -> None:
        budget[0] -= 1
        if budget[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFailure, match=r"No space left on device. Finished results are untouched; make room"):
        run_study(folder, "serial", execute=QUICK)
    monkeypatch.undo()
    assert 0 < len(folder.finished()) < len(folder.cells())
    assert folder.failed() == set()
    assert verify(folder.path) == []
    run_study(folder, "serial", execute=QUICK)
    assert results(folder) == whole


def test_selections_are_nothing_to_judge_distillations_by() -> None:
    def cell(method: str, cost: float) -> Cell:
        return Cell("distill", {"method": method, "configuration": "mlp"}, (), cost)

    chosen, made = cell("random", 1.0), cell("dm(steps=100)", 1e9)
    assert seconds_left([(chosen, 0.1)], [made]) is None
    assert seconds_left([(made, 7.0)], [chosen]) == 0
    assert seconds_left([(chosen, 0.1), (made, 7.0)], [chosen, made]) == pytest.approx(7.1)
