"""Runs for a whole family: the worst configuration is found with fewer runs than an even choice needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Command
from faked import distilled
from limbeck.errors import BadData
from limbeck.family import MOST_RUNS, FamilyCampaign
from limbeck.laws.suspects import next_suspects, suspects
from limbeck.pursuit import pursue
from limbeck.runners import run_study
from limbeck.streams import derive
from limbeck.study import Cell, Study, StudyFolder, table
from limbeck.testing.searches import planted_family, runs_until_found
from limbeck.testing.worlds import World

NOISE = 0.01


def test_the_worst_configuration_is_found_with_fewer_runs_than_an_even_choice() -> None:
    """The reduced form of `benchmarks/family_planning.py`: near-duplicates in clusters on a plane, 12 families."""
    world = World(clusters=24, copies=4, dims=2, spread=1.0, sets=1, seeds=1, seed_sd=0.0, levels=(20,), scale=0.4)
    counts: dict[str, list[int]] = {rule: [] for rule in ("even", "suspects")}
    for seed in range(12):
        gap, d = planted_family(world, seed)
        for rule, held in counts.items():
            held.append(runs_until_found(gap, d, rule, noise=NOISE, seed=seed))
    assert np.mean(counts["suspects"]) < 0.75 * np.mean(counts["even"])


def test_a_field_is_that_of_kriging_with_an_unknown_mean() -> None:
    """Members of two clusters that were not measured have their neighbours' gaps; the doubt stays with the far one."""
    x = np.array([0.0, 0.01, 1.0, 1.01, 30.0])
    d = np.abs(x[:, None] - x[None])
    found = suspects([0.10, np.nan, 0.20, np.nan, np.nan], [1e-6, np.nan, 1e-6, np.nan, np.nan], d)
    assert found.mean[1] == pytest.approx(0.10, abs=0.02)
    assert found.mean[3] == pytest.approx(0.20, abs=0.02)
    assert found.sd[4] > 2 * max(found.sd[1], found.sd[3])
    assert found.chance.sum() == pytest.approx(1.0)
    assert int(np.argmax(found.value(np.full(5, 1e-6)))) == 4


def test_the_worst_gap_of_equal_configurations_is_free_of_the_winners_curse() -> None:
    """64 configurations with the same gap: the largest noisy mean is far above it, the worst gap's estimate is not."""
    errors, naive = [], []
    for seed in range(6):
        random = np.random.default_rng(seed)
        x = random.standard_normal((64, 2))
        d = np.sqrt(((x[:, None] - x[None]) ** 2).sum(2))
        gap = 0.1 + NOISE * random.standard_normal(64)
        naive.append(gap.max() - 0.1)
        errors.append((suspects(gap, np.full(64, NOISE**2), d, seed=seed).worst.estimate or 0.0) - 0.1)
    assert np.mean(errors) < 0.6 * np.mean(naive)


def test_the_first_runs_are_spread_and_one_measured_configuration_tells_nothing() -> None:
    x = np.array([0.0, 0.1, 0.2, 5.0, 10.0, 10.1])
    d, nothing = np.abs(x[:, None] - x[None]), np.full(6, np.nan)
    first = next_suspects(nothing, nothing, d, np.ones(6), np.ones(6), 3)
    assert {int(x[i] // 4) for i in first} == {0, 1, 2}
    with pytest.raises(BadData, match="2 are needed"):
        suspects([0.1, *nothing[1:]], nothing, d)


TOML = """
name = "family"
source = "digits"
methods = ["random"]
per_class = [2, 5, 10]
configurations = [CONFIGURATIONS]
sets = 2
seeds = 2
reference_seeds = 2
target_gap = 0.2
"""
WIDTHS = (8, 9, 24, 25, 64, 65)


def text(widths: tuple[int, ...]) -> str:
    return TOML.replace("CONFIGURATIONS", ", ".join(f'"mlp(width={w})/adamw/cosine(steps=5)"' for w in widths))


def planted(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """Errors of a law whose constant grows with the width of the network."""
    held = cell.payload
    width = int(held["configuration"].split("width=")[1].split(",")[0].split(")")[0])
    rows = []
    for seed in held["seeds"]:
        noise = 0.005 * np.random.default_rng(derive(0, cell.id, seed)).standard_normal()
        law = 0.0 if cell.kind == "reference" else (0.4 + width / 100) * (10 * held["per_class"]) ** -0.5
        rows.append({"seed": seed, "error": float(0.1 + law + noise), "cost_seconds": 0.0})
    return {"rows": rows} | ({"k": 10 * held["per_class"]} if cell.kind == "evaluate" else {})


def test_the_command_proposes_what_was_not_measured_where_the_worst_may_be(tmp_path: Path, limbeck: Command) -> None:
    """Half of the family was run; the widest networks, not run yet, are the first suspects."""
    execute = {"reference": planted, "evaluate": planted, "distill": distilled}
    run_study(StudyFolder.open(Study.read(text(WIDTHS[:3])), tmp_path / "runs"), "serial", execute=execute)
    folder = StudyFolder.open(Study.read(text(WIDTHS)), tmp_path / "runs", extend=True)
    x = np.log(np.array(WIDTHS, float))
    campaign = FamilyCampaign(folder, np.abs(x[:, None] - x[None]))
    (known,) = campaign.family()
    assert (known["measured"], known["of"]) == (3, 6)
    proposals = campaign.propose(3)
    assert proposals[0].kind == "new configuration"
    assert any("width=6" in one.configuration for one in proposals)
    folder.add(addition for one in proposals for addition in one.additions)
    said = limbeck("plan", folder.path, "--family", "--next", "3")
    assert said.code == 0
    assert "may be the worst" in said.out
    answer = limbeck("plan", folder.path, "--family", "--next", "3", "--json").json
    assert len(answer["next"]) == 3
    assert answer["family"][0]["worst"]["low"] < answer["family"][0]["worst"]["high"]
    assert "--family" in limbeck.refused("plan", folder.path, "--distance", "spec")
    assert len(table(folder)) == 3 * (3 * 2 * 2 + 2)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell costs a second, however busy the machine is: what is chosen for its time is then chosen again."""
    monkeypatch.setattr("limbeck.proposals.seconds_left", lambda spent, left: float(len(left)))


EXECUTE = {"reference": planted, "evaluate": planted, "distill": distilled}
MANY = tuple(range(4, 84, 4))


def log_distances(widths: tuple[int, ...]) -> Any:
    x = np.log(np.array(widths, float))
    return np.abs(x[:, None] - x[None])


@pytest.mark.usefixtures("counted")
def test_one_step_runs_what_finds_the_worst_and_leaves_the_rest_of_the_grid_alone(tmp_path: Path) -> None:
    """20 configurations, none run: it opens with four at every size, and ends knowing the widest network's gap."""
    folder = StudyFolder.open(Study.read(text(MANY)), tmp_path / "runs")
    standing = partial(FamilyCampaign, folder, log_distances(MANY), 0.13)
    watched: list[int] = []

    @contextmanager
    def watch(cells: Sequence[Cell]) -> Iterator[None]:
        watched.append(len(cells))
        yield

    asked: dict[str, Any] = {"width": 0.05, "budget_seconds": 60.0, "runner": "serial", "execute": EXECUTE}
    ended = pursue(folder, **asked, standing=standing, watched=watch)
    assert (ended.why, watched[0]) == ("width", 0)
    assert ended.width <= 0.05
    (known,) = standing().family()
    assert known["measured"] < len(MANY) / 2
    assert known["k"] == 50  # the average gap is .116 there, of the next smaller size .183
    true = 0.1 + (0.4 + 80 / 100) * 50**-0.5 - 0.1
    assert known["worst"]["low"] <= true <= known["worst"]["high"]
    grid = {cell.id for cell in Study.read(text(MANY)).cells(folder.facts)}
    assert watched[-1] < len(grid) / 3
    assert pursue(folder, **asked, standing=standing).runs == 0
    run_study(folder, "serial", execute=EXECUTE)  # the whole of it, later, finds that part done
    assert len(folder.finished()) == len(grid | {cell.id for cell in folder.cells()})


@pytest.mark.usefixtures("counted")
def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Stopped with runs proposed but not made: they are made first, and count."""
    folder = StudyFolder.open(Study.read(text(MANY)), tmp_path / "runs")
    standing = partial(FamilyCampaign, folder, log_distances(MANY))
    asked = {addition for one in standing().propose(4) for addition in one.additions}
    folder.add(asked)
    rounds: list[int] = []
    ended = pursue(
        folder, width=0.05, budget_seconds=60.0, runner="serial", execute=EXECUTE, standing=standing,
        on_round=lambda campaign, _: rounds.append(campaign.family()[0]["measured"]),
    )  # fmt: skip
    assert rounds[0] == 4
    assert ended.why == "width"
    assert asked < set(folder.additions())
    assert {cell.id for cell in standing().cells()} == folder.finished()


@pytest.mark.usefixtures("counted")
def test_noise_is_met_where_it_is_and_what_is_known_well_enough_ends_the_search(tmp_path: Path) -> None:
    """A goal that no run reaches: seeds and references of the suspects are repeated to their limit, and no further."""

    def noisy(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
        held = planted(folder, cell)
        for row in held["rows"]:
            row["error"] += (0.02 if cell.kind == "reference" else 0.001) * (
                derive(1, cell.id, row["seed"]) / 2**62 - 1
            )
        return held

    widths = (8, 64)
    folder = StudyFolder.open(Study.read(text(widths)), tmp_path / "runs")
    execute = {**EXECUTE, "reference": noisy, "evaluate": noisy}
    kinds: Counter[str] = Counter()
    ended = pursue(
        folder, width=1e-6, budget_seconds=60, runner="serial", execute=execute, batch=8,
        standing=partial(FamilyCampaign, folder, log_distances(widths)),
        on_round=lambda campaign, proposals: kinds.update(one.kind for one in proposals),
    )  # fmt: skip
    assert ended.why == "nothing left that fits the budget"
    assert kinds["new configuration"] == 2
    assert kinds["new reference"] >= 10
    assert max(row["seed"] for row in table(folder)) < MOST_RUNS


@pytest.mark.usefixtures("counted")
def test_the_command_runs_the_search(tmp_path: Path, limbeck: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.study.work.EXECUTE", EXECUTE)
    (tmp_path / "family.toml").write_text(text(MANY))
    words = ("study", "run", "family.toml", "--runner", "serial", "--until", "worst gap width < 0.06")
    said = limbeck(*words)
    assert said.code == 0, said.err
    assert "one of the first, far from the others" in said.out
    assert "Ended by width after" in said.out
    assert "random at k = 20" in said.out
    told = limbeck(*words, "--json").json
    assert (told["runs"], told["why"]) == (0, "width")
    assert told["family"][0]["measured"] < len(MANY)
    assert limbeck("study", "status", "family.toml", "--json").json["complete"] is False
    assert "--until" in limbeck.refused("study", "run", "family.toml", "--distance", "spec")
    assert "worst gap width" in limbeck.refused("study", "run", "family.toml", "--until", "worst < 1")
