"""The next runs: what is chosen narrows what is asked, an even share is kept, and a study runs itself to its answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Command
from faked import distilled
from limbeck.campaign import Campaign, Law
from limbeck.errors import BadSetting
from limbeck.laws import Estimate, ScalingFit, fit_scaling
from limbeck.laws.outlook import Outlook, Reading, outlook
from limbeck.laws.planning import Candidate, choose, new_reference, new_seed, new_set
from limbeck.laws.projection import quadratic
from limbeck.pursuit import Goal, pursue, read_budget, read_until
from limbeck.runners import OnDone, run_study
from limbeck.streams import derive, numpy_stream
from limbeck.study import Addition, Cell, Study, StudyFolder, about, merge, shard, table, verify
from worlds import World


def fit(world: World, drawn: int) -> ScalingFit:
    k, gap, sets, references = world.draw(drawn)
    return fit_scaling(k, gap, sets, reference_errors=references)


# The choice --------------------------------------------------------------------------------------------------------


def nearly_linear(sets: int = 50) -> tuple[ScalingFit, Outlook]:
    """One free parameter beside the floor and little noise: a law whose log required k is a normal variable."""
    k, gap, ids, _ = World(floor=0.05, sets=sets, seeds=1, set_sd=0.002, seed_sd=0.0).draw(2)
    found = fit_scaling(k, gap, ids, exponent=0.5, heteroscedastic=False)
    return found, outlook(found, 0.1)


def log_k_variance(found: ScalingFit, extra: tuple[float, float] | None = None) -> float:
    """The delta method: gradient of log10 K in (f, a) through the inverse of the information of least squares."""
    levels, best = found.levels, found.best
    ks, variances = list(levels.k), list(levels.variance)
    if extra:
        ks, variances = [*ks, extra[0]], [*variances, extra[1]]
    basis = (np.array(ks) / found.smallest_k) ** -0.5
    design = np.stack([np.ones(len(ks)), basis], 1)
    information = (design / np.array(variances)[:, None]).T @ design
    need = found.required_k(0.1).estimate
    assert need is not None
    fall = (need / found.smallest_k) ** -0.5
    gradient = np.array([1.0, fall]) / (0.5 * best.amplitude * fall * math.log(10))
    return float(gradient @ np.linalg.inv(information) @ gradient)


def test_width_and_gain_are_those_of_the_delta_method_where_the_law_is_nearly_linear() -> None:
    """W is sqrt(2 pi) standard errors, and a run lowers its log by half the log of the ratio of variances."""
    found, about = nearly_linear()
    before = log_k_variance(found)
    width = math.sqrt(2 * math.pi * before) + 0.02  # the resolution
    assert about.log_width == pytest.approx(math.log(width), abs=0.02)
    for k, variance in ((10.0, 1e-6), (200.0, 1e-7), (1000.0, 1e-6)):
        left = math.sqrt(2 * math.pi * log_k_variance(found, (k, variance))) + 0.02
        assert about.gain(Reading(0, k, variance)) == pytest.approx(math.log(width / left), rel=0.1, abs=2e-4)


def test_the_profile_through_a_required_k_is_the_least_misfit_of_all_such_laws() -> None:
    """Against brute force over floor, amplitude and the nodes of the exponent."""
    found = fit(World(), 8)
    about = outlook(found, 0.12, draws=2)
    q = quadratic(found.levels, about.exponents, shift_variance=found.profile.shift_variance, mean=about.means)
    profiled = q.through((about.ks / found.smallest_k)[:, None] ** -about.exponents, 0.12).min(-1)
    floors = np.linspace(0, 0.12, 20001)[:, None]
    for place in (3, 20, 36):
        fall = (about.ks[place] / found.smallest_k) ** -about.exponents
        brute = found.profile.quadratic(about.exponents).at(floors, (0.12 - floors) / fall).min()
        assert profiled[0, place] == pytest.approx(brute, rel=2e-3)


def test_repeats_add_up_and_the_reference_counts() -> None:
    found, about = nearly_linear()
    reading = Reading(0, 200.0, 1e-5)
    twice = about.after(reading).after(reading)
    assert about.after(reading, 2.0).log_width == pytest.approx(twice.log_width, abs=1e-9)
    noisy = fit(World(reference_sd=0.02, sets=20), 3)
    doubt = outlook(noisy, 0.14)
    told = new_reference(0, noisy)
    assert told is not None
    assert doubt.gain(told, 5) > doubt.gain(told) > 0
    assert doubt.gain(told, 20) > doubt.gain(new_set(0, noisy, 200, 3), 20)
    assert new_reference(0, found) is None


def test_the_best_by_cost_comes_first_and_each_is_chosen_as_often_as_it_may() -> None:
    _, about = nearly_linear()
    silent = Candidate(1.0, (Reading(0, 200.0, 1.0),), 5)
    dear = Candidate(8.0, (Reading(0, 200.0, 1e-6),), 5)
    cheap = Candidate(1.0, (Reading(0, 200.0, 1.5e-6),), 2)
    picks = choose([about], [silent, dear, cheap], 4, uniform_share=0)
    assert [pick.candidate for pick in picks] == [2, 2, 1, 1]
    assert picks[2].gain > picks[3].gain > 0
    assert len(choose([about], [cheap], 10)) == 2


def test_a_tenth_is_drawn_evenly_and_the_choice_is_repeatable() -> None:
    _, about = nearly_linear()
    silent = [Candidate(1.0, (), 1000) for _ in range(4)]  # told of nothing: the draw alone
    picks = choose([about], silent, 500, seed=3)
    assert abs(sum(pick.even for pick in picks) - 50) <= 3 * math.sqrt(500 * 0.09)
    assert choose([about], silent, 20, seed=3) == picks[:20]


def test_noise_of_sets_and_seeds_follows_from_the_components() -> None:
    found = fit(World(sets=6, seeds=4), 5)
    own = found.levels.components
    assert own.set_sd is not None
    assert own.seed_sd is not None
    one = own.set_sd**2 + own.seed_sd**2
    relative = float(found.levels.relative_noise(50))
    assert new_set(0, found, 50, 1).own == pytest.approx(one * relative)
    more = new_seed(0, found, 50, 1)
    assert more is not None
    for n in (1, 3, 10**9):  # with infinitely many seeds a set's variance is that of the set alone
        left = own.set_sd**2 + own.seed_sd**2 / (1 + n)
        assert 1 / one + relative / more.variance(n) == pytest.approx(1 / left)
    assert new_seed(0, fit(World(seeds=1), 5), 50, 1) is None


def test_chosen_runs_end_nearer_than_the_cheapest() -> None:
    """The reduced form of `benchmarks/planning.py`: 12 campaigns of 12 sets each."""
    world, errors = World(sets=2, seeds=1, ks=(10, 50, 200)), {"chosen": [], "cheapest": []}  # type: ignore[var-annotated]
    levels = [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
    for rule, held in errors.items():
        for campaign in range(12):
            random = numpy_stream(campaign, rule)
            k, gap, _, references = world.draw(campaign)
            ks, gaps = list(k), list(gap)
            for step in range(12):
                found = fit_scaling(ks, gaps, range(len(ks)), reference_errors=references)
                place = 0
                if rule == "chosen":
                    sets = [Candidate(1 + one / 100, (new_set(0, found, one, 1),), 12) for one in levels]
                    place = choose([outlook(found, 0.12, seed=step)], sets, 1, seed=step)[0].candidate
                ks.append(levels[place])
                gaps.append(float(world.gap(levels[place])) + 0.0148 * random.standard_normal() - references.mean())
            need = fit_scaling(ks, gaps, range(len(ks)), reference_errors=references).required_k(0.12).estimate
            held.append(2.0 if need is None else min(abs(math.log10(need / 225)), 2.0))
    assert np.mean(errors["chosen"]) < 0.6 * np.mean(errors["cheapest"])


# The study ---------------------------------------------------------------------------------------------------------

TOML = """
name = "campaign"
source = "digits"
methods = ["random", "k-means"]
per_class = [1, 2, 5, 10, 20]
configurations = ["mlp/adamw/cosine(steps=5)"]
sets = 2
seeds = 1
reference_seeds = 3
target_gap = 0.12
"""


def planted(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """Errors of a planted law: .1 + .08 + .6 k^-1/2 for random, of half the constant for k-means; reference .1."""
    held = cell.payload
    rows = []
    for seed in held["seeds"]:
        noise = 0.01 * np.random.default_rng(derive(0, cell.id, seed)).standard_normal()
        if cell.kind == "reference":
            error = 0.1 + 0.2 * noise
        else:
            constant = 0.6 if held["method"].startswith("random") else 0.3
            error = 0.18 + constant * (10 * held["per_class"]) ** -0.5 + noise
        rows.append({"seed": seed, "error": float(error), "cost_seconds": 0.0})
    return {"rows": rows} | ({"k": 10 * held["per_class"]} if cell.kind == "evaluate" else {})


EXECUTE = {"reference": planted, "evaluate": planted, "distill": distilled}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    opened = StudyFolder.open(Study.read(TOML), tmp_path / "runs")
    run_study(opened, "serial", execute=EXECUTE)
    return opened


def test_additions_are_the_cells_of_a_larger_study(folder: StudyFolder, tmp_path: Path) -> None:
    """Sets 2 of both methods at size 5, and size 4: exactly what a larger study file would run, with equal ids."""
    text = folder.study.evaluated[0].full_spec
    first, second = (one.full_spec for one in folder.study.made)
    before = {cell.id for cell in folder.cells()}
    folder.add([Addition(text, (0,), first, 5, 2), Addition(text, (0,), second, 5, 2), Addition(text, (3,))])
    added = {cell.id for cell in folder.cells()} - before
    larger = Study.read(TOML.replace("sets = 2", "sets = 3").replace("reference_seeds = 3", "reference_seeds = 4"))
    assert added <= {cell.id for cell in larger.cells(folder.facts)}
    assert len(added) == 5
    run_study(folder, "serial", execute=EXECUTE)
    rows = table(folder)
    assert {row["set"] for row in rows if row["k"] == 50} == {0, 1, 2}
    assert sum(row["method"] == "reference" for row in rows) == 4
    assert verify(folder.path) == []


def test_additions_are_split_and_merged_as_all_cells_are(folder: StudyFolder, tmp_path: Path) -> None:
    text = folder.study.evaluated[0].full_spec
    other = StudyFolder.open(Study.read(TOML), tmp_path / "elsewhere")
    other.add([Addition(text, (0,), folder.study.made[0].full_spec, 5, 7)])
    run_study(other, "serial", execute=EXECUTE)
    merge(folder, [other])
    assert [one.set for one in folder.additions()] == [7]
    assert {row["set"] for row in table(folder) if row["k"] == 50} == {0, 1, 7}
    cells = {cell.id for cell in folder.cells()}
    assert cells == {cell.id for i in (1, 2, 3) for cell in shard(folder.cells(), f"{i}/3")}


def test_an_addition_of_what_the_study_no_longer_has_is_left_alone(folder: StudyFolder) -> None:
    before = len(folder.cells())
    folder.add([Addition("another/configuration", (0,), folder.study.made[0].full_spec, 5, 2)])
    assert len(folder.cells()) == before


def test_a_new_seed_is_a_cell_of_its_own_beside_the_old_ones(folder: StudyFolder) -> None:
    text = folder.study.evaluated[0].full_spec
    folder.add([Addition(text, (1,), folder.study.made[0].full_spec, 5, 0)])
    run_study(folder, "serial", execute=EXECUTE)
    held = [row for row in table(folder) if (row["method"], row["k"], row["set"]) == ("random", 50, 0)]
    assert [row["seed"] for row in held] == [0, 1]
    assert len({row["training_seed"] for row in held}) == 2


def test_proposals_have_reasons_and_repeat_until_they_are_run(folder: StudyFolder) -> None:
    proposals = Campaign(folder).propose(5)
    assert len(proposals) == 5
    assert [one.to_dict() for one in Campaign(folder).propose(5)] == [one.to_dict() for one in proposals]
    assert all(one.reason and one.additions for one in proposals)
    assert len({addition for one in proposals for addition in one.additions}) == 5
    folder.add(addition for one in proposals for addition in one.additions)
    again = Campaign(folder).propose(5)
    assert not {addition for one in again for addition in one.additions} & set(folder.additions())


def test_a_study_with_too_few_sizes_for_a_law_is_given_them(tmp_path: Path) -> None:
    small = StudyFolder.open(Study.read(TOML.replace("[1, 2, 5, 10, 20]", "[2, 5]")), tmp_path / "runs")
    run_study(small, "serial", execute=EXECUTE)
    proposals = Campaign(small).propose(4)
    assert {one.per_class for one in proposals} == {10, 20}
    assert all("no law yet" in one.reason for one in proposals)


def test_a_study_runs_itself_until_its_answer_is_precise(folder: StudyFolder) -> None:
    widths: list[float] = []
    ended = pursue(
        folder,
        width=0.3,
        budget_seconds=60,
        runner="serial",
        batch=6,
        execute=EXECUTE,
        on_round=lambda campaign, _: widths.append(campaign.width),
    )
    assert ended.why == "width"
    assert ended.width <= 0.3 < widths[0]
    assert ended.runs == 6 * ended.rounds
    needs = {law.name.split()[0]: law.need for law in Campaign(folder).laws}
    assert needs["random"].covers(225)
    assert needs["k-means"].covers(225 / 4)
    assert pursue(folder, width=0.3, budget_seconds=60, runner="serial", execute=EXECUTE).runs == 0


def test_each_batch_is_watched_and_failed_cells_are_run_again_on_demand(folder: StudyFolder) -> None:
    lost = folder.cells()[0]
    folder.record_path(lost.id).unlink()
    folder.write(lost.id, about(lost) | {"failed": "lost", "error": "WorkerDied", "seconds": 0.0})
    batches: list[list[str]] = []

    @contextmanager
    def watched(cells: Sequence[Cell]) -> Iterator[OnDone]:
        assert {cell.id for cell in cells} == {cell.id for cell in folder.cells()}
        batches.append([])
        yield lambda cell, record: batches[-1].append(cell.id)

    asked = {"width": 0.3, "budget_seconds": 60.0, "runner": "serial", "execute": EXECUTE, "watched": watched}
    ended = pursue(folder, **asked, retry=True)
    assert batches[0] == [lost.id]
    assert folder.failed() == set()
    assert len(batches) == 1 + ended.rounds
    assert all(batches)
    assert sum(map(len, batches[1:])) == len(set().union(*batches[1:]))
    assert pursue(folder, **asked).runs == 0
    assert batches[-1] == []


def test_a_budget_that_is_spent_ends_it(folder: StudyFolder) -> None:
    ended = pursue(folder, width=0.01, budget_seconds=0.0, runner="serial", execute=EXECUTE)
    assert (ended.why, ended.runs) == ("budget", 0)


def test_an_answer_that_is_a_refusal_is_precise() -> None:
    """No k reaches a gap far below the floor: nothing is left to find out, but a doubtful refusal is open."""
    found, nothing = fit(World(), 6), Estimate.of(None)
    assert Law("dm", "mlp", "dm under mlp", found, nothing, 0.99).width == 0
    assert Law("dm", "mlp", "dm under mlp", found, nothing, 0.6).width == math.inf
    assert Law("dm", "mlp", "dm under mlp", found, Estimate(100, 50, 200), 0.01).width == pytest.approx(math.log10(4))


def test_the_command_proposes_and_refuses_what_it_can_not_read(folder: StudyFolder, limbeck: Command) -> None:
    said = limbeck("plan", folder.path, "--next", "3")
    assert said.code == 0
    assert "Next runs, best first:" in said.out
    assert len(limbeck("plan", folder.path, "--next", "3", "--json").json["next"]) == 3
    assert "width < 0.2 dex" in limbeck.refused("study", "run", folder.path, "--until", "soon")
    assert "no goal" in limbeck.refused("study", "run", folder.path, "--budget", "2h")
    shard = ("--shard", "1/2", "--until", "width < 0.2 dex")
    assert "Leave --shard out" in limbeck.refused("study", "run", folder.path, *shard)


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("30min", 1800), ("90s", 90), ("1h 30min", 5400)])
def test_budgets_are_read(text: str, seconds: float) -> None:
    assert read_budget(text) == seconds


def test_goals_are_read_or_refused() -> None:
    assert read_until("width < 0.2 dex") == Goal(0.2)
    assert read_until("worst gap width < 0.04") == Goal(0.04, of_family=True)
    assert read_budget("") == math.inf
    for wrong in ("0.2", "width < -1", "width < 0 dex", "height < 2"):
        with pytest.raises(BadSetting):
            read_until(wrong)
    with pytest.raises(BadSetting):
        read_budget("two hours")


def test_a_target_changes_what_is_worth_running() -> None:
    """Of a gap that small sets reach, large sets tell nothing that is asked."""
    found = fit(replace(World(), sets=4), 6)
    sets = [Candidate(1.0, (new_set(0, found, k, 3),), 1) for k in (20, 500)]
    near, far = (choose([outlook(found, target)], sets, 1, uniform_share=0)[0].candidate for target in (0.22, 0.1))
    assert (near, far) == (0, 1)


def test_the_next_seed_goes_to_the_set_that_has_the_fewest(folder: StudyFolder) -> None:
    campaign = Campaign(folder)
    law = campaign.laws[0]
    assert (5, 0, 1) in campaign._thinnest(law)
    folder.add(
        [Addition(law.configuration, (1,), law.method, 5, 0), Addition(law.configuration, (0,), law.method, 4, 0)]
    )
    later = Campaign(folder)
    assert (5, 1, 1) in later._thinnest(law)
    assert (4, 0, 1) in later._thinnest(law)
    proposal = later.proposals.new_seed(law.method, law.configuration, 4, 0)
    assert proposal is not None
    assert proposal.additions == (Addition(law.configuration, (1,), law.method, 4, 0),)
