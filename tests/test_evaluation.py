"""One row a training, never an average; the reference is trained once; another preprocessing is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.configuration import Configuration
from limbeck.distillation import distill
from limbeck.errors import CorruptFile, Diverged, WrongPreprocessing
from limbeck.evaluation import cached_reference, evaluate, reference, with_gaps
from limbeck.sources import Source
from limbeck.testing.blobs import blobs

CONFIGURATION = "mlp(width=8, depth=1)/adamw/none/cosine(steps=5)"


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "cost_seconds"} for row in rows]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (6,)])
def test_every_training_is_a_row_of_its_own(shape: tuple[int, ...]) -> None:
    source = blobs(shape)
    made = distill(source, "random", CONFIGURATION, 2, seed=4)
    rows = evaluate(made, CONFIGURATION, source, [3, 5, 8])
    assert [row["seed"] for row in rows] == [3, 5, 8]
    for row in rows:
        assert row["method"] == "random"
        assert (row["k"], row["per_class"], row["set"]) == (6, 2, 4)
        assert row["set_digest"] == made.digest
        assert row["configuration"] == Configuration.parse(CONFIGURATION).spec
        assert row["flops"] == Configuration.parse(CONFIGURATION).flops(source.domain, 6)
        assert row["cost_seconds"] > 0
        assert round(row["error"] * len(source.test), 6).is_integer()
        assert round(row["validation_error"] * len(source.validation), 6).is_integer()
    assert len({row["loss"] for row in rows}) == 3


def test_a_row_depends_on_its_own_seed_alone() -> None:
    source = blobs()
    made = distill(source, "random", CONFIGURATION, 2)
    together, alone = evaluate(made, CONFIGURATION, source, [0, 1, 2]), evaluate(made, CONFIGURATION, source, [1])
    # Stacked trainings agree with single ones up to float rounding (tests/test_dynamics.py).
    assert alone[0]["loss"] == pytest.approx(together[1]["loss"], rel=1e-5)
    assert {**alone[0], "loss": 0, "cost_seconds": 0} == {**together[1], "loss": 0, "cost_seconds": 0}


def test_the_error_is_the_share_of_the_test_split_that_is_misclassified() -> None:
    # A set that teaches every class as the next one is wrong on all samples of well separated clouds.
    source = blobs((6,), spread=0.1)
    made = distill(source, "random", CONFIGURATION, 10)
    turned = replace(made, group=(made.group + 1) % 3, tensors={**made.tensors})
    long = "mlp(width=32, depth=1)/adamw(lr=0.01)/none/constant(steps=60)"
    assert evaluate(made, long, source, [0])[0]["error"] == 0.0
    assert evaluate(turned, long, source, [0])[0]["error"] == 1.0


def test_the_reference_trains_on_the_whole_training_split() -> None:
    source = blobs()
    rows = reference(source, CONFIGURATION, [0, 1])
    assert [(row["method"], row["k"], row["set"]) for row in rows] == [("reference", None, None)] * 2
    assert rows[0]["bytes"] == source.train.x.numel() * 4
    assert rows[0]["flops"] == Configuration.parse(CONFIGURATION).flops(source.domain, len(source.train))


def test_the_gap_is_the_error_less_the_mean_reference_of_the_same_configuration() -> None:
    errors = {"a": [0.1, 0.2], "b": [0.4]}
    rows: list[dict[str, Any]] = [
        {"method": "reference", "configuration": name, "error": error} for name in errors for error in errors[name]
    ]
    rows += [{"method": "dm", "configuration": name, "error": 0.3} for name in ("a", "b", "c")]
    gaps = [row["gap"] for row in with_gaps(rows)]
    assert gaps[:3] == pytest.approx([0.1 - fmean([0.1, 0.2]), 0.2 - fmean([0.1, 0.2]), 0.0])
    assert gaps[3:5] == pytest.approx([0.15, -0.1])
    assert gaps[5] is None


def test_a_reference_is_trained_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source, trained = blobs(), []
    real = reference

    def counted(source: Source, configuration: Any, seeds: Any, **settings: Any) -> Any:
        trained.append(list(seeds))
        return real(source, configuration, seeds, **settings)

    monkeypatch.setattr("limbeck.evaluation.reference", counted)
    first = cached_reference(source, CONFIGURATION, [0, 1])
    again = cached_reference(blobs(), Configuration.parse(CONFIGURATION), [1, 0, 2])
    assert trained == [[0], [1], [2]]
    assert again[:2] == [first[1], first[0]]
    assert without_time(first) == without_time(real(source, CONFIGURATION, [0, 1]))
    cached_reference(blobs(seed=1), CONFIGURATION, [0])
    cached_reference(source, "mlp(width=8, depth=1)/adamw/none/cosine(steps=6)", [0])
    assert trained[3:] == [[0], [0]]


def test_a_damaged_cache_is_said_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached_reference(blobs(), CONFIGURATION, [0])
    (record,) = tmp_path.rglob("*.json")
    record.write_text(record.read_text().replace('"error": 0', '"error": 9'))
    with pytest.raises(CorruptFile, match=r"Delete it and run the command again"):
        cached_reference(blobs(), CONFIGURATION, [0])


def test_a_cache_that_can_not_be_written_costs_a_training_and_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = [without_time(cached_reference(blobs(), CONFIGURATION, [0])) for _ in range(2)]
    assert found[0] == found[1] == without_time(reference(blobs(), CONFIGURATION, [0]))


def test_a_reference_of_the_users_own_network_is_not_kept_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code may change, and another project may have one of the same name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    layers = "nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes)"
    code = f"from torch import nn\n\n\ndef net(shape, classes):\n    return nn.Sequential({layers})\n"
    (tmp_path / "net_of_mine.py").write_text(code)
    assert cached_reference(blobs(), "net_of_mine:net/adamw/none/cosine(steps=2)", [0])[0]["error"] >= 0
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("lr", [1e16, 1e36])
def test_a_training_whose_loss_is_no_number_has_diverged_and_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lr: float
) -> None:
    """At 1e16 the parameters are finite and the logits are not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Diverged, match="Lower its lr"):
        cached_reference(blobs(), f"mlp/sgd(lr={lr:g})/none/cosine(steps=1)", [0])
    assert not list(tmp_path.rglob("references/*/*"))


def test_a_set_is_refused_on_a_source_that_was_prepared_in_another_way() -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8), np.arange(60) % 3
    source, plain = (Source.from_arrays(x, y, preprocessing=kind) for kind in ("standardise", "none"))
    made = distill(source, "random", CONFIGURATION, 1)
    assert len(evaluate(made, CONFIGURATION, source, [0])) == 1
    for other in (plain, Source.from_arrays(x // 2, y), Source.from_arrays(x[:, :, :6], y)):
        with pytest.raises(WrongPreprocessing, match="Load the source with the set's own settings"):
            evaluate(made, CONFIGURATION, other, [0])


def test_the_test_split_is_read_once_after_training_and_never_while_distilling(monkeypatch: pytest.MonkeyPatch) -> None:
    source = blobs()

    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"test split: {name}")

    sealed = replace(source, test=Untouchable())
    made = distill(sealed, "dm(steps=4)", CONFIGURATION, 2, candidates=2)
    assert torch.equal(made.samples().x, distill(source, "dm(steps=4)", CONFIGURATION, 2, candidates=2).samples().x)
    with pytest.raises(AssertionError, match="test split"):
        evaluate(made, CONFIGURATION, sealed, [0])


def test_a_learned_step_size_is_trained_with_where_the_configuration_asks_for_it() -> None:
    """Equal to the set's own number written as lr; the reference, and sets that learned none, take the given one."""
    source = blobs((6,))
    form = "mlp(width=8, depth=1)/sgd({})/none/constant(steps=5)"
    asking = form.format("rate=learned, lr=0.3")
    settings = "lr_pixels=1.0, lr_step_size=1e-9"
    mtt = f"mtt({settings}, steps=2, experts=1, expert_epochs=3, max_start=1, ahead=1, synthetic_steps=2)"
    made = distill(source, mtt, asking, 2, candidates=2)
    told = f"lr={made.step_size!r}"
    loss = {text: evaluate(made, text, source, [0])[0]["loss"] for text in (asking, form.format(told))}
    assert loss[asking] == loss[form.format(told)]
    assert evaluate(made, asking, source, [0])[0]["configuration"] == Configuration.parse(asking).spec
    assert loss[asking] != evaluate(made, form.format("lr=0.3"), source, [0])[0]["loss"]
    judged = distill(source, mtt, form.format("lr=0.3"), 2, candidates=2)
    assert judged.provenance["candidates"] != made.provenance["candidates"]  # candidates are judged with it too
    plain = distill(source, "random", asking, 2)
    assert (
        evaluate(plain, asking, source, [0])[0]["loss"]
        == evaluate(plain, form.format("lr=0.3"), source, [0])[0]["loss"]
    )
    given, asked = (reference(source, text, [0])[0]["loss"] for text in (form.format("lr=0.3"), asking))
    assert given == asked
    negative = replace(made, tensors={**made.tensors, "step_size": torch.tensor(-0.1)})
    with pytest.raises(Diverged, match="lr_step_size"):
        evaluate(negative, asking, source, [0])
    assert "rate" not in Configuration.parse(form.format("lr=0.3")).full_spec
