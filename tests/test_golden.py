"""Files of every format that was ever released keep loading: tests/golden holds one of each, never to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.evaluation import evaluate
from limbeck.sources import load_source
from limbeck.study import StudyFolder, load_set, verify
from limbeck.synthetic import SyntheticSet

GOLDEN = Path(__file__).with_name("golden")
FORMATS = sorted(GOLDEN.glob("format-*"))
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
