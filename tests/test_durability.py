"""What a power cut may take is the last second's quick cells; what it tears is made again and never trusted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import faked
from faked import QUICK
from limbeck import durability
from limbeck.durability import Group, sync
from limbeck.errors import CorruptFile, Interrupted, StoreFailure
from limbeck.runners import run_study
from limbeck.store import read_record, write_bytes
from limbeck.study import Cell, StudyFolder, merge, status, table, verify
from little import opened, results

OBJECTS_FIRST = ("objects", "cells")


def torn(content: bytes, way: int) -> bytes:
    """As file systems leave a file whose name reached the disk before its bytes: empty, short, or zeros."""
    return [b"", content[: len(content) // 2], bytes(len(content)), content[:100] + bytes(len(content) - 100)][way % 4]


def paths(folder: StudyFolder) -> list[Path]:
    return sorted((folder.path / "cells").rglob("*.json"))


def test_records_that_a_power_cut_tore_are_made_again_and_nothing_else_is(tmp_path: Path) -> None:
    whole, cut = opened(tmp_path, "whole"), opened(tmp_path, "cut")
    for folder in (whole, cut):
        run_study(folder, "serial", execute=QUICK)
    lost = random.Random(3).sample(paths(cut), 9)
    for way, path in enumerate(lost):
        path.write_bytes(torn(path.read_bytes(), way)) if way < 8 else path.unlink()
    (lost[0].parent / f".{lost[0].name}.abc").write_bytes(b"{")  # a temporary file
    state = status(cut)
    assert sum(count.left for count in state.counts.values()) == 9
    assert not state.complete
    with pytest.raises(CorruptFile):
        table(cut)
    again: list[str] = []
    assert run_study(cut, "serial", execute=QUICK, on_done=lambda cell, record: again.append(cell.id)).complete
    assert sorted(again) == sorted(path.stem for path in lost)
    assert results(cut) == results(whole)
    assert verify(cut.path) == []


def test_a_failure_that_was_torn_is_run_again(tmp_path: Path) -> None:
    folder = opened(tmp_path, methods=["k-means"], sets=1)
    assert len(run_study(folder, "serial", execute=faked.DIVERGING).failures) == 2
    first = folder.failure_path(min(folder.failed()))
    first.write_bytes(b"")
    run: list[str] = []
    run_study(folder, "serial", execute=QUICK, on_done=lambda cell, record: run.append(cell.id))
    assert run[0] == first.name.partition(".")[0]
    assert not first.exists()
    assert len(folder.failed()) == 1


def test_a_torn_record_is_replaced_by_a_whole_one_from_elsewhere(tmp_path: Path) -> None:
    here, there = opened(tmp_path, "here"), opened(tmp_path, "there")
    for folder in (here, there):
        run_study(folder, "serial", execute=QUICK)
    paths(here)[0].write_bytes(b"")
    done = merge(here, [there])
    assert (done.copied, done.conflicts, done.unreadable) == (1, (), ())
    assert results(here) == results(there)


def test_a_merge_syncs_all_tensors_before_the_first_record_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = opened(tmp_path, "there"), opened(tmp_path, "here")
    run_study(there, "serial", execute=QUICK)
    synced: list[tuple[set[str], int]] = []

    def note(files: Collection[Path]) -> None:
        synced.append(({str(path.relative_to(here.path)) for path in files}, len(paths(here))))

    monkeypatch.setattr(sys.modules["limbeck.study.merge"], "sync", note)
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("each file waits for the disk"))
    merge(here, [there])
    held = [{str(path.relative_to(here.path)) for path in (here.path / kind).rglob("*.*")} for kind in OBJECTS_FIRST]
    assert synced == [(held[0], 0), (held[1], len(held[1]))]
    assert len(held[1]) == len(here.cells())


@pytest.mark.parametrize("ends", ["complete", "interrupt", "failure"])
def test_every_record_is_synced_however_a_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    folder, synced = opened(tmp_path), set[Path]()
    monkeypatch.setattr(durability, "sync", synced.update)
    left = [20]

    def stop(cell: Cell, record: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] == 0 and ends != "complete":
            raise KeyboardInterrupt if ends == "interrupt" else StoreFailure("full")

    try:
        run_study(folder, "serial", execute=QUICK, on_done=stop)
    except (Interrupted, StoreFailure):
        assert ends != "complete"
    assert len(synced) == (len(folder.cells()) if ends == "complete" else 20)
    assert synced == set(paths(folder))


def test_long_work_is_safe_before_its_checkpoints_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    cell = folder.cells()[0]
    told: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: told.append("synced"))
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: told.append("dropped"))
    folder.write(cell.id, {"seconds": durability.GROUP_SECONDS}, durable=False)
    assert told == ["synced", "synced", "dropped"]
    told.clear()
    folder.write(cell.id, {"seconds": 0.1}, durable=False)
    assert told == ["dropped"]


@pytest.mark.parametrize("whole", [True, False], ids=["syncfs", "each file"])
def test_a_group_syncs_files_and_their_names_when_it_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """Inodes that were synced, as the system was told; a file system as a whole is that of any file in it."""
    synced: set[int] = set()

    def note(handle: int) -> None:
        synced.add(os.fstat(handle).st_dev if whole else os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(durability, "_syncfs", lambda: note if whole else None)
    files = [tmp_path / folder / name for folder in "ab" for name in "cd"]
    for path in files:
        write_bytes(path, b"x", durable=False)
    with Group() as group:
        for path in [*files, tmp_path / "a" / "gone"]:
            group.add(path)
    own = {path.stat().st_ino for path in [*files, tmp_path / "a", tmp_path / "b"]}
    assert synced == ({tmp_path.stat().st_dev} if whole else own)


def test_a_disk_that_can_not_sync_ends_the_run_with_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        def whole(handle: int) -> None:
            raise OSError(5, "Input/output error")

        return whole

    folder = opened(tmp_path)
    monkeypatch.setattr(durability, "_syncfs", broken)
    with pytest.raises(StoreFailure, match="safe from a power cut: Input/output error"):
        run_study(folder, "serial", execute=QUICK)
    monkeypatch.undo()
    assert run_study(folder, "serial", execute=QUICK).complete


def test_what_the_system_calls_itself_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    sync([tmp_path / "file"])
    assert (durability._syncfs() is not None) == sys.platform.startswith("linux")


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """A file as a disk, where this user may mount one."""
    place.mkdir()
    command = ["mount", "-o", "loop", str(image), str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk from a file")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_power_cut_on_a_real_file_system_takes_only_what_was_not_yet_synced(tmp_path: Path) -> None:
    """The disk's bytes are copied at random moments of a run: what a power cut would leave, journal and all.

    Every record that a sync had returned for is whole on the copy, and the run goes on from it to the same table.
    """
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("makes ext4 file systems")
    whole = opened(tmp_path, sets=10)
    run_study(whole, "serial", execute=QUICK)
    image, log, chance = tmp_path / "disk.img", tmp_path / "log", random.Random(0)
    image.touch()
    os.truncate(image, 24 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    images, logs = [], []
    with mounted(image, tmp_path / "disk") as disk:
        folder = opened(tmp_path, str(disk), sets=10)
        child = subprocess.Popen([sys.executable, Path(__file__).with_name("power_cut.py"), folder.path, log])
        while not log.exists():
            time.sleep(0.05)
        while child.poll() is None and len(images) < 6:
            time.sleep(chance.uniform(0, 0.3))
            child.send_signal(signal.SIGSTOP)
            logs.append(log.read_text().split())
            images.append(shutil.copy(image, tmp_path / f"cut{len(images)}.img"))
            child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()
    for number, (copy, synced) in enumerate(zip(images, logs, strict=True)):
        with mounted(Path(copy), tmp_path / f"cut{number}") as disk:
            cut = StudyFolder(disk / "little")
            for name in synced:
                assert read_record(cut.path / name)
            assert run_study(cut, "serial", execute=QUICK).complete
            assert results(cut) == results(whole)
            assert verify(cut.path) == []
    assert len(images) >= 3  # fewer: the run was over before it could be cut
