"""A file is whole or absent, says when it was changed, stays in its folder and runs nothing."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.errors import BadSetting, CorruptFile, MissingData, StoreFailure
from limbeck.store import read_record, read_tensors, safe_name, write_bytes, write_record, write_tensors

RECORD = {"error": 0.1234567890123, "rows": [1, -2.5e-7, None, True], "text": "é\n\u2028"}
TENSORS = {"x": torch.linspace(-1, 1, 6).reshape(2, 3), "label": torch.tensor([3, 4]), "empty": torch.zeros(0, 2)}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first
    )


def damaged(content: bytes) -> Iterator[bytes]:
    """The content cut at every byte, and with each bit flipped."""
    yield from (content[:end] for end in range(len(content)))
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "a" / "record.json", RECORD)
    assert read_record(tmp_path / "a" / "record.json") == RECORD
    assert os.listdir(tmp_path / "a") == ["record.json"]


def test_every_cut_and_every_flipped_bit_of_a_record_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, RECORD)
    detected = harmless = 0
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        try:
            # The only damage that may pass is one that changes no value, such as the e of 1e-7 turned into E.
            assert read_record(path) == RECORD
            harmless += 1
        except CorruptFile:
            detected += 1
    assert harmless <= 8
    assert detected > 1000


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_every_cut_and_every_flipped_bit_of_tensors_is_detected(tmp_path: Path, suffix: str) -> None:
    write_tensors(tmp_path, "set", TENSORS, {"kind": "set"})
    path = tmp_path / f"set.{suffix}"
    detected = harmless = 0
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        try:
            tensors, about = read_tensors(tmp_path, "set")
            assert same(tensors, TENSORS)
            assert about == {"kind": "set"}
            harmless += 1
        except CorruptFile:
            detected += 1
    # Spaces that pad the header of a safetensors file may become other white space.
    assert harmless <= 16
    assert detected > 1000


def test_tensors_read_back_to_the_bit_with_their_digest(tmp_path: Path) -> None:
    special = {"x": torch.tensor([float("nan"), -0.0, float("inf")]), "half": torch.ones(2, dtype=torch.float16)}
    first = write_tensors(tmp_path, "a", special, {})
    assert first == write_tensors(tmp_path, "b", special, {"other": 1})
    assert first != write_tensors(tmp_path, "c", {**special, "x": torch.tensor([0.0])}, {})
    tensors, _ = read_tensors(tmp_path, "a")
    assert tensors["x"].numpy().tobytes() == special["x"].numpy().tobytes()
    assert tensors["half"].dtype == torch.float16


def test_tensors_of_another_set_under_this_name_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path, "a", TENSORS, {})
    write_tensors(tmp_path, "b", {**TENSORS, "x": TENSORS["x"] + 1}, {})
    os.replace(tmp_path / "b.safetensors", tmp_path / "a.safetensors")
    with pytest.raises(CorruptFile):
        read_tensors(tmp_path, "a")


@pytest.mark.parametrize(
    "name", ["../x", "..", "a/b", "/etc/x", "", ".hidden", "a\0b", "a\nb", "a\\b", "x" * 200, "a..b", "~", "-rf", "é"]
)
def test_a_name_that_could_leave_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(BadSetting):
        safe_name(name)
    with pytest.raises(BadSetting):
        write_tensors(inner, name, TENSORS, {})
    with pytest.raises(BadSetting):
        read_tensors(inner, name)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_that_is_read_executes_code(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pickle.loads(pickle.dumps(Bomb(ran)))
    assert ran.exists(), "the bomb must work, or this test proves nothing"
    ran.unlink()
    write_tensors(tmp_path, "set", TENSORS, {})
    for suffix in ("safetensors", "json"):
        kept = (tmp_path / f"set.{suffix}").read_bytes()
        for save in (pickle.dumps, lambda bomb: _torch_saved(tmp_path, bomb)):
            (tmp_path / f"set.{suffix}").write_bytes(save(Bomb(ran)))
            with pytest.raises(CorruptFile):
                read_tensors(tmp_path, "set")
        (tmp_path / f"set.{suffix}").write_bytes(kept)
    assert not ran.exists()


def _torch_saved(folder: Path, value: Any) -> bytes:
    torch.save(value, folder / "saved.pt")
    return (folder / "saved.pt").read_bytes()


@pytest.mark.parametrize(
    "text", ["[]", "null", "3", '"x"', "{}", '{"sha256": 3}', "[" * 5000, '{"sha256": "' + "0" * 64 + '"}']
)
def test_json_of_another_form_is_a_corrupt_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(CorruptFile):
        read_record(tmp_path / "record.json")


def test_what_is_not_there_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="nowhere"):
        read_record(tmp_path / "nowhere.json")
    write_tensors(tmp_path, "set", TENSORS, {})
    (tmp_path / "set.safetensors").unlink()
    with pytest.raises(MissingData, match=r"set\.safetensors"):
        read_tensors(tmp_path, "set")


def test_a_number_that_is_not_finite_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_record(tmp_path / "record.json", {"error": float("nan")})
    assert not list(tmp_path.iterdir())


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes a file fail as on a full disk, for every user."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_refused_write_leaves_what_was_there_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, RECORD)
    with files_limited_to(100), pytest.raises(StoreFailure, match="Finished results are untouched"):
        write_record(path, {"long": "x" * 1000})
    assert read_record(path) == RECORD
    assert os.listdir(tmp_path) == ["record.json"]


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen"])
def test_a_full_disk_at_any_moment_leaves_the_old_file_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write_bytes(tmp_path / "file", b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(StoreFailure, match="No space left"):
            write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        write_record(disk / "first.json", RECORD)
        with pytest.raises(StoreFailure, match="No space left"):
            write_record(disk / "second.json", {"long": "x" * 100_000})
        assert read_record(disk / "first.json") == RECORD
        assert os.listdir(disk) == ["first.json"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    write_record(folder / "record.json", RECORD)
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(StoreFailure, match=r"Permission denied.*choose another folder"):
            write_record(folder / "record.json", {"new": 1})
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
    assert read_record(folder / "record.json") == RECORD
    assert json.loads((folder / "record.json").read_text())["error"] == RECORD["error"]
