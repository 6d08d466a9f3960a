"""A study is its settings: they become cells, in an order that keeps every worker busy."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import BadData, BadSetting, MissingData, NotApplicable, UnknownName
from limbeck.study import Cell, Order, Study, shard
from little import CONFIGURATIONS, little_study, little_toml, opened, write_arrays


def test_a_study_written_out_reads_back(tmp_path: Path) -> None:
    study = little_study(tmp_path)
    assert Study.read(study.toml()) == study
    assert Study.read(study.toml()).settings() == study.settings()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ["dmm"]}, "Did you mean 'dm'?"),
        ({"methods": ["dm(step=1)"]}, "Did you mean 'steps'?"),
        ({"configurations": ["mlp/sdg"]}, "Did you mean 'sgd'?"),
        ({"source": "digit"}, "Did you mean 'digits'?"),
        ({"method": ["dm"]}, "study has no setting 'method'. Did you mean 'methods'?"),
        ({"per_class": [0]}, "every size must be at least 1"),
        ({"per_class": []}, "it must not be empty"),
        ({"per_class": [1.5]}, "it must be a whole number"),
        ({"sets": 0}, "sets=0 is refused: it must be at least 1"),
        ({"name": "../elsewhere"}, "can't be a file name here"),
        ({"methods": ["dm", "dm(lr_pixels=1.0)"]}, "methods holds 'dm(lr_pixels=1.0)' twice (defaults written out)"),
        ({"per_class": [1, 1]}, "per_class holds '1' twice"),
        ({"distill_configuration": "mpl"}, "Did you mean 'mlp'?"),
    ],
)
def test_every_mistake_in_a_study_file_is_named_before_anything_runs(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises((BadSetting, UnknownName), match=re.escape(words)):
        little_study(tmp_path, **changes)


def test_a_study_file_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="is not TOML"):
        Study.read("methods = dm")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSetting, match="no text in UTF-8"):
        Study.load(tmp_path / "bytes.toml")
    with pytest.raises(MissingData, match="can't be read: No such file"):
        Study.load(tmp_path / "none.toml")
    with pytest.raises(BadSetting, match=r"Did you mean 'candidates'\?"):
        Study.read(little_toml(tmp_path).replace("candidates", "candidate"))


def test_the_grid_is_every_combination_once(tmp_path: Path) -> None:
    cells = opened(tmp_path).cells()
    kinds = [cell.kind for cell in cells]
    sets = 2 * 2 * 2  # methods x sizes x sets
    assert [kinds.count(kind) for kind in ("reference", "distill", "evaluate")] == [2 * 2, sets, sets * 2]
    assert len({cell.id for cell in cells}) == len(cells)
    seeds = [seed for cell in cells for seed in cell.payload.get("seeds", [cell.payload.get("seed")])]
    assert len(set(seeds)) == len(seeds)


def test_every_cell_stands_after_those_that_it_needs(tmp_path: Path) -> None:
    mtt = "mtt(steps=1, experts=2, expert_epochs=3, max_start=1, ahead=1)"
    cells = opened(tmp_path, methods=["random", mtt]).cells()
    seen: set[str] = set()
    for cell in cells:
        assert set(cell.needs) <= seen
        seen.add(cell.id)
    experts = [cell for cell in cells if cell.kind == "expert"]
    assert len(experts) == 2  # shared by every size and set
    assert {cell.payload["number"] for cell in experts} == {0, 1}
    walking = [cell for cell in cells if cell.kind == "distill" and cell.payload["method"].startswith("mtt")]
    assert all(set(cell.needs) == {expert.id for expert in experts} for cell in walking)


def test_a_larger_study_keeps_the_cells_of_a_smaller_one(tmp_path: Path) -> None:
    small = {cell.id for cell in opened(tmp_path).cells()}
    grown: dict[str, Any] = {"per_class": [3, 1, 2], "sets": 3, "reference_seeds": 3}
    grown |= {"methods": ["k-means", "dm(steps=2, batch_real=8)", "random"]}
    grown |= {"configurations": [*CONFIGURATIONS[::-1], "mlp"], "distill_configuration": CONFIGURATIONS[0]}
    assert small <= {cell.id for cell in opened(tmp_path, "other", **grown).cells()}


@pytest.mark.parametrize("change", [{"seed": 1}, {"source": "digits"}, {"distill_configuration": "mlp"}])
def test_what_changes_results_changes_ids(tmp_path: Path, change: dict[str, Any]) -> None:
    kinds = ("distill", "evaluate") if "distill_configuration" in change else ("reference", "distill", "evaluate")
    own, other = opened(tmp_path).cells(), opened(tmp_path, "other", **change).cells()
    assert not {cell.id for cell in own if cell.kind in kinds} & {cell.id for cell in other}


def test_sets_made_through_batch_norms_that_held_no_statistics_are_not_found(tmp_path: Path) -> None:
    """Of matching methods alone, under networks with batch norms alone: everything else keeps the id that it had."""
    methods = ["random", "dm(steps=2, batch_real=8)", "mtt(steps=1, experts=1, expert_epochs=3, max_start=1, ahead=1)"]
    for folder, norm, marked in (("plain", "instance", set[str]()), ("normed", "batch", {"dm"})):
        convnet = f"convnet(width=4, depth=1, norm={norm})/sgd(lr=0.1)/none/constant(steps=2)"
        source = "digits(train_limit=100)"
        cells = opened(tmp_path, folder, source=source, methods=methods, distill_configuration=convnet).cells()
        made = [cell for cell in cells if cell.kind == "distill"]
        assert {cell.payload["method"].split("(")[0] for cell in made if "statistics" in cell.payload} == marked


def test_a_class_with_fewer_images_than_per_class_is_named(tmp_path: Path) -> None:
    write_arrays(tmp_path / "arrays.npz", counts=(20, 9, 20))
    with pytest.raises(BadData, match=r"class '1' of .* has 6 training samples, fewer than per_class = 8. Lower"):
        opened(tmp_path, per_class=[1, 8]).cells()


def test_titles_are_what_a_user_would_write(tmp_path: Path) -> None:
    titles = [cell.title for cell in opened(tmp_path).cells()]
    assert titles[0] == f"reference {CONFIGURATIONS[0]}"
    assert "distill dm(steps=2, batch_real=8) 3 per class, set 1, " + CONFIGURATIONS[0] in titles


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_cover_the_study_and_share_no_training(tmp_path: Path, count: int) -> None:
    mtt = "mtt(steps=1, experts=2, expert_epochs=3, max_start=1, ahead=1)"
    cells = opened(tmp_path, methods=["random", mtt]).cells()
    parts = [shard(cells, f"{i + 1}/{count}") for i in range(count)]
    assert {cell.id for part in parts for cell in part} == {cell.id for cell in cells}
    for part in parts:
        assert all(set(cell.needs) <= {held.id for held in part} for cell in part)
    owned = [cell.id for part in parts for cell in part if cell.kind != "expert"]
    assert len(owned) == len(set(owned))


@pytest.mark.parametrize("part", ["0/2", "3/2", "a/b", "1", "1/0", "-1/2", ""])
def test_a_shard_of_another_form_is_refused(part: str) -> None:
    with pytest.raises(BadSetting, match="Write i/n"):
        shard([], part)


def drawn(links: list[list[int]], costs: list[int]) -> list[Cell]:
    """Cells in a line, each needing some of those before it."""
    cells: list[Cell] = []
    for place, (needs, cost) in enumerate(zip(links, costs, strict=True)):
        own = tuple(sorted({cells[need % place].id for need in needs})) if place else ()
        cells.append(Cell("reference", {"place": place, "configuration": "mlp"}, own, float(cost)))
    return cells


GRAPHS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 99), max_size=3), min_size=n, max_size=n),
        st.lists(st.integers(1, 9), min_size=n, max_size=n),
        st.sets(st.integers(0, n - 1)),
    )
)


@given(GRAPHS, st.randoms(use_true_random=False))
def test_cells_come_after_their_needs_and_what_needs_a_failure_is_blocked(
    graph: tuple[list[list[int]], list[int], set[int]], chance: random.Random
) -> None:
    links, costs, failing = graph
    cells = drawn(links, costs)
    order = Order(cells)
    ended: set[str] = set()
    lost: set[str] = set()
    running: list[Cell] = []
    while order.left:
        while (cell := order.next()) is not None:
            assert set(cell.needs) <= ended
            running.append(cell)
        cell = running.pop(chance.randrange(len(running)))
        if cell.payload["place"] in failing:
            order.failed(cell)
            lost.add(cell.id)
        else:
            order.done(cell)
            ended.add(cell.id)
    assert running == []
    for cell in cells:  # the definition: blocked is what needs, at any remove, what has failed
        if set(cell.needs) & (lost | order.blocked):
            assert cell.id in order.blocked
        else:
            assert cell.id in ended | lost
    # Beginning again with what is known gives the same state, and nothing to do.
    again = Order(cells, ended, lost)
    assert (again.left, again.blocked, again.next()) == (0, order.blocked, None)


def test_the_first_cells_give_the_first_gap(tmp_path: Path) -> None:
    order = Order(opened(tmp_path, methods=["dm", "random"]).cells())
    first = []
    for _ in range(3):
        cell = order.next()
        assert cell is not None
        first.append(cell)
        order.done(cell)
    assert [cell.kind for cell in first] == ["reference", "distill", "evaluate"]
    assert first[0].payload["configuration"] == first[2].payload["configuration"]
    assert first[1].payload["method"].startswith("random")
    assert first[2].needs == (first[1].id,)


def test_the_longest_chain_is_begun_first() -> None:
    # Two workers, one long and four short cells: the long one first gives a makespan of 4, last one of 6.
    cells = [Cell("expert", {"n": n, "configuration": "mlp"}, (), cost) for n, cost in enumerate([1.0, 1, 1, 1, 4])]
    first = Order(cells).next()
    assert first is not None
    assert first.cost == 4


def test_an_order_without_all_cells_is_a_mistake(tmp_path: Path) -> None:
    trainings = [cell for cell in opened(tmp_path).cells() if cell.kind == "evaluate"]
    with pytest.raises(BadSetting, match="which is not in the study"):
        Order(trainings)


def test_methods_that_can_not_run_on_the_source_are_refused_before_the_first_cell(tmp_path: Path) -> None:
    """Feature vectors: defaults that only images can have are left out, what was asked for is refused."""
    random, path = np.random.default_rng(0), tmp_path / "vectors.npz"
    np.savez(path, x_train=random.normal(size=(60, 6)).astype(np.float32), y_train=np.repeat([0, 1, 2], 20))
    mine = {"source": f"embeddings(path='{path}')", "configurations": ["mlp(width=8)/sgd/none/cosine(steps=2)"]}
    for able in ("dm(steps=1)", "idm(steps=1)"):
        assert little_study(tmp_path, methods=[able], **mine).cells()
    refused = {"dm(steps=1, augmentation=cutmix)": "cutmix", "rded": "Methods that can run here"}
    for method, words in refused.items():
        with pytest.raises((BadSetting, NotApplicable), match=words):
            little_study(tmp_path, methods=[method], **mine).cells()
