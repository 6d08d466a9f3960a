"""Shards cover a study, run side by side without collision, and merge to what one process would have made."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faked import QUICK
from limbeck.errors import BadSetting
from limbeck.runners import run_study
from limbeck.study import Cell, Study, StudyFolder, merge, outcome, shard, verify
from limbeck.study import table as rows_of

TEXT = """
name = "sharded"
methods = ["random", "k-means", "mtt(steps=2, experts=2, expert_epochs=4, max_start=1, synthetic_steps=2)"]
per_class = [1, 2]
configurations = ["mlp/sgd/cosine(steps=5)", "mlp/adamw/cosine(steps=5)"]
sets = 3
seeds = 2
reference_seeds = 2
"""


def opened(place: Path) -> StudyFolder:
    return StudyFolder.open(Study.read(TEXT), place)


def expert(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    """A trajectory of one number."""
    return QUICK["distill"](folder, replace(cell, payload={**cell.payload, "per_class": 0}))


WORK = {**QUICK, "expert": expert}


def results(folder: StudyFolder) -> dict[str, dict[str, Any]]:
    return {name: outcome(folder.record(name)) for name in folder.finished()}


def at_once(calls: list[tuple[StudyFolder, str]]) -> None:
    """Run shards in processes of their own, all at the same time."""
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(len(calls))

    def work(folder: StudyFolder, part: str) -> None:
        gate.wait()
        run_study(folder, "serial", part=part, execute=WORK)

    running = [context.Process(target=work, args=call) for call in calls]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * len(calls)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_shards_cover_the_study_and_share_nothing_but_experts(tmp_path: Path, count: int) -> None:
    cells = opened(tmp_path).cells()
    parts = [shard(cells, f"{index}/{count}") for index in range(1, count + 1)]
    times = Counter(cell.id for part in parts for cell in part)
    assert times.keys() == {cell.id for cell in cells}
    assert all(times[cell.id] == 1 for cell in cells if cell.kind != "expert")
    for part in parts:
        held = [cell.id for cell in part]
        for place, cell in enumerate(part):
            assert set(cell.needs) <= set(held[:place]), "a shard brings all that it needs, in order"


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_a_shard_that_can_not_be_is_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(BadSetting, match="Write i/n"):
        shard([], part)


def test_shards_at_once_on_one_folder_give_the_serial_results(tmp_path: Path) -> None:
    serial, shared = opened(tmp_path / "serial"), opened(tmp_path / "shared")
    run_study(serial, "serial", execute=WORK)
    at_once([(shared, "1/3"), (shared, "2/3"), (shared, "3/3"), (shared, "3/3")])  # one of them even twice
    assert results(shared) == results(serial)
    assert verify(shared.path) == []
    assert not list(shared.path.rglob(".*")), "no temporary file is left"


def test_shards_on_separate_folders_merge_to_the_serial_results(tmp_path: Path) -> None:
    serial, *parts = (opened(tmp_path / name) for name in ("serial", "a", "b", "c"))
    run_study(serial, "serial", execute=WORK)
    at_once([(folder, f"{index}/3") for index, folder in enumerate(parts, 1)])
    assert all(0 < len(part.finished()) < len(serial.finished()) for part in parts)
    done = merge(parts[0], parts[1:])
    assert (done.conflicts, done.unreadable) == ((), ())
    assert results(parts[0]) == results(serial)
    assert verify(parts[0].path) == []
    again = merge(parts[0], parts[1:])
    assert again.copied == 0


@pytest.mark.slow
def test_shards_of_the_command_line_merge_to_the_serial_table(tmp_path: Path) -> None:
    """Real trainings, experts among them, from three processes on three disks, as a job array would."""
    file = tmp_path / "study.toml"
    file.write_text(TEXT)

    def limbeck(*words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen([sys.executable, "-m", "limbeck", "study", *words], env=environment)

    runs = [tmp_path / name for name in ("serial", "a", "b", "c")]
    parts = ["1/1", "1/3", "2/3", "3/3"]
    running = [
        limbeck("run", str(file), "--runs", str(place), "--runner", "serial", "--shard", part)
        for place, part in zip(runs, parts, strict=True)
    ]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    serial, *folders = (place / "sharded" for place in runs)
    assert limbeck("merge", *map(str, folders)).wait() == 0
    rows = [[{**row, "cost_seconds": 0} for row in rows_of(StudyFolder(path))] for path in (serial, folders[0])]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2 * 2 + 3 * 2 * 3 * 2 * 2
