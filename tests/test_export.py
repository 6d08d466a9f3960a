"""What leaves limbeck can be read by others as it was, and what comes in runs nothing."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.errors import BadData, CorruptFile, LimbeckError, MissingData, MissingExtra, NotApplicable
from limbeck.export import (
    export_huggingface,
    export_npz,
    export_png_folder,
    import_published_pt,
    pixels,
    published_set,
    sheet_png,
)
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.synthetic import SyntheticSet


@dataclass(frozen=True)
class PlantedSet(SyntheticSet):
    """A set whose training samples are its stored tensors, whatever parameterizations exist."""

    def samples(self) -> Samples:
        return Samples(self.tensors["x"], self.tensors["y"], self.group)


def planted_set(shape: tuple[int, ...] = (3, 5, 4), classes: int = 3, per_class: int = 2) -> PlantedSet:
    generator = torch.Generator().manual_seed(5)
    group = torch.arange(classes).repeat_interleave(per_class)
    x = torch.randn(len(group), *shape, generator=generator)
    y = torch.softmax(torch.randn(len(group), classes, generator=generator), dim=1)
    return PlantedSet(
        tensors={"x": x, "y": y},
        group=group,
        parameterization="pixels",
        domain=Domain(shape, classes),
        preprocessing={"kind": "standardise", "digest": "0" * 8},
        method="planted",
        source="generated",
        per_class=per_class,
    )


def test_npz_holds_the_training_samples_to_the_bit_and_no_pickle(tmp_path: Path) -> None:
    chosen = planted_set()
    with np.load(export_npz(chosen, tmp_path / "set.npz"), allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["x"], chosen.tensors["x"].numpy())
        np.testing.assert_array_equal(stored["y"], chosen.tensors["y"].numpy())
        np.testing.assert_array_equal(stored["group"], chosen.group.numpy())
        about = json.loads(str(stored["about"]))
    assert (about["method"], about["k"], about["digest"]) == ("planted", 6, chosen.digest)
    assert about["preprocessing"] == dict(chosen.preprocessing)


def test_npz_carries_the_numbers_that_prepare_other_samples(tmp_path: Path) -> None:
    """Read with numpy alone: vectors prepared with them are those that the source prepared."""
    raw = np.random.default_rng(0).normal(5, 3, (40, 4)).astype(np.float32)
    source = Source.from_arrays(raw, np.arange(40) % 2, raw, np.arange(40) % 2)
    with np.load(export_npz(planted_set((4,)), tmp_path / "set.npz", source.preprocessing)) as stored:
        np.testing.assert_allclose((raw - stored["mean"]) / stored["std"], source.test.x.numpy(), rtol=1e-5, atol=1e-6)


def test_published_samples_become_a_set_with_their_labels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 5, 4, 3), dtype=np.uint8)
    source = Source.from_arrays(x, np.arange(40) % 2)
    soft = Samples(torch.randn(4, 3, 5, 4), torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.2, 0.8], [0.4, 0.6]]),
                   torch.tensor([0, 0, 1, 1]))  # fmt: skip
    hard = Samples.hard(soft.x, soft.group, 2)
    for given, form in ((soft, "pixels(labels=soft)"), (hard, "pixels")):
        held = SyntheticSet.load(published_set(given, source, method="mtt").save(tmp_path / form))
        assert (held.parameterization, held.k, held.per_class, held.method) == (form, 4, 2, "mtt")
        torch.testing.assert_close(held.samples().x, given.x)
        torch.testing.assert_close(held.samples().y, given.y)
        assert held.preprocessing == source.preprocessing.about()
    with pytest.raises(BadData, match=r"have shape \(3, 4\) and 2 classes"):
        published_set(Samples.hard(soft.x[:, 0, :3], soft.group, 2), source)
    with pytest.raises(BadData, match="no sample stands for class '1'"):
        published_set(Samples.hard(soft.x, torch.zeros(4, dtype=torch.int64), 2), source)


def test_pixels_undo_the_preprocessing_and_round_to_the_nearest_level() -> None:
    raw = torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    prepared = (raw - 0.3) / 0.2
    shown = pixels(prepared, undo=lambda x: x * 0.2 + 0.3)
    assert shown.shape == (4, 6, 5, 3)
    np.testing.assert_allclose(shown / 255, raw.permute(0, 2, 3, 1).numpy(), atol=0.5 / 255 + 1e-6)


def test_pixels_without_undo_stretch_each_picture_and_keep_a_flat_one_flat() -> None:
    x = torch.stack([torch.linspace(-3, 7, 12).reshape(1, 3, 4), torch.full((1, 3, 4), 2.0)])
    shown = pixels(x)
    assert (shown[0].min(), shown[0].max(), np.unique(shown[1]).size) == (0, 255, 1)


def test_pixels_show_an_unusual_number_of_channels_by_its_mean() -> None:
    x = torch.rand(2, 5, 4, 4, generator=torch.Generator().manual_seed(2))
    np.testing.assert_array_equal(
        pixels(x, undo=lambda t: t), np.rint(x.double().mean(1, keepdim=True).permute(0, 2, 3, 1).numpy() * 255)
    )


def test_vectors_are_refused_as_pictures_with_the_way_on() -> None:
    with pytest.raises(NotApplicable, match="npz"):
        pixels(torch.zeros(3, 8))


def test_png_folder_keeps_class_order_and_content(tmp_path: Path) -> None:
    chosen = planted_set()
    folder = export_png_folder(chosen, tmp_path / "out", classes=["zebra", "ant", "bee"])
    assert sorted(p.name for p in folder.iterdir()) == ["000-zebra", "001-ant", "002-bee"]
    files = sorted(folder.rglob("*.png"))
    assert len(files) == 6
    for file, picture in zip(files, pixels(chosen.tensors["x"]), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), picture)


@pytest.mark.parametrize("name", ["../../etc", "/root", "a/b", "..", "", "con\x00", "<script>", "x" * 500])
def test_hostile_class_names_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    export_png_folder(planted_set(), tmp_path / "out", classes=[name, name, name])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len([p for p in (tmp_path / "out").iterdir() if p.is_dir()]) == 3
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 6


def test_class_names_must_be_as_many_as_classes(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="3 classes"):
        export_png_folder(planted_set(), tmp_path, classes=["one"])


def test_sheet_puts_a_class_in_a_row_in_label_order() -> None:
    images = np.zeros((6, 4, 4, 1), np.uint8)
    labels = [2, 0, 1, 0, 2, 1]
    for place, label in enumerate(labels):
        images[place] = 40 * label + 10 * (place > 2)
    sheet = np.asarray(Image.open(BytesIO(sheet_png(images, labels))))
    cell = (sheet.shape[0] // 14) * 5  # 3 rows of 4 pixels and 2 edges
    corners = sheet[::cell, ::cell]
    np.testing.assert_array_equal(corners[:3, :2], [[0, 10], [40, 50], [80, 90]])


def test_sheet_of_one_sample_a_class_is_wide_not_a_column() -> None:
    sheet = Image.open(BytesIO(sheet_png(np.zeros((10, 8, 8, 3), np.uint8), np.arange(10))))
    assert sheet.width > sheet.height
    assert sheet.mode == "RGB"


def test_sheet_refuses_what_it_can_not_draw() -> None:
    with pytest.raises(BadData, match="uint8"):
        sheet_png(np.zeros((2, 4, 4, 1)), [0, 1])  # type: ignore[arg-type]
    with pytest.raises(BadData, match="no sample"):
        sheet_png(np.zeros((0, 4, 4, 1), np.uint8), [])


def test_hugging_face_layout_gives_back_samples_pictures_and_labels(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    chosen = planted_set()
    folder = export_huggingface(chosen, tmp_path / "hub", classes=["ant", "bee", "cat"])
    table = parquet.read_table(folder / "data/train-00000-of-00001.parquet").to_pydict()
    x = np.array(table["x"], np.float32).reshape(-1, *chosen.domain.shape)
    np.testing.assert_array_equal(x, chosen.tensors["x"].numpy())
    np.testing.assert_array_equal(np.array(table["soft_label"], np.float32), chosen.tensors["y"].numpy())
    assert table["label"] == chosen.group.tolist()
    first = np.asarray(Image.open(BytesIO(table["image"][0]["bytes"])))
    np.testing.assert_array_equal(first, pixels(chosen.tensors["x"])[0])


def test_hugging_face_card_names_what_a_user_must_know_and_lets_no_name_out(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    hostile = 'x"\n---\nlicense: mit\n<script>alert(1)</script>|`'
    folder = export_huggingface(planted_set((7,)), tmp_path, classes=[hostile, "b", "c"])
    card = (folder / "README.md").read_text()
    front, body = card.split("\n---\n", 1)
    features = json.loads(
        next(line for line in front.splitlines() if line.startswith("dataset_info")).split(": ", 1)[1]
    )
    assert features["features"][0]["dtype"]["class_label"]["names"]["0"] == hostile
    for fact in ("planted", "generated", "standardise", "load_dataset", "Licence", planted_set((7,)).digest):
        assert fact in body
    assert "<script>" not in body


def test_missing_pyarrow_is_an_error_with_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'limbeck\[huggingface\]'"):
        export_huggingface(planted_set(), tmp_path)
    assert not any(tmp_path.iterdir())


class Runs:
    """A pickle that leaves a file behind when it is opened by something that runs code."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_a_published_file_that_holds_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    torch.save({"data": [[torch.zeros(1, 1, 2, 2), torch.zeros(1)]], "extra": Runs(trace)}, tmp_path / "bad.pt")
    with pytest.raises(CorruptFile, match="Nothing in it was run"):
        import_published_pt(tmp_path / "bad.pt")
    assert not trace.exists()
    torch.load(tmp_path / "bad.pt", weights_only=False)  # the trap itself works
    assert trace.exists()


def test_published_layouts_come_in_as_samples(tmp_path: Path) -> None:
    x = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(3))
    hard = torch.tensor([0, 0, 1, 1])
    log = {"accs_all_exps": {"ConvNet": [np.float64(0.5)]}}
    torch.save({"data": [[torch.zeros_like(x), hard], [x, hard]], **log}, tmp_path / "dc.pt")
    torch.save(x, tmp_path / "images_best.pt")
    torch.save(torch.tensor([[0.75, 0.25]] * 4), tmp_path / "labels_best.pt")
    first = import_published_pt(tmp_path / "dc.pt", experiment=1, classes=3)
    torch.testing.assert_close(first.x, x)
    assert first.y.shape == (4, 3)
    assert first.group.tolist() == hard.tolist()
    second = import_published_pt(tmp_path / "images_best.pt", tmp_path / "labels_best.pt")
    torch.testing.assert_close(second.y, torch.tensor([[0.75, 0.25]] * 4))


def test_unusable_published_files_say_why(tmp_path: Path) -> None:
    torch.save(torch.zeros(2, 3), tmp_path / "bare.pt")
    torch.save([torch.zeros(2, 3), torch.tensor([[3.0, -1.0], [0.0, 0.0]])], tmp_path / "logits.pt")
    cases: list[tuple[str, type[LimbeckError], str]] = [
        ("absent.pt", MissingData, "not there"),
        ("bare.pt", BadData, "without labels"),
        ("logits.pt", BadData, "softmax"),
    ]
    for name, error, words in cases:
        with pytest.raises(error, match=words):
            import_published_pt(tmp_path / name)
