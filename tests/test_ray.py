"""A Ray cluster gives the serial runner's table, also where nodes share no disk and one is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faked import DIVERGING, DYING, DYING_ONCE, QUICK, REFUSED
from limbeck.errors import BadSetting, StoreFailure
from limbeck.runners import run_study
from limbeck.runners.ray import _on_node, _versions
from limbeck.study import Cell, Study, StudyFolder, outcome, table, verify

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'limbeck[ray]'")

TEXT = """
name = "small"
methods = ["random", "k-means"]
per_class = [1, 2]
configurations = ["mlp/sgd/cosine(steps=5)"]
sets = 2
seeds = 2
reference_seeds = 1
"""


@contextmanager
def elsewhere() -> Iterator[None]:
    """Processes to be started find the work of these tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]))
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One node, for every test of this file that needs no more."""
    with elsewhere():
        ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


def opened(place: Path, text: str = TEXT) -> StudyFolder:
    return StudyFolder.open(Study.read(text), place)


def results(folder: StudyFolder) -> list[dict[str, Any]]:
    """All that cells came to, without what was measured of the run."""
    return [outcome(folder.record(cell.id)) for cell in folder.cells()]


def test_the_table_is_that_of_the_serial_runner(cluster: Any, tmp_path: Path) -> None:
    serial, remote = opened(tmp_path / "serial"), opened(tmp_path / "ray")
    run_study(serial, "serial", execute=QUICK)
    told: list[str] = []
    state = run_study(remote, "ray(cores=0.5)", execute=QUICK, on_done=lambda cell, _: told.append(cell.id))
    assert state.complete
    assert sorted(told) == sorted(cell.id for cell in remote.cells())
    assert results(remote) == results(serial)
    drop = ("cost_seconds",)
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in table(each)] for each in (serial, remote)]
    assert rows[0] == rows[1]
    assert verify(remote.path) == []


def test_failures_are_results_and_block_what_needs_them(cluster: Any, tmp_path: Path) -> None:
    folder = opened(tmp_path)
    state = run_study(folder, "ray", execute=DIVERGING)
    assert state.counts["distill"].failed == 4
    assert state.counts["evaluate"].blocked == 4
    assert "finite range" in state.failures[0]["reason"]
    assert run_study(folder, "ray", retry=True, execute=QUICK).counts["evaluate"].done == 8


@pytest.mark.slow
def test_a_cell_that_kills_its_worker_is_run_again_and_then_fails(cluster: Any, tmp_path: Path) -> None:
    once = opened(tmp_path / "once")
    assert run_study(once, "ray", execute=marking(DYING_ONCE, tmp_path)).counts["distill"].done == 8
    always = opened(tmp_path / "always")
    state = run_study(always, "ray(retries=1)", execute=DYING)
    assert state.counts["distill"].failed == 4
    assert state.counts["evaluate"].done == 4
    assert "lost 2 times" in state.failures[0]["reason"]


def test_checkpoints_in_the_scratch_folder_outlive_a_lost_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a node does with a cell, in processes of which the first two are killed in mid-work."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # killed ones leave their folders

    def distill(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
        folder.work(cell.id).mkdir(parents=True, exist_ok=True)
        before = len(list(folder.work(cell.id).iterdir()))
        (folder.work(cell.id) / f"checkpoint{before}").touch()
        if before < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return QUICK["distill"](folder, cell) | {"found": before}

    scratch, folder = tmp_path / "scratch", opened(tmp_path)
    cell = next(cell for cell in folder.cells() if cell.kind == "distill")
    given = (cell.json(), _versions(), (folder.path / "study.json").read_bytes(), {"distill": distill}, str(scratch))
    for lost in range(2):
        if not (child := os.fork()):
            _on_node(*given)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert len(list((scratch / cell.id).iterdir())) == lost + 1
    record = _on_node(*given).unpack(folder)
    assert record["found"] == 2
    assert verify(folder.path) == []
    assert list(scratch.iterdir()) == []


def marking(execute: Any, place: Path) -> Any:
    """Work that remembers in one place, where a node's own folder is gone with the attempt."""
    work = execute["distill"]

    def distill(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
        work(StudyFolder(place), cell)
        made: dict[str, Any] = QUICK["distill"](folder, cell)
        return made

    return {**execute, "distill": distill}


def test_a_refusing_disk_stops_the_study_in_words(cluster: Any, tmp_path: Path) -> None:
    folder = opened(tmp_path)
    with pytest.raises(StoreFailure, match="no space left"):
        run_study(folder, "ray", execute=REFUSED)
    assert folder.failed() == set()


def test_a_request_that_no_node_can_meet_is_refused(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"no node of the Ray cluster has .*64 CPU"):
        run_study(opened(tmp_path), "ray(cores=64)", execute=QUICK)
    with pytest.raises(BadSetting, match="GPU"):
        run_study(opened(tmp_path), "ray(gpus=0.5)", execute=QUICK)


REAL = """
name = "real"
methods = ["k-means", "dm(steps=4)", "mtt(steps=2, experts=2, expert_epochs=4, max_start=1, synthetic_steps=2)"]
per_class = [1, 2]
configurations = ["convnet(width=8, depth=1)/sgd/cosine(steps=10)", "mlp/adamw/cosine(steps=10)"]
sets = 2
seeds = 2
reference_seeds = 1

[distill]
candidates = 2
"""

DRIVER = """
import sys
from pathlib import Path
from faked import ASLEEP
from limbeck.runners import run_study
from limbeck.runners.ray import _on_node, _versions
from test_ray import opened
if __name__ == "__main__":
    run_study(opened(Path(sys.argv[1])), "ray", execute=ASLEEP)
"""


@pytest.mark.slow
def test_a_node_is_killed_in_mid_run_and_the_table_is_the_serial_one(tmp_path: Path) -> None:
    """Two nodes, real trainings with experts and checkpoints; the node that works beside the driver's is killed."""
    from ray.cluster_utils import Cluster

    ray.shutdown()
    serial, remote = opened(tmp_path / "serial", REAL), opened(tmp_path / "ray", REAL)
    run_study(serial, "serial")
    with elsewhere():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        doomed = nodes.add_node(num_cpus=1)
        try:
            ray.init(address=nodes.address, logging_level="ERROR", log_to_driver=False)
            done: list[str] = []

            def kill_after_three(cell: Cell, record: dict[str, Any]) -> None:
                done.append(cell.id)
                if len(done) == 3:
                    nodes.remove_node(doomed, allow_graceful=False)

            state = run_study(remote, "ray", on_done=kill_after_three)
        finally:
            ray.shutdown()
            nodes.shutdown()
    assert len(done) > 20
    assert state.complete
    assert not state.failures
    assert results(remote) == results(serial)
    assert verify(remote.path) == []


@pytest.mark.slow
def test_ctrl_c_ends_the_cluster_and_leaves_what_is_finished(tmp_path: Path) -> None:
    with elsewhere():
        call = [sys.executable, "-c", DRIVER, str(tmp_path)]
        driver = subprocess.Popen(call, stderr=subprocess.PIPE)
        folder = StudyFolder(tmp_path / "small")
        wait_until(lambda: (folder.path / "study.json").exists() and len(folder.finished()) >= 1)
        time.sleep(3)  # a sleeping distillation is out by now; if not, the test proves less, but does not fail
        driver.send_signal(signal.SIGINT)
        _, said = driver.communicate(timeout=60)
    assert b"finished cells are kept" in said
    assert driver.returncode != 0
    assert folder.failed() == set()
    assert verify(folder.path) == []
    assert run_study(folder, "serial", execute=QUICK).complete


def wait_until(true: Any) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until, "waited two minutes in vain"
        time.sleep(0.1)
