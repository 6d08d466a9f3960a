"""The same cells give the same table, whoever runs them, in whatever order, and whatever dies on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import faked
from limbeck.errors import Interrupted, StoreFailure, UnknownName
from limbeck.runners import run_study
from limbeck.study import Cell, outcome, run_cell, verify
from little import opened, results


def test_any_order_gives_the_same_table(tmp_path: Path) -> None:
    whole = opened(tmp_path)
    run_study(whole, "serial")
    turned = opened(tmp_path, "turned")
    cells, chance = turned.cells(), random.Random(5)
    while left := [cell for cell in cells if cell.id not in turned.finished()]:
        run_cell(turned, chance.choice([cell for cell in left if set(cell.needs) <= turned.finished()]))
    assert results(turned) == results(whole)


def test_processes_give_the_table_of_one_process_to_the_bit_and_run_nothing_twice(tmp_path: Path) -> None:
    serial, processes = opened(tmp_path), opened(tmp_path, "processes")
    told: list[Cell] = []
    run_study(serial, "serial")
    state = run_study(processes, "processes(workers=2)", on_done=lambda cell, record: told.append(cell))
    assert state.complete
    assert sorted(cell.id for cell in told) == sorted(cell.id for cell in processes.cells())
    assert results(processes) == results(serial)
    for cell in serial.cells():
        assert outcome(processes.record(cell.id)) == outcome(serial.record(cell.id))
    assert verify(processes.path) == []
    told.clear()
    run_study(processes, "processes(workers=2)", on_done=lambda cell, record: told.append(cell))
    assert told == []


def test_a_worker_that_dies_is_replaced_and_dying_twice_is_the_cells_failure(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["random", "k-means"], sets=1, per_class=[1])
    state = run_study(folder, "processes(workers=1)", execute=faked.DYING)
    assert vars(state.counts["distill"]) == {"done": 1, "failed": 1, "blocked": 0, "left": 0}
    assert vars(state.counts["evaluate"]) == {"done": 2, "failed": 0, "blocked": 2, "left": 0}
    assert "its worker died twice, by signal 9 (SIGKILL). If memory ran out, use fewer" in state.failures[0]["reason"]
    again = opened(tmp_path, "once", methods=["random"], sets=1, per_class=[1])
    assert run_study(again, "processes(workers=1)", execute=faked.DYING_ONCE).failures == ()
    assert len(list(again.path.glob("died-*"))) == 1


def test_a_disk_that_refuses_a_worker_ends_the_run(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    with pytest.raises(StoreFailure, match=r"no space left. Make room."):
        run_study(folder, "processes(workers=1)", execute=faked.REFUSED)
    assert folder.failed() == set()
    assert run_study(folder, "serial", execute=faked.QUICK).complete


def test_an_interrupt_lets_workers_checkpoint_and_leaves_none_behind(tmp_path: Path) -> None:
    folder = opened(tmp_path, sets=1, per_class=[1])

    def stop(cell: Cell, record: dict[str, Any]) -> None:
        while not (folder.path / "begun").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    others = children(os.getpid())  # of other tests in this process, such as a local cluster
    with pytest.raises(Interrupted, match="Run the same command to go on"):
        run_study(folder, "processes(workers=2)", on_done=stop, execute=faked.ASLEEP)
    assert (folder.path / "asked").exists()
    assert not set(children(os.getpid())) - set(others)


def test_a_mistake_in_the_runners_name_is_answered() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'serial'\?"):
        run_study(None, "seriall")  # type: ignore[arg-type]


@pytest.mark.slow
def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    opened(tmp_path, sets=1, per_class=[1])
    code = "import sys, faked\nfrom pathlib import Path\nfrom limbeck.runners import run_study\n"
    code += "from limbeck.study import StudyFolder\n"
    code += "if __name__ == '__main__':\n"
    code += "    run_study(StudyFolder(Path(sys.argv[1])), 'processes(workers=2)', execute=faked.ASLEEP)\n"
    (tmp_path / "parent.py").write_text(code)
    folder = tmp_path / "runs" / "little"
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", folder], env={**os.environ, "PYTHONPATH": paths})
    while not (folder / "begun").exists():
        time.sleep(0.05)
    workers = children(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert workers
    until = time.monotonic() + 30
    while any(alive(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)


def children(parent: int) -> list[int]:
    """Python processes that a process has begun and that still run (the tracker of shared resources is none)."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in listed if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def killed(place: Path, kills: int, seed: int, runner: str) -> dict[str, Any]:
    command = [sys.executable, Path(__file__).with_name("killed.py"), place, str(kills), str(seed), runner]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def test_a_study_that_is_killed_goes_on_to_the_same_table_bit_for_bit(tmp_path: Path) -> None:
    told = killed(tmp_path, 6, 1, "serial")
    assert told["kills"] == 6
    assert told["same"]
    assert told["unsound"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_random_kills_change_no_bit(tmp_path: Path, seed: int) -> None:
    told = killed(tmp_path, 20, seed, "serial")
    assert told["kills"] == 20
    assert told["same"]
    assert told["unsound"] == 0
    assert told["checkpoints"] > 0  # some kills fell into a distillation


@pytest.mark.slow
def test_twenty_random_kills_of_a_study_in_processes_change_no_bit(tmp_path: Path) -> None:
    told = killed(tmp_path, 20, 4, "processes(workers=2)")
    assert told["kills"] == 20
    assert told["same"]
    assert told["unsound"] == 0
