"""Where cells are run: which device a study is for, which GPU and core a worker gets, and how much memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import faked
from limbeck.errors import BadSetting, MissingData
from limbeck.runners import allowed_cores, run_study
from limbeck.study import StudyFolder, status
from little import little_study, opened


def places(folder: StudyFolder) -> list[str]:
    return sorted(path.read_text() for path in folder.path.glob("place-*"))


def test_workers_of_a_study_for_gpus_see_one_gpu_each_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    folder = opened(tmp_path, device="cuda", methods=["random", "k-means"], seeds=1)
    run_study(folder, "processes", execute=faked.PLACED)  # as many workers as GPUs
    assert [place.split()[0] for place in places(folder)] == ["4", "7"]


def test_pinned_workers_keep_to_a_core_of_their_own(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["random", "k-means"], seeds=1)
    run_study(folder, "processes(workers=2, pin=true)", execute=faked.PLACED)
    cores = allowed_cores()
    expected = {f"[{cores[number % len(cores)]}]" for number in range(2)}
    assert {place.split(maxsplit=1)[1] for place in places(folder)} == expected
    assert allowed_cores() == cores, "the caller itself is not pinned"


def test_a_cell_that_asks_for_more_memory_than_it_may_fails_with_that_reason(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["random", "k-means"], sets=1, seeds=1, per_class=[1])
    state = run_study(folder, "processes(workers=1, memory_gb=4)", execute=faked.GREEDY)
    (failure,) = state.failures
    assert "k-means" in failure["cell"]
    assert failure["reason"].startswith("out of memory")
    assert state.counts["distill"].done == 1


def test_cells_of_another_device_are_other_cells_and_those_of_the_processor_as_ever(tmp_path: Path) -> None:
    study = little_study(tmp_path)
    moved = study.on("cuda")
    own, other = ({cell.id for cell in one.cells()} for one in (study, moved))
    assert not own & other
    assert "device" not in study.settings()
    assert all("device" not in cell.payload for cell in study.cells())
    assert type(study).read(moved.toml()) == moved
    with pytest.raises(BadSetting, match="device='tpu' is refused"):
        study.on("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_study_for_a_device_that_is_not_here_is_refused_before_it_runs(tmp_path: Path) -> None:
    folder = opened(tmp_path, device="cuda")
    with pytest.raises(MissingData, match="which is not here"):
        run_study(folder, "serial")
    assert not status(folder).failures


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_study_runs_on_a_gpu(tmp_path: Path) -> None:
    state = run_study(opened(tmp_path, device="cuda"), "processes")
    assert state.complete
    assert not state.failures
