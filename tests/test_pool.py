"""A pool of configurations: exact turns, exact resume, weights that go where the set fails, no dearer than one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import task
from limbeck.cost import forecast
from limbeck.distillation import Progress, distill
from limbeck.errors import BadSetting, Interrupted
from limbeck.pool import Pool
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs

FIRST = "mlp(width=8, depth=1)/adamw/none/cosine(steps=4)"
SECOND = "convnet(width=4, depth=1)/sgd/none/cosine(steps=3)"
THIRD = "mlp(width=4, depth=1, norm=batch)/adamw/cosine(steps=4)"
METHODS = [
    "dm(steps=6, batch_real=8)",
    "dc(steps=6, length=2, epochs=2, batch_real=8)",
    "mtt(steps=6, experts=3, expert_epochs=3, max_start=1, ahead=1, synthetic_steps=2, lr_pixels=1.0)",
]


def pooled(method: str = METHODS[0], weights: str = "equal", **options: Any) -> SyntheticSet:
    options = {"configurations": [FIRST, SECOND, THIRD], "candidates": 3} | options
    return distill(blobs(), method, FIRST, 2, weights=weights, **options)  # type: ignore[arg-type]


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_visits_stay_with_the_weights(raw: list[float]) -> None:
    weights = torch.tensor(raw, dtype=torch.float64) / sum(raw)
    held = {**Pool.of([f"mlp(width={i + 1})" for i in range(len(raw))]).begin(), "weights": weights}
    for done in range(1, 60):
        chosen, before, after = Pool.turn(held)
        assert before == int(held["visits"][chosen])
        held = after
        assert float((held["visits"] - weights * done).abs().max()) < 2
    assert int(held["visits"].sum()) == 59


def test_equal_weights_go_round() -> None:
    held, turns = Pool.of([FIRST, SECOND, THIRD]).begin(), []
    for _ in range(6):
        chosen, _, held = Pool.turn(held)
        turns.append(chosen)
    assert turns == [0, 1, 2, 0, 1, 2]


def test_worst_case_weights_go_where_the_gap_is_and_forget_no_one() -> None:
    pool = Pool.of([FIRST, SECOND, THIRD], "worst-case")
    gaps, held = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64), pool.begin()
    once = pool.reweighed(held, gaps)["weights"]
    expected = 0.8 * torch.softmax(10 * gaps, 0) + 0.2 / 3
    torch.testing.assert_close(once, expected)
    for _ in range(20):
        held = pool.reweighed(held, gaps)
    assert float(held["weights"].min()) >= 0.2 / 3 - 1e-12
    assert float(held["weights"].sum()) == pytest.approx(1.0)
    assert int(held["weights"].argmax()) == 2
    assert pool.score(gaps) == pytest.approx(0.3)
    equal = Pool.of([FIRST, SECOND, THIRD])
    assert equal.reweighed(equal.begin(), gaps)["weights"].tolist() == [1 / 3] * 3
    assert equal.score(gaps) == pytest.approx(0.4 / 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_one_is_no_pool(method: str) -> None:
    alone = distill(blobs(), method, FIRST, 2, candidates=2)
    assert distill(blobs(), method, FIRST, 2, candidates=2, configurations=[FIRST]).digest == alone.digest


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_visits_all_its_dynamics(method: str) -> None:
    made = pooled(method, candidates=1)
    assert made.provenance["pool"]["visits"] == [2, 2, 2]
    assert made.configuration == distill(blobs(), method, FIRST, 2, steps=1, candidates=1).configuration
    # Step by step: the first visit is that of the first configuration alone, later ones are not.
    if method != METHODS[2]:  # a pool has fewer experts of each configuration
        first = pooled(method, candidates=1, steps=1)
        assert first.digest == distill(blobs(), method, FIRST, 2, steps=1, candidates=1).digest
    assert made.digest != distill(blobs(), method, FIRST, 2, candidates=1).digest
    assert made.digest != pooled(method, candidates=1, configurations=[FIRST, THIRD, SECOND]).digest


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", ["equal", "worst-case"])
def test_a_pooled_run_stopped_at_any_step_goes_on_to_the_bit(method: str, weights: str, tmp_path: Path) -> None:
    whole = pooled(method, weights)
    for step in (1, 2, 4):

        def stop(progress: Progress, at: int = step) -> None:
            if progress.step == at:
                raise KeyboardInterrupt

        folder = tmp_path / str(step)
        with pytest.raises(Interrupted):
            pooled(method, weights, folder=folder, on_progress=stop)
        went_on = pooled(method, weights, folder=folder)
        assert went_on.digest == whole.digest
        assert {**went_on.provenance, "seconds": 0} == {**whole.provenance, "seconds": 0}


def test_candidates_of_a_pool_are_judged_by_their_gaps_under_all_of_it() -> None:
    source = blobs(spread=3.0)
    options: dict[str, Any] = {"configurations": [FIRST, SECOND], "candidates": 4}
    method = "dm(steps=8, lr_pixels=30.0, batch_real=8)"
    for weights, judge in (("equal", lambda gaps: sum(gaps) / 2), ("worst-case", max)):
        made = distill(source, method, FIRST, 2, weights=weights, **options)  # type: ignore[arg-type]
        found = made.provenance["candidates"]
        assert [candidate["step"] for candidate in found] == [2, 4, 6, 8]
        scores = [judge(candidate["gaps"]) for candidate in found]
        assert [candidate["score"] for candidate in found] == pytest.approx(scores)
        best = max(c["step"] for c, score in zip(found, scores, strict=True) if score == min(scores))
        if weights == "equal":  # the step that won is a run of its own with as many steps
            assert distill(source, method, FIRST, 2, steps=best, **{**options, "candidates": 1}).digest == made.digest


def test_a_pool_trains_no_more_experts_than_one_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, int]] = []
    real = task.train_expert

    def counted(plan: Any, dynamics: Any, data: Any, number: int) -> Any:
        trained.append((plan.configuration.spec, number))
        return real(plan, dynamics, data, number)

    monkeypatch.setattr(task, "train_expert", counted)
    pooled(METHODS[2].replace("steps=6", "steps=60", 1), candidates=1)
    assert len(trained) == len(set(trained)) == 3
    assert len({spec for spec, _ in trained}) == 3


def test_what_a_pool_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(BadSetting, match="candidates=2 or more"):
        pooled(weights="worst-case", candidates=1)
    with pytest.raises(BadSetting, match="given twice"):
        pooled(configurations=[FIRST, SECOND, FIRST])
    with pytest.raises(BadSetting, match="Did you mean 'worst-case'"):
        pooled(weights="worstcase")
    with pytest.raises(BadSetting, match="a pool trains its own"):
        pooled(METHODS[2], experts=lambda number: torch.zeros(4, 1))


def test_a_pool_is_forecast_too() -> None:
    cost = forecast(blobs(), METHODS[2], FIRST, 2, configurations=[FIRST, SECOND])
    assert cost.steps == 6
    assert cost.experts == 4  # half of three for each of the two, rounded up
