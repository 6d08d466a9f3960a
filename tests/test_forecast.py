"""A study's forecast covers what is left, adds up, keeps only itself, and is held against what happened."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faked import QUICK
from limbeck.cli import app
from limbeck.memory import peak_memory
from limbeck.runners import forecast_study, run_study
from limbeck.study import Cell, Order, Study, StudyFolder, StudyForecast, status
from limbeck.study.forecast import _elapsed, group_of
from limbeck.study.measuring import drawn_out

TEXT = """
name = "foretold"
methods = ["random", "mtt(steps=2, experts=2, expert_epochs=4, max_start=1, synthetic_steps=2)"]
per_class = [1, 2, 4]
configurations = ["mlp/sgd/cosine(steps=5)", "mlp/adamw/cosine(steps=3, batch=16)"]
sets = 2
seeds = 2
reference_seeds = 2

[distill]
candidates = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder.open(Study.read(TEXT), tmp_path)


def test_a_forecast_covers_what_is_left_and_keeps_nothing_but_itself(folder: StudyFolder) -> None:
    before = {path.name for path in folder.path.rglob("*") if path.is_file()}
    made = forecast_study(folder, "processes(workers=3)")
    cells = folder.cells()
    assert made.cells == len(cells)
    assert {piece.group: piece.cells for piece in made.pieces} == {
        group: sum(group_of(cell) == group for cell in cells) for group in map(group_of, cells)
    }
    assert all(piece.seconds > 0 and piece.memory_bytes > 1e7 and piece.disk_bytes >= 4096 for piece in made.pieces)
    assert made.workers == 3
    assert made.seconds / 3 <= made.elapsed_seconds <= 1.5 * made.seconds + 10
    assert {path.name for path in folder.path.rglob("*") if path.is_file()} - before == {"forecast.json"}
    assert StudyForecast.load(folder) == made
    assert json.loads(json.dumps(made.to_dict()))["cells"] == len(cells)


def test_a_run_says_how_far_off_the_forecast_was(folder: StudyFolder) -> None:
    assert status(folder).seconds_left is None
    made = forecast_study(folder, "serial")
    assert status(folder).seconds_left == pytest.approx(made.seconds)
    run_study(folder, "serial")
    held = StudyForecast.load(folder)
    assert held is not None
    assert held.outcome is not None
    records = [folder.record(name) for name in folder.finished()]
    work = held.outcome["work"]
    assert work["foretold"] == pytest.approx(made.seconds)
    assert work["measured"] == pytest.approx(sum(record["processor_seconds"] for record in records))
    assert work["ratio"] == pytest.approx(work["measured"] / work["foretold"])
    assert held.outcome["memory"]["measured"] == max(record["peak_memory_bytes"] for record in records)
    assert held.outcome["kinds"].keys() == {"reference", "expert", "distill", "evaluate"}
    assert held.outcome["elapsed"]["measured"] > 0


def test_what_is_finished_is_not_foretold_again(folder: StudyFolder) -> None:
    run_study(folder, "serial", part="1/2", execute={**QUICK, "expert": lambda folder, cell: {"object": None}})
    made = forecast_study(folder, "serial")
    assert made.cells == len(folder.cells()) - len(folder.finished())
    assert forecast_study(folder, "serial", part="1/2").cells == 0


def test_the_command_line_tells_the_forecast_and_afterwards_the_outcome(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "study.toml"
    file.write_text(TEXT.replace("[1, 2, 4]", "[1]"))
    words = ["study", "run", str(file), "--runs", str(tmp_path), "--runner", "serial"]
    from limbeck.cli import studying  # noqa: F401  (importing registers its verbs)

    app([*words, "--dry-run", "--json"], standalone_mode=False)
    made = json.loads(capsys.readouterr().out)
    assert made["cells"] == sum(piece["cells"] for piece in made["pieces"])
    app([*words, "--dry-run"], standalone_mode=False)
    assert f"{made['cells']} cells are left: about" in capsys.readouterr().out
    app(words, standalone_mode=False)
    assert "Foretold: work" in capsys.readouterr().out


def test_a_training_is_drawn_out_exactly_where_its_time_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def train(configuration: Any) -> None:
        clock[0] += 0.125 + 0.0625 * configuration.schedule.steps

    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    for steps in (1, 2, 1000):
        assert drawn_out(f"mlp/sgd/cosine(steps={steps})", train) == pytest.approx(0.125 + 0.0625 * steps)
    assert clock[0] < 20, "a thousand steps were not run"


@pytest.mark.parametrize(("workers", "elapsed"), [(1, 10.0), (2, 5.0), (3, 5.0), (9, 5.0)])
def test_the_time_that_passes_is_that_of_the_order_of_the_run(workers: int, elapsed: float) -> None:
    """A chain of 2 + 3 beside single cells of 1, 2 and 2; the longest chain is begun first."""
    payload = {"configuration": "mlp"}
    head = Cell("distill", {**payload, "number": 0}, cost=2.0)
    tail = Cell("evaluate", {**payload, "number": 1}, (head.id,), 3.0)
    rest = [Cell("expert", {**payload, "number": 2 + i}, cost=cost) for i, cost in enumerate((1.0, 2.0, 2.0))]
    assert _elapsed(Order([head, tail, *rest]), lambda cell: cell.cost, workers) == elapsed


def test_a_block_inside_another_takes_no_peak_from_it() -> None:
    size = 64 * 2**20
    with peak_memory() as outer:
        base = outer()
        with mmap.mmap(-1, size) as pages:  # not of a heap, which may have room from before
            pages.write(b"1" * size)
        with peak_memory() as inner:
            lower = inner()
        assert outer() - base > 0.9 * size
    assert lower <= outer()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads what Linux says of another process")
def test_memory_foretold_holds_the_reading_of_the_source(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4000, 2000))
    np.savez(tmp_path / "wide.npz", x_train=x, y_train=np.arange(4000) % 2)
    command = [sys.executable, "-m", "limbeck", "distill", f"npz(path={tmp_path}/wide.npz)", "random", "-c", "mlp"]
    cost = json.loads(subprocess.run([*command, "--dry-run", "--json"], check=True, capture_output=True).stdout)
    used = [0]
    with subprocess.Popen([*command, "--out", str(tmp_path / "set")], stdout=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:  # from outside: what is read inside may have been forgotten
            used += [int(line.split()[1]) * 1024 for line in _lines(status) if line.startswith("VmHWM:")]
            time.sleep(0.002)
    assert process.returncode == 0
    assert max(used) == pytest.approx(cost["peak_memory_bytes"], rel=0.1)
    assert max(used) > 2 * x.nbytes  # with the raw samples as they came; that was not counted


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # it has just ended
        return []


def test_peak_memory_forgets_earlier_peaks_and_sees_its_own() -> None:
    size = 64 * 2**20
    with peak_memory() as peak:
        large = np.ones(size // 8)
        held = peak()
        del large
        assert peak() > held - size / 64  # the system counts pages in lots
    with peak_memory() as peak:
        base = peak()
        if base >= held:
            pytest.skip("this system does not forget a peak")
        assert np.ones(size // 16).sum() == size // 16
        assert peak() - base > 0.9 * size / 2
