"""The outer loop: its budget, its checkpoints to the bit, its choice on validation data, its honest end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import distillation as outer
from limbeck import task, validation
from limbeck.cost import forecast
from limbeck.distillation import Progress, distill
from limbeck.errors import BadData, BadSetting, Diverged, Interrupted, NotApplicable, StoreFailure, UnknownName
from limbeck.sources import Source, load_source
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs

CONFIGURATION = "mlp(width=8, depth=1)/adamw/none/cosine(steps=4)"
METHODS = [
    "dm(steps=6, batch_real=8)",
    "dc(steps=6, length=2, epochs=2, batch_real=8)",
    "dsa(steps=6, length=3, epochs=1, batch_real=8)",
    "mtt(steps=6, experts=2, expert_epochs=3, max_start=1, ahead=1, synthetic_steps=2, lr_pixels=1.0)",
]


def same(first: SyntheticSet, second: SyntheticSet) -> bool:
    """Equal to the bit, and equal in what was seen on the way."""
    seen = [{**made.provenance, "seconds": 0} for made in (first, second)]
    return first.digest == second.digest and seen[0] == seen[1]


def stop_at(step: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise error

    return stop


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)])
def test_a_run_stopped_at_any_step_goes_on_to_the_bit(method: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    source = blobs(shape)
    whole = distill(source, method, CONFIGURATION, 2, candidates=3)
    for step in range(1, 6):
        folder = tmp_path / str(step)
        with pytest.raises(Interrupted, match=rf"stopped at step {step}; the checkpoint in .* is complete"):
            distill(source, method, CONFIGURATION, 2, candidates=3, folder=folder, on_progress=stop_at(step))
        seen: list[Progress] = []
        went_on = distill(source, method, CONFIGURATION, 2, candidates=3, folder=folder, on_progress=seen.append)
        assert [progress.step for progress in seen] == list(range(step + 1, 7))
        assert same(went_on, whole)


def test_a_run_stopped_again_and_again_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole = distill(blobs(), METHODS[0], CONFIGURATION, 2)
    for step in range(1, 6):
        with pytest.raises(Interrupted):
            distill(blobs(), METHODS[0], CONFIGURATION, 2, folder=tmp_path, on_progress=stop_at(step))
    assert same(distill(blobs(), METHODS[0], CONFIGURATION, 2, folder=tmp_path), whole)


def test_a_crash_loses_only_the_work_since_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outer, "CHECKPOINT_SECONDS", -1.0)
    whole = distill(blobs(), METHODS[1], CONFIGURATION, 2)
    with pytest.raises(SystemError):
        distill(blobs(), METHODS[1], CONFIGURATION, 2, folder=tmp_path, on_progress=stop_at(4, SystemError))
    assert len(list(tmp_path.glob("checkpoint-*.safetensors"))) == 1
    seen: list[int] = []
    made = distill(blobs(), METHODS[1], CONFIGURATION, 2, folder=tmp_path, on_progress=lambda p: seen.append(p.step))
    assert seen[0] == 5
    assert same(made, whole)


def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        distill(blobs(), METHODS[0], CONFIGURATION, 2, folder=tmp_path, on_progress=stop_at(3))
    (held,) = tmp_path.glob("*.safetensors")
    held.write_bytes(held.read_bytes()[:-1])
    assert same(
        distill(blobs(), METHODS[0], CONFIGURATION, 2, folder=tmp_path), distill(blobs(), METHODS[0], CONFIGURATION, 2)
    )


@pytest.mark.parametrize("change", [{"seed": 1}, {"per_class": 1}, {"steps": 5}, {"method": "dm(steps=6)"}])
def test_another_run_does_not_go_on_from_this_ones_checkpoint(change: dict[str, Any], tmp_path: Path) -> None:
    own: dict[str, Any] = {"method": METHODS[0], "per_class": 2}
    with pytest.raises(Interrupted):
        distill(blobs(), own["method"], CONFIGURATION, own["per_class"], folder=tmp_path, on_progress=stop_at(3))
    other = {**own, **change}
    method, per_class = other.pop("method"), other.pop("per_class")
    made = distill(blobs(), method, CONFIGURATION, per_class, folder=tmp_path, **other)
    assert same(made, distill(blobs(), method, CONFIGURATION, per_class, **other))


def test_without_a_folder_an_interrupt_says_that_nothing_was_kept() -> None:
    with pytest.raises(Interrupted, match="without a folder nothing was kept"):
        distill(blobs(), METHODS[0], CONFIGURATION, 2, on_progress=stop_at(2))


def test_a_full_disk_while_checkpointing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outer, "CHECKPOINT_SECONDS", -1.0)
    (tmp_path / "folder").touch()  # no folder can be made here, as on a disk that refuses
    with pytest.raises(StoreFailure, match="Finished results are untouched"):
        distill(blobs(), METHODS[0], CONFIGURATION, 2, folder=tmp_path / "folder")


def test_the_budget_is_the_methods_steps_or_fewer() -> None:
    seen: list[Progress] = []
    distill(blobs(), METHODS[0], CONFIGURATION, 1, steps=3, on_progress=seen.append)
    assert [(p.step, p.steps) for p in seen] == [(1, 3), (2, 3), (3, 3)]
    assert distill(blobs(), METHODS[0], CONFIGURATION, 1, steps=50).provenance["steps"] == 6
    assert all(p.seconds_left >= 0 and p.seconds > 0 for p in seen)
    assert seen[-1].seconds_left == 0


def test_a_budget_in_seconds_ends_the_run_after_the_step_that_spends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(outer.time, "perf_counter", lambda: float(next(clock)))
    seen: list[Progress] = []
    made = distill(
        blobs(), METHODS[0], CONFIGURATION, 1, seconds=3.5, candidates=1, on_progress=seen.append
    )  # one reading of the clock a step: 1, 2, 3 and 4 seconds
    assert made.provenance["steps"] == 4
    assert [p.seconds_left for p in seen] == [2.5, 1.5, 0.5, 0.0]


def test_the_set_with_the_lowest_validation_error_is_kept() -> None:
    source, method = blobs(spread=3.0), "dm(steps=8, lr_pixels=30.0, batch_real=8)"
    made = distill(source, method, CONFIGURATION, 2, candidates=4)
    found = made.provenance["candidates"]
    assert [candidate["step"] for candidate in found] == [2, 4, 6, 8]
    errors = [candidate["error"] for candidate in found]
    assert all(round(error * len(source.validation), 6).is_integer() for error in errors)
    best = max(candidate["step"] for candidate in found if candidate["error"] == min(errors))
    # The step that won is a run of its own with as many steps.
    assert distill(source, method, CONFIGURATION, 2, steps=best, candidates=1).digest == made.digest


def test_one_candidate_keeps_the_last_set_and_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "train", lambda *args: pytest.fail("a network was trained"))
    assert distill(blobs(), METHODS[0], CONFIGURATION, 1, candidates=1).provenance["candidates"] == []


@pytest.mark.parametrize("initial", ["real", "noise"])
def test_divergence_is_stopped_with_the_step_the_value_and_what_to_do(initial: str) -> None:
    with pytest.raises(Diverged) as stopped:
        distill(blobs(), f"dm(steps=500, lr_pixels=1e30, initial={initial})", CONFIGURATION, 1, candidates=1)
    words = str(stopped.value)
    assert re.search(r"left the finite range at step \d+: the surrogate was", words)
    assert "Lower its step sizes (now pixels 1e+30)" in words


def test_a_diverged_validation_counts_as_the_worst_error() -> None:
    wild = "mlp(width=8, depth=1)/sgd(lr=1e30)/none/constant(steps=6)"
    made = distill(blobs(), "dm(steps=2)", wild, 1, candidates=2)
    assert [candidate["error"] for candidate in made.provenance["candidates"]] == [1.0, 1.0]


@pytest.mark.parametrize("method", ["random", "herding", "k-means"])
def test_a_selection_is_real_samples_of_each_class(method: str) -> None:
    source = blobs(counts=(20, 30, 24))
    made = distill(source, method, CONFIGURATION, 3, steps=9)
    real = {(row.numpy().tobytes(), int(label)) for row, label in zip(source.train.x, source.train.group, strict=True)}
    held = made.samples()
    assert torch.bincount(held.group).tolist() == [3, 3, 3]
    assert {(row.numpy().tobytes(), int(label)) for row, label in zip(held.x, held.group, strict=True)} <= real
    assert made.provenance["steps"] == 0


def test_a_set_says_where_it_comes_from() -> None:
    source = blobs()
    made = distill(source, METHODS[0], CONFIGURATION, 2, seed=7)
    assert (made.k, made.per_class, made.seed, made.source) == (6, 2, 7, "blobs")
    assert made.provenance["source_digest"] == source.digest
    assert dict(made.preprocessing) == source.preprocessing.about()
    assert [place for place, _ in made.provenance["losses"]] == list(range(6))


def test_another_seed_is_another_set_and_the_same_seed_the_same() -> None:
    first, other = (distill(blobs(), METHODS[0], CONFIGURATION, 2, seed=seed) for seed in (0, 1))
    assert first.digest != other.digest
    assert same(first, distill(blobs(), METHODS[0], CONFIGURATION, 2, seed=0))


@pytest.mark.parametrize(
    ("method", "configuration", "per_class", "error", "words"),
    [
        ("dmm", CONFIGURATION, 1, UnknownName, "Did you mean 'dm'?"),
        ("dm", "mpl", 1, UnknownName, "Did you mean 'mlp'?"),
        ("dm", CONFIGURATION, 99, BadData, "class '0' of blobs has 22 training samples; 99 per class"),
        ("dm(augmentation=sianese)", CONFIGURATION, 1, UnknownName, "Did you mean 'siamese'?"),
        ("dm(lr_pixel=2)", CONFIGURATION, 1, BadSetting, "Did you mean 'lr_pixels'?"),
    ],
)
def test_what_can_not_be_distilled_is_refused_before_any_work(
    method: str, configuration: str, per_class: int, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        distill(blobs(), method, configuration, per_class)


def test_views_of_images_are_refused_for_vectors_but_those_that_a_method_has_by_default() -> None:
    """Written out or not: the cells of a study name every default."""
    for method in ("dm(steps=1)", "dm(steps=1, augmentation=siamese)"):
        assert distill(blobs((5,)), method, CONFIGURATION, 1).k == 3
    with pytest.raises((NotApplicable, BadSetting), match="flip-crop"):
        distill(blobs((5,)), "dm(steps=1, augmentation=flip-crop)", CONFIGURATION, 1)


@pytest.mark.parametrize("method", [*METHODS, "random"])
def test_a_forecast_measures_and_keeps_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = blobs()
    longest: list[int] = []
    monkeypatch.setattr(task, "train_expert", lambda *args: pytest.fail("a whole expert was trained"))
    monkeypatch.setattr("limbeck.cost.train_expert", lambda plan, *args: longest.append(plan.epochs))
    cost = forecast(source, method, CONFIGURATION, 2)
    assert longest == ([1, 2] if method.startswith("mtt") else []), "a few steps of one expert, never a whole one"
    assert (cost.expert_seconds > 0) == method.startswith("mtt")
    assert cost.steps == (6 if method != "random" else 0)
    assert cost.experts == (2 if method.startswith("mtt") else 0)
    assert cost.peak_memory_bytes > 1e7
    assert cost.start_seconds > 0
    assert cost.seconds >= cost.start_seconds + cost.steps * cost.seconds_per_step + cost.expert_seconds
    assert cost.bytes >= 3 * 2 * 64 * 4
    assert forecast(source, method, CONFIGURATION, 2, steps=2).steps == min(2, cost.steps)


def test_a_forecast_is_proportional_to_steps_and_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(outer.time, "perf_counter", lambda: float(next(ticks)))
    short, long = (forecast(blobs(), f"dm(steps={steps})", CONFIGURATION, 1, candidates=5) for steps in (40, 100))
    assert short.seconds_per_step == long.seconds_per_step == 1.0
    assert long.seconds - short.seconds == 60.0
    # A validation reads the clock as often whatever the number of candidates.
    more = forecast(blobs(), "dm(steps=40)", CONFIGURATION, 1, candidates=10)
    start = short.start_seconds
    assert more.seconds - start - 40 == 2 * (short.seconds - start - 40) > 0


def test_unbalanced_classes_give_as_many_samples_each() -> None:
    source: Source = blobs(counts=(9, 60, 20))
    made = distill(source, METHODS[0], CONFIGURATION, 4)
    assert torch.bincount(made.group).tolist() == [4, 4, 4]
    assert made.group.tolist() == sorted(made.group.tolist())


def test_given_experts_are_used_in_place_of_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    source, method = blobs(), METHODS[3]
    held: dict[int, torch.Tensor] = {}
    trained = task.train_expert
    monkeypatch.setattr(task, "train_expert", lambda p, d, t, number: held.setdefault(number, trained(p, d, t, number)))
    whole = distill(source, method, CONFIGURATION, 2)
    assert held
    monkeypatch.setattr(task, "train_expert", lambda *args: pytest.fail("an expert was trained"))
    assert same(distill(source, method, CONFIGURATION, 2, experts=held.__getitem__), whole)


def test_a_saved_set_is_the_set(tmp_path: Path) -> None:
    made = distill(blobs(), METHODS[3], CONFIGURATION, 2)
    made.save(tmp_path)
    held = SyntheticSet.load(tmp_path)
    assert held == replace(made, tensors=held.tensors, group=held.group)
    assert held.digest == made.digest
    assert held.step_size == made.step_size
    assert torch.equal(held.samples().x, made.samples().x)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"per_class": 0}, "per_class=0"),
        ({"per_class": 1.5}, "per_class=1.5"),
        ({"steps": 0}, "steps=0"),
        ({"candidates": 0}, "candidates=0"),
        ({"source": torch.zeros(3, 4)}, "from_arrays"),
        ({"source": "digit"}, "Did you mean 'digits'"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_runs(given: dict[str, Any], words: str) -> None:
    settings = {"source": "digits(train_limit=100)", "method": "dm", "configuration": "mlp", "per_class": 1, **given}
    for verb in (distill, forecast):
        with pytest.raises((BadSetting, UnknownName), match=re.escape(words)):
            verb(**settings)


def test_a_source_may_be_given_as_its_text() -> None:
    made = distill("digits(train_limit=100)", "random", "mlp(width=8)", 1)
    assert made.source == "digits(train_limit=100)"
    assert len(repr(made)) < 1000  # tensors are left out: they would flood a prompt
    assert len(repr(load_source(made.source))) < 1000
