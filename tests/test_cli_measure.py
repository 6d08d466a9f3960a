"""The verbs on single configurations and pools of them: measure, and distill with several configurations."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import Command
from limbeck.dynamics import Dynamics
from limbeck.measures.alignment import alignment
from limbeck.measures.decomposition import measure, passes
from limbeck.measures.objective import Objective
from limbeck.measures.yardstick import measure_ground
from limbeck.runners import run_study
from limbeck.sources import load_source
from limbeck.streams import derive
from limbeck.study.work import load_set
from limbeck.synthetic import SyntheticSet
from little import CONFIGURATIONS, opened, write_arrays

FAMILY = [f"mlp(width={width})/{rule}/cosine(steps=2)" for width in (4, 8, 64) for rule in ("sgd", "adamw")]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return f"npz(path={write_arrays(tmp_path / 'mine.npz')})"


def test_measure_says_what_a_gap_is_made_of_and_what_to_do(limbeck: Command, source: str) -> None:
    limbeck("distill", source, "random", "-k", 2, "-c", CONFIGURATIONS[0], "-o", "small")
    told = limbeck("measure", "small", "-c", "mlp(width=8)/adamw/cosine(steps=12)", "--json")
    assert told.code == 0, told.err
    found = told.json
    assert found["violations"] == 0
    assert found["bound"] >= found["excess"]
    parts = [found[name] for name in ("residual", "matching", "update", "curvature")]
    assert math.isclose(sum(parts), found["bound"], rel_tol=1e-9)
    shown = limbeck("measure", "small", "-c", "mlp(width=8)/adamw/cosine(steps=12)", "--every", 4)
    assert shown.code == 0
    assert "the bound interpolates between" in shown.out
    assert "on the visited path" in shown.out
    assert "Next: " in shown.out
    assert limbeck("measure", "nowhere").code == 2


def test_a_long_measurement_says_before_it_begins_how_long_it_takes(
    limbeck: Command, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limbeck("distill", source, "random", "-k", 2, "-c", CONFIGURATIONS[0], "-o", "small")
    words = ("measure", "small", "-c", "mlp(width=8)/adamw/cosine(steps=12)", "--probe", 16)
    assert "This takes about" not in limbeck(*words).err
    monkeypatch.setattr("limbeck.cli.measuring.LONG", 0.0)
    assert "This takes about" in limbeck(*words).err
    assert "--probe 4 takes about a quarter" in limbeck(*words).err
    assert not limbeck(*words, "--json").err


@pytest.mark.parametrize("every", [1, 5])
def test_a_measurement_costs_the_passes_that_are_foretold(
    limbeck: Command, source: str, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Gradients, losses and Hessian products over the probe are counted as they are asked for; the set's are few."""
    limbeck("distill", source, "random", "-k", 2, "-c", CONFIGURATIONS[0], "-o", "small")
    made, data = SyntheticSet.load(Path("small")), load_source(source)
    worth = {"at": 1.0, "value": 0.4, "pushed": 4.2}
    spent = 0.0

    def counted(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        def call(objective: Objective, *arguments: Any) -> Any:
            nonlocal spent
            spent += worth[name] if len(objective.data) == len(data.train) else 0.0
            return own(objective, *arguments)

        return call

    for name in worth:
        monkeypatch.setattr(Objective, name, counted(name, getattr(Objective, name)))
    measure(made, data, "mlp(width=8)/sgd(lr=0.05)/cosine(steps=60, batch=16)", every=every)
    training, single = 7 * 60 * 16 / len(data.train), 6 * 2.0
    assert passes(60, len(data.train), 16, every) == pytest.approx(spent + training + single, rel=0.05)


def test_interchange_measures_every_set_of_a_study_once_and_says_which_surrogate_to_take(
    limbeck: Command, tmp_path: Path
) -> None:
    folder = opened(tmp_path, methods=["random", "dm(steps=2, batch_real=8)", "dm(steps=1, batch_real=8)"])
    run_study(folder, "serial")
    told = limbeck("interchange", folder.path, "--every", 2, "--json")
    assert told.code == 0, told.err
    found, rows = told.json, told.json["rows"]
    assert len(rows) == 3 * 2 * 2 * 2  # methods, sizes, sets, configurations
    assert {row["method"] for row in rows} == {"random", "dm(batch_real=8)"}
    assert {row["steps"] for row in rows} == {0, 1, 2}
    cell = next(cell for cell in folder.cells() if cell.kind == "distill")
    made, source = load_set(folder, cell.id), load_source(folder.study.source)
    row = next(row for row in rows if row["home"] == row["configuration"] and row["method"] == "random")
    ground = measure_ground(source, row["home"])
    dynamics = Dynamics(row["home"], source.domain)
    seed = derive(cell.payload["set"], "evaluate")
    own = alignment(dynamics, made.samples(), source.train, seed, mu=ground.mu, every=2)
    assert row["discrepancy"] == pytest.approx(own, rel=1e-5)
    assert {line["method"] for line in found["guidance"]} == {"random", "dm(batch_real=8)"}
    before = {path: path.stat().st_mtime_ns for path in (folder.path / "discrepancies").iterdir()}
    shown = limbeck("interchange", folder.path, "--every", 2)
    assert shown.code == 0, shown.err
    assert "leaves the smallest mean gap" in shown.out
    assert before == {path: path.stat().st_mtime_ns for path in (folder.path / "discrepancies").iterdir()}
    assert limbeck("verify", folder.path).code == 0


def test_a_set_is_distilled_for_the_centres_of_a_family(limbeck: Command, source: str, tmp_path: Path) -> None:
    (tmp_path / "family.txt").write_text("# three widths, two rules\n\n" + "\n".join(FAMILY))
    words = ["distill", source, "dm(steps=4)", "-k", 2, "-c", CONFIGURATIONS[0], "--candidates", 2]
    ended = limbeck(*words, "--configurations", "cover:3 of family.txt", "--weights", "worst-case", "-o", "robust")
    assert ended.code == 0, ended.err
    pool = SyntheticSet.load(tmp_path / "robust").provenance["pool"]
    assert len(set(pool["configurations"])) == 3
    assert pool["weighting"] == "worst-case"
    assert sum(pool["visits"]) == 4
    given = limbeck(*words, "--configurations", FAMILY[0], "--configurations", FAMILY[3], "-o", "given")
    assert given.code == 0, given.err
    assert SyntheticSet.load(tmp_path / "given").provenance["pool"]["visits"] == [2, 2]
    assert limbeck(*words, "--configurations", FAMILY[0], "--dry-run").code == 0
    for text, said in (("cover:9 of family.txt", "needs a family of as many"), ("cover:2 of nowhere", "no family")):
        refused = limbeck(*words, "--configurations", text)
        assert refused.code == 2
        assert said in refused.err
