"""Every verb does its work, answers in JSON where asked, and says mistakes in one paragraph with exit code 2."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import faked
from command import Command
from limbeck.cli import VERBS, progress
from limbeck.cli.printing import print_json
from limbeck.runners import run_study
from limbeck.sources import load_source
from limbeck.study import Cell, Study, StudyFolder
from limbeck.synthetic import SyntheticSet
from little import CONFIGURATIONS, little_toml, opened, results, write_arrays
from planted import planted_rows

CONFIGURATION = CONFIGURATIONS[0]
ROOT = Path(__file__).parents[1]


@pytest.fixture
def made(limbeck: Command, tmp_path: Path) -> Path:
    """The folder of a set, distilled by the command line."""
    arrays = write_arrays(tmp_path / "mine.npz")
    ended = limbeck("distill", f"npz(path={arrays})", "dm(steps=2)", "-k", 2, "-c", CONFIGURATION, "-o", "small")
    assert ended.code == 0, ended.err
    return tmp_path / "small"


def study_file(tmp_path: Path, **changes: Any) -> Path:
    (tmp_path / "little.toml").write_text(little_toml(tmp_path, **changes))
    return tmp_path / "little.toml"


def test_distill_writes_a_set_and_says_what_next(limbeck: Command, made: Path) -> None:
    held = SyntheticSet.load(made)
    assert (held.k, held.method, held.seed) == (6, "dm(steps=2)", 0)
    assert sorted(path.name for path in made.iterdir()) == ["set.json", "set.safetensors"]
    ended = limbeck("distill", held.source, held.method, "-k", 2, "-c", CONFIGURATION, "--seed", 3, "--json")
    facts = ended.json
    assert set(facts) == {"folder", "k", "bytes", "digest", "method", "steps", "seconds", "candidates"}
    assert facts["digest"] == SyntheticSet.load(facts["folder"]).digest != held.digest
    assert facts["folder"] == "npz-dm-2-3"


def test_a_folder_with_another_set_is_left_alone(limbeck: Command, made: Path) -> None:
    held = SyntheticSet.load(made)
    words = ("distill", held.source, "dm(steps=3)", "-k", 2, "-c", CONFIGURATION, "-o", made)
    ended = limbeck(*words)
    assert ended.code == 2
    assert "holds another set (method=dm(steps=2)). Choose another --out" in " ".join(ended.err.split())
    assert SyntheticSet.load(made).digest == held.digest
    assert limbeck("distill", held.source, held.method, "-k", 2, "-c", CONFIGURATION, "-o", made).code == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("--steps", 1), "steps=None"),
        (("--seconds", 9), "seconds=None"),
        (("--candidates", 1), "candidates=4"),
        (("-c", "mlp(width=9, depth=1)/adamw/none/cosine(steps=4)"), "configuration=mlp(width=8, depth=1)"),
        (("--configurations", "mlp(width=8)", "--configurations", "mlp(width=9)"), "configurations=[]"),
    ],
)
def test_a_set_is_lost_to_no_change_of_the_command(
    limbeck: Command, made: Path, changes: tuple[Any, ...], said: str
) -> None:
    held = SyntheticSet.load(made)
    words = ("distill", held.source, held.method, "-k", 2, "-c", CONFIGURATION, "-o", made)
    assert f"holds another set ({said}" in limbeck.refused(*words, *changes)
    assert SyntheticSet.load(made).digest == held.digest


def test_a_set_is_made_once_and_changed_data_are_other_data(limbeck: Command, made: Path, tmp_path: Path) -> None:
    held, before = SyntheticSet.load(made), (made / "set.json").stat()
    words = ("distill", held.source, held.method, "-k", 2, "-c", CONFIGURATION, "-o", made)
    assert "are there already, made by this very command" in limbeck(*words).out
    assert limbeck(*words, "--json").json["digest"] == held.digest
    assert (made / "set.json").stat().st_mtime_ns == before.st_mtime_ns
    write_arrays(tmp_path / "mine.npz", (21, 20, 20))
    load_source.cache_clear()
    assert "other data" in limbeck.refused(*words)


def test_checkpoints_of_another_run_stay(limbeck: Command, made: Path) -> None:
    (made / "checkpoint-0123456789abcdef-000000002.json").write_text("{}")
    (made / "set.json").unlink()
    held = ("distill", f"npz(path={made.parent / 'mine.npz'})", "dm(steps=2)", "-k", 2, "-c", CONFIGURATION, "-o", made)
    assert limbeck(*held).code == 0
    assert [path.name for path in made.glob("checkpoint-*")] == ["checkpoint-0123456789abcdef-000000002.json"]


def test_a_folder_that_can_not_be_written_into_is_said_before_anything_runs(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.distillation.distill", lambda *_, **__: pytest.fail("it ran"))
    (tmp_path / "file").touch()
    said = limbeck.refused("distill", "digits", "dm", "-k", 1, "-c", CONFIGURATION, "-o", tmp_path / "file" / "set")
    assert "is no folder" in said
    assert "nothing was begun" in said


def test_a_published_set_is_brought_in_and_evaluated(limbeck: Command, tmp_path: Path) -> None:
    source = f"npz(path={write_arrays(tmp_path / 'mine.npz')})"
    torch.save([torch.randn(3, 1, 6, 6), torch.arange(3)], tmp_path / "published.pt")
    words = ("import", "published.pt", "theirs", "--source", source)
    told = limbeck(*words, "--method", "dc", "--json").json
    assert set(told) == {"folder", "k", "bytes", "digest", "method"}
    rows = limbeck("evaluate", "theirs", "-c", CONFIGURATION, "--seeds", 1, "--json").json["rows"]
    assert (rows[0]["method"], rows[0]["k"]) == ("dc", 3)
    assert "holds a set already" in limbeck.refused(*words)
    assert "have shape (1, 6, 6)" in limbeck.refused("import", "published.pt", "other", "--source", "digits")


def test_what_is_not_given_suits_vectors_and_what_can_not_be_is_said_before_work(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"npz(path={tmp_path}/vectors.npz)"
    random = np.random.default_rng(0)
    np.savez("vectors.npz", x_train=random.random((40, 5)), y_train=np.arange(40) % 2)
    assert limbeck("distill", source, "random", "-k", 1, "-o", "set").code == 0
    assert SyntheticSet.load(tmp_path / "set").configuration.startswith("mlp/")
    monkeypatch.setattr("limbeck.sources.load_source", lambda *_: pytest.fail("the data were read"))
    assert "use mlp" in limbeck.refused("evaluate", "set", "-c", "mlp", "-c", "convnet").lower()
    assert "stepz" in limbeck.refused("distill", source, "dm(stepz=3)")
    assert "convnets" in limbeck.refused("distill", source, "dm", "-c", "convnets")


def test_class_names_and_preprocessing_leave_with_the_set(limbeck: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = np.array(["ant", "bee"])[np.arange(40) % 2]
    np.savez("images.npz", x_train=random.random((40, 6, 6)), y_train=names)
    np.savez("vectors.npz", x_train=random.random((40, 5)), y_train=names)
    for name in ("images", "vectors"):
        words = ("distill", f"npz(path={name}.npz)", "random", "-k", 1, "-c", CONFIGURATION, "-o", f"of-{name}")
        assert limbeck(*words).code == 0
    assert limbeck("export", "of-images", "pictures", "--to", "png").code == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["000-ant", "001-bee"]
    assert limbeck("export", "of-vectors", "vectors-out.npz").code == 0
    with np.load("vectors-out.npz") as held:
        assert held["std"].shape == (5,)
        assert json.loads(str(held["about"]))["class_names"] == ["ant", "bee"]
    assert "Export vectors with `--to npz`" in limbeck.refused("export", "of-vectors", "x", "--to", "png")
    (tmp_path / "vectors.npz").unlink()
    load_source.cache_clear()
    ended = limbeck("export", "of-vectors", "bare.npz")
    assert (ended.code, ended.out) == (0, "2 samples in bare.npz.\n")
    assert "without the numbers of its preprocessing: vectors.npz is not there" in ended.err


def test_a_path_in_the_place_of_a_source_says_how_to_write_it(limbeck: Command, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    ended = limbeck("distill", "pictures", "dm")
    assert ended.code == 2
    assert "write image-folder(path=pictures)" in " ".join(ended.err.split())


def test_the_dry_run_measures_and_writes_nothing(limbeck: Command, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    words = ("distill", "digits", "dm(steps=3, batch_real=8)", "-k", 1, "-c", CONFIGURATION, "--dry-run")
    ended = limbeck(*words)
    assert ended.code == 0
    assert ended.out.startswith("3 steps of ")
    facts = limbeck(*words, "--json").json
    measured = {"steps", "seconds", "seconds_per_step", "start_seconds", "expert_seconds"}
    assert set(facts) == measured | {"peak_memory_bytes", "experts", "bytes"}
    assert set(tmp_path.iterdir()) == before


def test_evaluate_gives_a_row_a_training_with_its_gap(limbeck: Command, made: Path) -> None:
    told = limbeck("evaluate", made, "-c", CONFIGURATION, "-c", "mlp/cosine(steps=1)", "--seeds", 2, "--json").json
    rows = told["rows"]
    assert [row["method"] for row in rows] == 2 * (2 * ["dm(steps=2)"] + 3 * ["reference"])
    assert all(row["gap"] is not None for row in rows)
    shown = limbeck("evaluate", made, "--seeds", 1, "--reference-seeds", 0)
    columns = ["method", "k", "set", "configuration", "seed", "error", "gap", "cost_seconds"]
    assert shown.out.splitlines()[0].split() == columns
    assert len(shown.out.splitlines()) == 3
    assert limbeck("evaluate", made, "--source", "digits").code == 2


def test_show_draws_and_export_hands_over(limbeck: Command, made: Path, tmp_path: Path) -> None:
    assert limbeck("show", made, "--json").json == {"path": str(made / "set.png")}
    assert (made / "set.png").read_bytes().startswith(b"\x89PNG")
    assert limbeck("export", made, "out.npz", "--json").json == {"path": "out.npz", "form": "npz", "k": 6}
    with np.load("out.npz", allow_pickle=False) as held:
        assert len(held["x"]) == 6
    assert limbeck("export", made, "pictures", "--to", "png").out == "6 samples in pictures.\n"
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 6
    pytest.importorskip("pyarrow")
    assert limbeck("export", made, "hub", "--to", "huggingface").code == 0
    assert (tmp_path / "hub" / "README.md").exists()
    assert "Did you mean 'npz'?" in limbeck.refused("export", made, "x", "--to", "npy")


def test_verify_tells_a_whole_set_from_a_damaged_one(limbeck: Command, made: Path) -> None:
    assert limbeck("verify", made, "--json").json == {"path": str(made), "problems": []}
    held = made / "set.safetensors"
    held.write_bytes(held.read_bytes()[:-1] + b"\x01")
    assert "is not as it was written" in limbeck.refused("verify", made)


def test_list_names_every_variant_with_its_facts(limbeck: Command) -> None:
    for family in ("sources", "architectures", "optimizers", "augmentations", "schedules", "methods", "surrogates"):
        facts = limbeck("list", family, "--json").json
        assert all({"name", "summary", "settings"} <= set(fact) for fact in facts)
        assert len(limbeck("list", family).out.splitlines()) == len(facts) + 2
    methods = {fact["name"]: fact for fact in limbeck("list", "--json").json}
    assert {"random", "herding", "k-means", "dc", "dsa", "dm", "mtt"} <= set(methods)
    assert methods["dm"]["paper"] == "zhao2023dm"
    assert "Did you mean 'methods'?" in limbeck.refused("list", "metods")


def test_laws_are_fitted_to_any_table(limbeck: Command, tmp_path: Path) -> None:
    rows = [row for row in planted_rows(3, 2) if row["method"] in ("reference", "dm")]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["method", "configuration", "k", "set", "seed", "error"], restval="")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    (tmp_path / "rows.csv").write_text(text.getvalue())
    fits = limbeck("laws", "rows.csv", "--gap", 0.1, "--at", 1000, "--json").json["fits"]
    assert len(fits) == 4
    keys = {"method", "configuration", "floor", "exponent", "amplitude", "saturation_k", "required_k", "predictions"}
    assert all(keys | {"notes"} <= set(fit) for fit in fits)
    assert all(set(fit["floor"]) >= {"estimate", "low", "high"} for fit in fits)
    assert fits[0]["required_k"][0]["gap"] == 0.1
    assert fits[0]["predictions"][0]["k"] == 1000
    assert "k for 0.1" in limbeck("laws", "rows.csv", "--gap", 0.1).out.splitlines()[0]
    assert limbeck("plan", "rows.csv", "--gap", 0.2).out.startswith("For a gap of 20 points under each of 4")
    assert "Give one with --gap" in limbeck.refused("plan", "rows.csv")
    assert "must lie between 0 and 1" in limbeck.refused("laws", "rows.csv", "--gap", 2)


def test_a_study_is_run_looked_at_and_answered_from(limbeck: Command, tmp_path: Path) -> None:
    file = study_file(tmp_path, per_class=[1, 2, 3, 5], sets=2, methods=["random"], target_gap=0.3)
    assert limbeck("study", "run", file, "--dry-run", "--json").json["cells"] > 0
    ended = limbeck("study", "run", file, "--runner", "serial", "--report")
    assert ended.code == 0, ended.err
    assert "For a gap of 30 points under each of 2 configurations: " in ended.out
    page = tmp_path / "runs" / "little" / "report.html"
    assert ended.out.splitlines()[-1] == f"Report: {page}"
    assert page.read_text().startswith("<!doctype html>")
    state = limbeck("study", "status", file, "--json").json
    assert set(state) == {"folder", "counts", "seconds_spent", "seconds_left", "failures", "complete"}
    assert state["complete"] is True
    rows = limbeck("study", "table", file, "--json").json["rows"]
    told = list(csv.DictReader(io.StringIO(limbeck("study", "table", file, "--csv").out)))
    assert [float(row["error"]) for row in told] == [row["error"] for row in rows]
    assert len(limbeck("study", "table", file).out.splitlines()) == len(rows) + 2
    planned = limbeck("plan", file, "--gap", 0.4, "--json").json
    keys = {"gap", "configuration", "sentence", "lines", "rows", "refusals", "notes", "guidance", "comparisons"}
    assert set(planned) == keys
    assert planned["gap"] == 0.4
    lines = limbeck("plan", file, "-c", CONFIGURATION).out.splitlines()
    assert lines[0].startswith("For a gap of 30 points: ")
    assert lines[1] == ""
    assert lines[2].split() == ["method", "configuration", "k", "needed", "floor", "exponent"]
    words = ("report", file, "-o", "page.html", "--figure", "laws.png", "--json")
    assert limbeck(*words).json == {"path": "page.html", "figure": "laws.png"}
    assert (tmp_path / "laws.png").read_bytes().startswith(b"\x89PNG")
    assert "End it in .png, .svg or .pdf" in limbeck.refused("report", file, "--figure", "laws.gif")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.findings.load_source", lambda *_: pytest.fail("a report needs no data"))
        assert limbeck("report", file).code == 0
    assert limbeck("verify", "runs/little", "--json").json["problems"] == []
    assert limbeck("study", "run", "runs/little", "--runner", "serial", "--json").json["complete"] is True


def test_shards_are_run_apart_and_merged(limbeck: Command, tmp_path: Path) -> None:
    file = study_file(tmp_path, methods=["random"], sets=1)
    for part in ("1/2", "2/2"):
        words = ("study", "run", file, "--runner", "serial", "--shard", part, "--runs", f"runs{part[0]}", "--json")
        assert limbeck(*words).code == 0
    apart = [{path.name for path in Path(f"runs{part}/little/cells").rglob("*.json")} for part in "12"]
    told = limbeck("study", "merge", "runs1/little", "runs2/little", "--json").json
    assert set(told) == {"copied", "known", "conflicts", "unreadable"}
    assert apart[0] | apart[1]
    assert told["copied"] == len(apart[1] - apart[0])  # which cells are whose is a matter of their ids
    assert limbeck("study", "status", "runs1/little", "--json").json["complete"] is True


def test_verbs_exit_with_1_where_files_are_not_as_they_should_be(limbeck: Command, tmp_path: Path) -> None:
    here, there = opened(tmp_path), opened(tmp_path, "there")
    for folder in (here, there):
        run_study(folder, "serial", execute=faked.QUICK)
    cell = next(cell for cell in there.cells() if cell.kind == "evaluate")
    record = there.record(cell.id)
    record["rows"][0]["error"] = 0.5
    there.write(cell.id, record)
    ended = limbeck("study", "merge", here.path, there.path)
    assert ended.code == 1
    assert f"CONFLICT: cell {cell.id[:16]} has two different results" in ended.out
    path = here.record_path(cell.id)
    path.write_text(path.read_text()[:-3])
    ended = limbeck("verify", here.path)
    assert ended.code == 1
    assert str(path) in ended.out


def keys_within(value: Any) -> set[str]:
    """Every key, however deep."""
    if isinstance(value, dict):
        return set(value) | {key for held in value.values() for key in keys_within(held)}
    return {key for held in value for key in keys_within(held)} if isinstance(value, list) else set()


def test_every_key_of_the_answers_is_documented(limbeck: Command, tmp_path: Path) -> None:
    documented = set(re.findall(r"[`\"](\w+)[`\"]", (ROOT / "docs" / "json.md").read_text()))
    file = study_file(tmp_path, methods=["random"], per_class=[1, 2, 3, 5], seeds=1)
    told = [limbeck("study", "run", file, "--runner", "serial", "--json").json]
    told += limbeck("study", "table", file, "--json").json["rows"][-1:]
    planned = limbeck("plan", file, "--json").json
    told += [planned, *planned["rows"]]
    (tmp_path / "rows.csv").write_text(limbeck("study", "table", file, "--csv").out)
    fits = limbeck("laws", "rows.csv", "--gap", 0.1, "--at", 50, "--json").json["fits"]
    told += [*fits, *fits[0]["required_k"], *fits[0]["predictions"], *fits[0]["levels"], fits[0]["variance_components"]]
    told += limbeck("list", "methods", "--json").json
    assert {key for answer in told for key in answer} - documented == set()
    assert {key for fit in fits for key in keys_within(fit)} - documented == set()


def test_a_table_without_the_columns_of_coverage_names_one(limbeck: Command, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("methods,k,error\ndm,10,0.1\n")
    assert "no column 'method'. Did you mean 'methods'?" in limbeck.refused("coverage", "other.csv", "--gap", 0.1)


def test_a_number_that_is_not_finite_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    nan, inf = float("nan"), float("inf")
    print_json({"a": [1.5, nan, {"b": (np.float64("inf"), -inf)}], "c": "NaN", "d": None, "e": 3, "f": True})
    said = capsys.readouterr().out
    assert "NaN" not in said.replace('"NaN"', "")
    assert json.loads(said) == {
        "a": [1.5, None, {"b": [None, None]}], "c": "NaN", "d": None, "e": 3, "f": True,
    }  # fmt: skip


BAD = [
    (("distill", "digit", "dm"), "Did you mean 'digits'?"),
    (("distill", "digits", "dmm"), "Did you mean 'dm'?"),
    (("distill", "digits", "dm(step=2)"), "dm has no setting 'step'. Did you mean 'steps'?"),
    (("distill", "digits", "dm", "-c", "mpl"), "Did you mean 'mlp'?"),
    (("distill", "digits", "random", "-k", "500"), "500 per class were asked for"),
    (("distill", "image-folder(path=nowhere)", "dm"), "nowhere is no folder"),
    (("distill", "mnist(folder=nowhere)", "dm"), "nowhere"),
    (("distill", "npz(path=nowhere.npz)", "dm"), "nowhere.npz is not there"),
    (("evaluate", "nowhere"), "nowhere is not there. Give the folder that `limbeck distill` or `import` made"),
    (("show", "nowhere"), "is not there"),
    (("study", "run", "nowhere.toml"), "can't be read: No such file"),
    (("study", "status", "nowhere.toml"), "can't be read"),
    (("study", "run", "."), "holds no study"),
    (("report", "."), "holds no study"),
    (("plan", "."), "holds no study"),
    (("laws", "nowhere.csv"), "nowhere.csv"),
    (("coverage", "nowhere.csv", "--gap", "0.1"), "nowhere.csv"),
    (("interchange", "nowhere.csv"), "nowhere.csv"),
    (("verify", "nowhere"), "nowhere is no folder"),
    (("verify", "."), "holds neither a study nor a set"),
    (("distill", "digits", "dm(steps=1)", "-k", "1", "--device", "gpu"), "no device of torch"),
    (("distill", "digits", "dm(steps=1)", "-k", "1", "--device", "cuda:99"), "can't be used here"),
    (("distill", "os.path:join", "dm"), "can't be called with no settings"),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_a_mistake_is_one_paragraph_and_exit_code_2(limbeck: Command, words: tuple[str, ...], said: str) -> None:
    assert said in limbeck.refused(*words)


def test_every_help_is_whole_and_in_one_voice(limbeck: Command) -> None:
    """Verbs come in the order of their use, no text is cut off, a flag is refused by leaving it out."""
    listed = [limbeck(*words, "--help").out.partition("Commands:")[2] for words in ((), ("study",))]
    assert "..." not in "".join(listed)
    verbs, inner = (re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE) for text in listed)
    assert verbs == list(VERBS)
    for words in [*((verb,) for verb in verbs), *(("study", verb) for verb in inner)]:
        said = limbeck(*words, "--help").out
        assert "--no-" not in said
        assert re.search(r"\{[^A-Z]", said) is None, said  # arguments have names in capitals


def arrays(**changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    held = {"x_train": random.random((60, 6, 6)).astype(np.float32), "y_train": np.arange(60) % 3}
    return held | changes


def with_nan() -> Any:
    x = arrays()["x_train"]
    x[3, 2, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_train": with_nan()}, "NaN"),
        ({"y_train": np.arange(60) % 3 - 1}, "-1"),
        ({"y_train": np.zeros(60, dtype=int)}, "class"),
        ({"y_train": np.arange(59) % 3}, "59"),
        ({"y_train": np.arange(60) % 3, "class_names": np.array(["a", "b"])}, "2"),
    ],
)
def test_bad_arrays_are_refused_in_one_paragraph(
    limbeck: Command, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    assert said in limbeck.refused("distill", "npz(path=bad.npz)", "random", "-k", 1)
    file = study_file(tmp_path, source="npz(path=bad.npz)")
    assert said in limbeck.refused("study", "run", file)


def test_a_truncated_idx_file_is_refused_in_one_paragraph(limbeck: Command, tmp_path: Path) -> None:
    folder = tmp_path / "idx"
    folder.mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (folder / name).write_bytes(b"\0\0\x08\x03\0\0\0\x02\0\0\0\x1c\0\0\0\x1c" + b"\0" * 99)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x02\0\x01")
    assert "train-images-idx3-ubyte" in limbeck.refused("distill", f"mnist(folder={folder})", "random", "-k", 1)


def test_an_edited_study_file_is_refused_and_nothing_is_lost(limbeck: Command, tmp_path: Path) -> None:
    file = study_file(tmp_path, methods=["random"], sets=1)
    assert limbeck("study", "run", file, "--runner", "serial", "--json").code == 0
    before = results(StudyFolder(tmp_path / "runs" / "little"))
    file.write_text(file.read_text().replace("[1, 3]", "[1, 3, 4]"))
    said = limbeck.refused("study", "run", file, "--runner", "serial")
    assert "per_class: added 4. Give --extend to go on" in said
    assert results(StudyFolder(tmp_path / "runs" / "little")) == before
    assert limbeck("study", "run", file, "--runner", "serial", "--extend", "--json").json["complete"]
    assert len(results(StudyFolder(tmp_path / "runs" / "little"))) == len(before) + 4


def test_a_full_disk_is_one_paragraph_and_finished_results_stay(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = study_file(tmp_path, methods=["random"], sets=1)
    real, left = os.fsync, [8]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        ended = limbeck("study", "run", file, "--runner", "serial")
    assert ended.code == 2
    assert "No space left on device. Finished results are untouched; make room" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    finished = StudyFolder(tmp_path / "runs" / "little").finished()
    assert finished
    assert limbeck("study", "run", file, "--runner", "serial", "--json").json["complete"]


def test_a_read_only_folder_is_one_paragraph_and_finished_results_stay(limbeck: Command) -> None:
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    file = study_file(place, methods=["random"], sets=1)
    assert limbeck("study", "run", file, "--runs", place / "runs", "--runner", "serial", "--json").code == 0
    before = results(StudyFolder(place / "runs" / "little"))
    cell = place / "runs" / "little" / "cells"
    next(cell.rglob("*.json")).unlink()
    for folder in [cell, *cell.iterdir()]:
        folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:  # root may write everywhere
            os.seteuid(65534)
        said = limbeck.refused("study", "run", file, "--runs", place / "runs", "--runner", "serial")
    finally:
        os.seteuid(user)
    assert "Permission denied. Finished results are untouched" in said
    assert limbeck("study", "run", file, "--runs", place / "runs", "--runner", "serial", "--json").code == 0
    assert results(StudyFolder(place / "runs" / "little")) == before


def test_a_place_that_is_no_folder_is_one_paragraph(limbeck: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = limbeck.refused("study", "run", study_file(tmp_path), "--runs", tmp_path / "file")
    assert "could not be written" in said


def test_ctrl_c_checkpoints_and_exits_with_130(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limbeck import distillation

    real, count = distillation.Task.advance, [0]

    def pressed(task: Any, run: Any, steps: int) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        real(task, run, steps)

    words = ("distill", "digits", "dm(steps=4)", "-k", 1, "-c", CONFIGURATION, "-o", "set")
    with monkeypatch.context() as patch:
        patch.setattr(distillation.Task, "advance", pressed)
        ended = limbeck(*words)
    assert ended.code == 130
    assert "stopped at step 2; the checkpoint in set is complete" in ended.err
    assert len(list((tmp_path / "set").glob("checkpoint-*.json"))) == 1
    went_on = limbeck(*words, "--json").json
    limbeck("distill", "digits", "dm(steps=4)", "-k", 1, "-c", CONFIGURATION, "-o", "whole")
    assert went_on["digest"] == SyntheticSet.load(tmp_path / "whole").digest
    assert not list((tmp_path / "set").glob("checkpoint-*"))


def test_ctrl_c_during_a_study_exits_with_130(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*words: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("limbeck.evaluation.evaluate", pressed)
    ended = limbeck("study", "run", study_file(tmp_path), "--runner", "serial")
    assert ended.code == 130
    assert "stopped; finished cells are kept" in ended.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m limbeck list methods | head -c 5"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.stderr == ""


def test_without_a_terminal_a_study_tells_the_first_numbers_and_then_a_line_every_so_often(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.study.work.EXECUTE", faked.QUICK)
    ended = limbeck("study", "run", study_file(tmp_path), "--runner", "serial")
    lines = [line for line in ended.out.splitlines() if line.startswith("[")]
    assert [line.partition("  ")[2].split()[0] for line in lines] == ["reference", "distill", "evaluate", "evaluate"]
    assert lines[0].startswith("[1/28] ")
    assert lines[-1].startswith("[28/28] ")
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    ended = limbeck("study", "run", study_file(tmp_path), "--runner", "serial", "--runs", "others")
    lines = [line for line in ended.out.splitlines() if line.startswith("[")]
    assert len(lines) == 28
    assert " left  " in lines[5]


def test_the_time_left_is_that_of_the_nearest_finished_cells_or_not_said() -> None:
    def cell(kind: str, size: int, method: str = "dm", configuration: str = "mlp") -> Cell:
        return Cell(kind, {"method": method, "per_class": size, "configuration": configuration, "set": 0})

    spent = [(cell("distill", 1, "random"), 8.0), (cell("distill", 20), 12.0), (cell("distill", 20), 14.0)]
    assert progress.work_left(spent, []) == 0.0
    assert progress.work_left(spent, [cell("distill", 20), cell("distill", 5)]) == 26.0
    assert progress.work_left(spent, [cell("distill", 5, "random")]) == 8.0
    assert progress.work_left(spent, [cell("distill", 20, "dc")]) is None
    assert progress.work_left(spent, [cell("evaluate", 20)]) is None
    spent += [(cell("evaluate", 20), 1.0), (cell("evaluate", 20, "dc", "lenet"), 3.0)]
    left = [cell("evaluate", 1), cell("evaluate", 1, "dm", "lenet"), cell("evaluate", 1, "dm", "vit")]
    assert progress.work_left(spent, left) == 1.0 + 3.0 + 2.0


def test_on_a_terminal_a_bar_moves_and_standard_output_is_for_answers(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("limbeck.study.work.EXECUTE", faked.QUICK)
    ended = limbeck("study", "run", study_file(tmp_path), "--runner", "serial")
    assert "28/28" in ended.err
    assert ended.err.count("evaluate random 1 per class") == 1
    assert not [line for line in ended.out.splitlines() if line.startswith("[")]
    ended = limbeck("distill", "digits", "dm(steps=2, batch_real=8)", "-k", 1, "-c", CONFIGURATION)
    assert "loss " in ended.err
    assert "2/2" in ended.err


def test_failures_are_told_at_once_and_at_the_end(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.study.work.EXECUTE", faked.DIVERGING)
    ended = limbeck("study", "run", study_file(tmp_path, methods=["random", "k-means"]), "--runner", "serial")
    assert ended.code == 0
    assert ended.out.count("FAILED distill k-means") == 4 + 1  # as they fail, and those of one reason at the end
    assert " and 3 more: the numbers left the finite range at step 3." in ended.out
    assert "left the finite range at step 3" in ended.out


def test_a_file_of_the_users_own_is_never_run_by_reading(limbeck: Command, tmp_path: Path) -> None:
    study = Study.load(study_file(tmp_path))
    folder = StudyFolder.open(study, tmp_path / "runs")
    (folder.path / "study.json").write_text(json.dumps({"__reduce__": "os.system", "settings": 3}))
    assert "is not as it was written" in limbeck.refused("study", "table", folder.path)
