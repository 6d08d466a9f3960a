"""Files of every released version keep loading: tests/golden holds some of each, never to be changed.

`format-1` is from before the first release; a version's own folder is made by `python tests/golden/make.py`.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from command import Command
from golden.make import described
from limbeck.evaluation import evaluate
from limbeck.laws import read_rows
from limbeck.planner import plan
from limbeck.sources import load_source
from limbeck.study import Study, StudyFolder, load_set, status, table, verify
from limbeck.synthetic import SyntheticSet

GOLDEN = Path(__file__).with_name("golden")
FORMATS = sorted(GOLDEN.glob("format-*"))
RELEASES = sorted(path for path in GOLDEN.iterdir() if re.fullmatch(r"\d+\.\d+\.\d+", path.name))
SETS = [path for release in RELEASES for path in sorted((release / "sets").iterdir())]
SET_OF = {"format-1": "08dc4637c61ee23d00d8a3b28cc3619047ea21b72cf40ab5d9f37b1fb48aad98"}


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: path.name)
def test_a_set_of_every_format_loads_unfolds_and_is_trained_on(folder: Path) -> None:
    held = SyntheticSet.load(folder / "set")
    assert held.digest == SET_OF[folder.name]
    assert (held.k, held.per_class, held.source) == (10, 1, "digits")
    assert held.method.startswith("mtt(")
    assert held.step_size is not None
    samples = held.samples()
    assert samples.x.shape == (10, 1, 8, 8)
    assert samples.y.sum(dim=1).tolist() == [1.0] * 10
    assert bool(torch.isfinite(samples.x).all())
    rows = evaluate(held, "mlp(width=8, depth=1)/adamw/none/cosine(steps=2)", load_source(held.source), [0])
    assert 0 <= rows[0]["error"] <= 1


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: path.name)
def test_a_study_of_every_format_loads_with_its_results_and_failures(folder: Path) -> None:
    study = StudyFolder(folder / "study")
    assert study.study.methods == ("random", "k-means")
    assert study.facts.counts == tuple(load_source("digits").class_counts())
    assert verify(study.path) == []
    records = [study.record(name) for name in study.finished()]
    assert sorted(record["kind"] for record in records) == ["distill", "evaluate", "reference"]
    errors = {row["error"] for record in records for row in record.get("rows", [])}
    assert errors == {0.8133704735376045, 0.9554317548746518, 0.9192200557103064}
    (failed,) = study.failed()
    assert study.failure(failed)["failed"].startswith("the numbers left the finite range at step 3")
    (made,) = [record["id"] for record in records if record["kind"] == "distill"]
    assert load_set(study, made).k == 10


@pytest.mark.parametrize("folder", SETS, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_a_set_of_every_release_says_what_it_said(folder: Path) -> None:
    """Of every stored form; what is computed on unfolding agrees as far as another torch rounds alike."""
    if folder.name == "decoded":
        pytest.importorskip("diffusers", reason="diffusers is not installed")
    then, now = json.loads((folder.parent.with_name("sets.json")).read_text())[folder.name], described(folder)
    rounded = {"mean", "last", "entropy"}
    assert {key: now[key] for key in then if key not in rounded} == {
        key: then[key] for key in then if key not in rounded
    }
    for key in rounded:
        np.testing.assert_allclose(now[key], then[key], rtol=1e-4, atol=1e-5)
    if SyntheticSet.load(folder).source == "digits":
        rows = evaluate(SyntheticSet.load(folder), then["configuration"], "digits", [0])
        assert 0 <= rows[0]["error"] <= 1


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_study_of_every_release_loads_with_its_results_failures_and_additions(
    release: Path, limbeck: Command, tmp_path: Path
) -> None:
    folder = StudyFolder(release / "study")
    assert verify(folder.path) == []
    assert folder.study.settings() == Study.load(release / "study.toml").settings()
    records = [folder.record(name) for name in folder.finished()]
    assert {record["kind"] for record in records} == {"reference", "expert", "distill", "evaluate"}
    trainings = [row["error"] for record in records for row in record.get("rows", [])]
    assert (len(trainings), len(folder.failed()), len(folder.additions())) == (10, 2, 1)
    # A method whose results are others in a later version is not found again; what no version changes is.
    found = [row["error"] for row in table(folder) if row["method"] in ("random", "reference")]
    assert len(found) == 8
    assert set(found) <= set(trainings)
    assert all(load_set(folder, record["id"]).k in (10, 20) for record in records if record["kind"] == "distill")
    assert status(folder).counts["reference"].left == 0
    assert limbeck("report", release / "study", "-o", tmp_path / "report.html").code == 0


def shape(answer: Any) -> Any:
    """An answer's keys, however deep, without its values."""
    if isinstance(answer, dict):
        return {key: shape(held) for key, held in answer.items()}
    return [shape(answer[0])] if isinstance(answer, list) and answer and isinstance(answer[0], dict) else None


def lacks(then: Any, now: Any, place: str = "") -> list[str]:
    """The keys of then that are not there now."""
    if isinstance(then, list):
        return lacks(then[0], now[0], place) if now else []
    if not isinstance(then, dict) or not isinstance(now, dict):
        return []
    held = [found for key in then if key in now for found in lacks(then[key], now[key], f"{place}.{key}")]
    return held + [f"{place}.{key}" for key in then if key not in now]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_table_of_every_release_is_read_and_answers_keep_their_keys(release: Path) -> None:
    rows = read_rows(release / "rows.csv")
    with open(release / "rows.csv", newline="") as file:
        assert [str(row["error"]) for row in rows] == [row["error"] for row in csv.DictReader(file)]
    then = json.loads((release / "plan.json").read_text())
    now = plan(rows, gap=then["gap"]).to_dict()
    assert lacks(shape(then), shape(now)) == []
    assert now["rows"][0]["method"] == then["rows"][0]["method"] == "random"


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_exports_are_what_they_were(release: Path, limbeck: Command, tmp_path: Path) -> None:
    """Made anew, they have the same arrays, files and columns: scripts that read them go on."""
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    for form, name in (("npz", "export.npz"), ("png", "export-png"), ("huggingface", "export-huggingface")):
        assert limbeck("export", release / "sets" / "pixels", tmp_path / name, "--to", form).code == 0
    then, now = (np.load(place / "export.npz", allow_pickle=False) for place in (release, tmp_path))
    assert set(then.files) <= set(now.files)
    for name in set(then.files) - {"about"}:
        np.testing.assert_allclose(now[name], then[name], rtol=1e-5)
    assert set(json.loads(str(then["about"]))) <= set(json.loads(str(now["about"])))
    for name in ("export-png", "export-huggingface"):
        files = [
            sorted(str(path.relative_to(place / name)) for path in (place / name).rglob("*"))
            for place in (release, tmp_path)
        ]
        assert files[0] == files[1]
    data = "export-huggingface/data/train-00000-of-00001.parquet"
    assert set(pyarrow.read_table(release / data).column_names) <= set(pyarrow.read_table(tmp_path / data).column_names)
