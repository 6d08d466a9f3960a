"""The studies of published protocols are whole, and each runs: here in miniature, small networks and few steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from limbeck.study import Study, StudyFolder, run_cell, table
from limbeck.testing.trials import TINY

STUDIES = sorted((Path(__file__).parents[1] / "studies" / "published").glob("*.toml"))
SMALL = {**TINY, "experts": 1, "expert_epochs": 3, "max_start": 1, "steps": 2, "batch_real": 4, "epochs": 1}
SMALL |= {"lr_step_size": 1e-9}  # two steps at the published rate end below zero here


def test_there_is_one_for_every_method_size_and_source() -> None:
    found = set()
    for path in STUDIES:
        study = Study.load(path)
        assert study.name == f"published-{path.stem}"
        assert study.distill.candidates == 1  # as published: nothing is chosen by error
        found |= {(name.partition("(")[0], k, study.source) for name in study.methods for k in study.per_class}
    methods, sources = ("dc", "dm", "dsa", "idc", "mtt"), ("fashion-mnist", "mnist")
    assert found == {(method, k, source) for method in methods for k in (1, 10) for source in sources}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_miniature_runs(path: Path, tmp_path: Path) -> None:
    study = Study.load(path)
    folder = StudyFolder.open(Study.read(_miniature(study)), tmp_path)
    for cell in folder.cells():
        run_cell(folder, cell)
    assert not [folder.failure(cell) for cell in folder.failed()]
    rows = table(folder)
    assert {row["k"] for row in rows if row["method"] != "reference"} == {10 * k for k in study.per_class}
    assert all(0 <= row["error"] <= 1 for row in rows)


def _miniature(study: Study) -> str:
    """The study on few digits, with its own views, distances and protocol."""
    methods = []
    for made in study.made:
        small = {key: value for key, value in SMALL.items() if key in type(made).model_fields}
        methods.append(made.with_settings(**small).spec)
    judged = [re.sub(r"width=\d+", "width=4", re.sub(r"steps=\d+", "steps=3", text)) for text in study.configurations]
    changed = {"source": "digits(train_limit=500)", "methods": tuple(methods), "configurations": tuple(judged)}
    return study.model_copy(update={**changed, "sets": 1, "seeds": 1, "reference_seeds": 1}).toml()
