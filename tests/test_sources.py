"""Sources keep their promises: fixed splits, whatever the order; bad data refused in words; nothing read executes."""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.digest import digest_array
from limbeck.errors import BadData, BadSetting, CorruptFile, LimbeckError, MissingData, UnknownName
from limbeck.memory import peak_memory
from limbeck.sources import Source, _parts, digits, load_source
from limbeck.sources._draws import draw_fraction, draw_number, sample_keys
from limbeck.sources._parts import PIECE, Part
from limbeck.variants import find, make, members


def generated(n: int = 60, shape: tuple[int, ...] = (3, 6, 5), classes: int = 3, seed: int = 0):
    """Bytes whose class shows in their brightness."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.integers(0, 100, (n, *shape)) + 50 * y.reshape(-1, *([1] * len(shape)))
    return x.astype(np.uint8), y


def rows(source: Source, split: str) -> set[bytes]:
    return {row.numpy().tobytes() for row in getattr(source, split).x}


def test_splits_do_not_depend_on_the_order_of_the_samples():
    x, y = generated(90)
    order = np.random.default_rng(1).permutation(len(x))
    first, second = Source.from_arrays(x, y), Source.from_arrays(x[order], y[order])
    for split in ("train", "validation", "test"):
        assert rows(first, split) == rows(second, split)


def test_splits_are_disjoint_whole_and_stratified():
    x, y = generated(100, classes=4)
    source = Source.from_arrays(x, y, validation_fraction=0.25, test_fraction=0.2)
    splits = [rows(source, split) for split in ("train", "validation", "test")]
    assert sum(map(len, splits)) == len(set().union(*splits)) == 100
    for split, expected in (("test", 5), ("validation", 5), ("train", 15)):
        assert torch.bincount(getattr(source, split).group).tolist() == [expected] * 4
    assert source.class_counts() == (15,) * 4


def test_labels_stay_with_their_samples():
    x, y = generated(60)
    source = Source.from_arrays(x, y, preprocessing="none", train_limit=20)
    label_of = {(image.astype(np.float32) / 255).tobytes(): label for image, label in zip(x, y, strict=True)}
    for split in (source.train, source.validation, source.test):
        assert [label_of[image.numpy().tobytes()] for image in split.x] == split.group.tolist()
        assert torch.equal(split.y.argmax(1), split.group)
        assert torch.equal(split.y.sum(1), torch.ones(len(split)))


def test_loading_touches_no_global_generator_and_repeats_to_the_bit():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    before = (torch.get_rng_state(), str(np.random.get_state()), random.getstate())  # noqa: NPY002
    first = load_source.__wrapped__("digits")
    after = (torch.get_rng_state(), str(np.random.get_state()), random.getstate())  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    second = load_source.__wrapped__("digits")
    assert first.digest == second.digest
    assert first == second
    assert torch.equal(first.train.x, second.train.x)


def test_the_digest_tells_data_splits_classes_and_preprocessing_apart():
    x, y = generated()
    changed = x.copy()
    changed[0, 0, 0, 0] ^= 1
    variants = [
        Source.from_arrays(x, y),
        Source.from_arrays(changed, y),
        Source.from_arrays(x, (y + 1) % 3),
        Source.from_arrays(x, y, validation_fraction=0.3),
        Source.from_arrays(x, y, train_limit=9),
        Source.from_arrays(x, y, preprocessing="zca"),
        Source.from_arrays(x, y, preprocessing="none"),
        Source.from_arrays(x, y, class_names=("a", "b", "c")),
        Source.from_arrays(x, y, mirror=False),
    ]
    assert len({source.digest for source in variants}) == len(variants)
    assert Source.from_arrays(x.copy(), y.astype(np.int32)).digest == variants[0].digest


def test_a_smaller_limit_is_part_of_a_larger_one_and_keeps_splits_and_preprocessing():
    x, y = generated(120)
    small, large = (Source.from_arrays(x, y, train_limit=limit) for limit in (12, 48))
    assert (len(small.train), len(large.train)) == (12, 48)
    assert small.class_counts() == (4, 4, 4)
    assert rows(small, "train") < rows(large, "train")
    assert rows(small, "test") == rows(large, "test")
    assert rows(small, "validation") == rows(large, "validation")
    assert small.preprocessing.about() == large.preprocessing.about()


def test_draws_keep_one_of_every_class_and_never_take_all():
    labels = np.repeat([0, 1, 2], [2, 50, 500])
    keys = sample_keys(np.arange(552).reshape(-1, 1), labels)
    for fraction in (0.001, 0.1, 0.999):
        held = np.bincount(labels[draw_fraction(labels, keys, fraction)], minlength=3)
        assert (held >= 1).all()
        assert (held < [2, 50, 500]).all()
    for number in (3, 10, 100, 551):
        kept = np.bincount(labels[draw_number(labels, keys, number)], minlength=3)
        assert (kept >= 1).all()
        assert abs(kept.sum() - number) <= 2


def test_digits_are_those_of_scikit_learn_however_they_are_read(monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")
    expected = datasets.load_digits()
    for found in (digits.find_spec, lambda name: None):  # its file; the library where the file is not to be found
        monkeypatch.setattr(digits, "find_spec", found)
        images, labels = make("sources", "digits").read().train
        np.testing.assert_array_equal(images, (expected.images / 16).astype(np.float32))
        np.testing.assert_array_equal(labels, expected.target)
        assert (images.dtype, labels.dtype) == (np.float32, expected.target.dtype)


def test_digits_are_drawn_by_digest_and_standardised():
    source = load_source("digits")
    assert (source.name, source.spec, source.domain.shape, source.domain.classes) == ("digits", "digits", (1, 8, 8), 10)
    assert not source.domain.mirror  # a mirrored 2 is no 2
    assert len(source.train) + len(source.validation) + len(source.test) == 1797
    assert abs(source.train.x.mean()) < 1e-4
    assert abs(source.train.x.std() - 1) < 1e-3
    assert source.train.x.dtype == source.train.y.dtype == torch.float32
    assert not rows(source, "train") & rows(source, "test")


@pytest.mark.parametrize(
    ("axes", "layout"), [((0, 1, 2, 3), "auto"), ((0, 2, 3, 1), "auto"), ((0, 2, 3, 1), "nhwc"), ((0, 1, 2, 3), "nchw")]
)
def test_images_come_in_either_layout(axes, layout):
    x, y = generated()
    source = Source.from_arrays(x.transpose(axes), y, layout=layout)
    assert source.domain.shape == (3, 6, 5)
    assert source.digest == Source.from_arrays(x, y).digest


def test_any_number_of_channels_and_vectors_and_floats():
    assert Source.from_arrays(*generated(shape=(6, 5))).domain.shape == (1, 6, 5)
    assert Source.from_arrays(*generated(shape=(2, 6, 5))).domain.shape == (2, 6, 5)
    x, y = generated(shape=(7,))
    vectors = Source.from_arrays(x.astype(np.float64), y)
    assert vectors.domain.shape == (7,)
    assert not vectors.domain.is_image
    assert torch.allclose(vectors.train.x.mean(0), torch.zeros(7), atol=1e-4)
    whole = Source.from_arrays(*generated(), preprocessing="none")
    x, y = generated()
    wide = Source.from_arrays(x.astype(np.int64), y, preprocessing="none")
    assert wide.digest == whole.digest  # whole numbers from 0 to 255 are bytes, whatever their type


@pytest.mark.parametrize("as_objects", [False, True])
def test_labels_that_are_texts_are_numbered_in_order_and_name_the_classes(as_objects):
    names = np.array(["9", "10", "eel"], dtype=object if as_objects else str)  # numbers come in the order of numbers
    given = Source.from_arrays(X, names[Y], X[:9], names[Y[:9]])
    expected = Source.from_arrays(X, Y, X[:9], Y[:9], class_names=("9", "10", "eel"))
    assert (given.digest, given.class_names) == (expected.digest, expected.class_names)


def test_a_class_that_the_test_split_leaves_too_small_says_where_its_samples_went():
    with pytest.raises(
        BadData, match=r"class 1 \('1'\) has 1 training sample\(s\) left, as 1 of its 2 went to the test"
    ):
        Source.from_arrays(X, np.where(np.arange(60) < 58, 0, 1))


def test_given_splits_are_kept_as_they_are():
    x, y = generated(60)
    tx, ty = generated(30, seed=7)
    source = Source.from_arrays(x, y, tx, ty, preprocessing="none")
    assert torch.equal(source.test.x, torch.from_numpy(tx.astype(np.float32)) / 255)
    assert source.test.group.tolist() == ty.tolist()
    assert len(source.train) + len(source.validation) == 60


X, Y = generated()
NAN = X.astype(np.float32) / 255
NAN[4, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("arrays", "settings", "words"),
    [
        ((NAN, Y), {}, ["1 of 60", "NaN", "index 4"]),
        ((np.where(np.isnan(NAN), np.inf, NAN), Y), {}, ["infinity"]),
        ((X, Y - 1), {}, ["-1", "0, 1, 2"]),
        ((X, Y), {"class_names": ("a", "b")}, ["label 2", "0 to 1"]),
        ((X, Y + 0.5), {}, ["0.5", "whole number"]),
        ((X, np.where(Y == 1, np.nan, Y)), {}, ["nan", "whole number"]),
        ((X, Y.astype(str), X, Y.astype(str) + "x"), {}, ["y_test", "'0x'", "no class"]),
        ((X, Y.astype(str)), {"class_names": ("0", "1", "two")}, ["'2'", "Known: 0, 1, two"]),
        ((X, Y.astype("datetime64[s]")), {}, ["y_train", "0, 1, 2"]),
        ((X, Y * 0), {}, ["one class", "'0'"]),
        ((X, Y * 2), {}, ["class 1", "gaps"]),
        ((X, Y + 1), {}, ["labels are 1 to 3", "y - 1"]),
        ((X, Y + 0.5), {}, ["numpy.digitize"]),
        ((X, np.arange(60) // 2 * 2), {}, ["class 1"]),
        ((X, np.arange(60)), {}, ["60 training samples have 60 different labels", "numpy.digitize"]),
        ((X, Y), {"class_names": ("a", "b", "c", "d")}, ["class 3", "'d'"]),
        ((X, np.where(np.arange(60) == 0, 10**12, Y)), {}, ["1000000000000"]),
        ((X, np.where(np.arange(60) == 0, 1e300, Y)), {}, ["0, 1, 2"]),
        ((X, Y[:-1]), {}, ["59 labels", "60 samples"]),
        ((X, np.eye(3)[Y]), {}, ["shape (60, 3)"]),
        ((X[:0], Y[:0]), {}, ["shape (0, 3, 6, 5)"]),
        ((X[:, 0, 0, 0], Y), {}, ["shape (60,)"]),
        ((X.astype(complex), Y), {}, ["complex"]),
        ((X.astype(object), Y), {}, ["object"]),
        ((X, Y, X[:, :, :4], Y), {}, ["x_test", "(3, 4, 5)"]),
        ((X, Y, X, Y + 9), {}, ["y_test", "0 to 2"]),
        ((X, Y, X, None), {}, ["belong together"]),
    ],
)
def test_bad_arrays_are_refused_in_one_paragraph(arrays, settings, words):
    with pytest.raises(BadData) as refused:
        Source.from_arrays(*arrays, **settings)
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"validation_fraction": 0.0}, {"test_fraction": 1.0}, {"train_limit": -1}, {"preprocessing": "whiten"}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(BadSetting):
        Source.from_arrays(X, Y, **settings)


def test_every_source_is_found_under_its_name_with_its_summary_and_defaults():
    expected = {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "image-folder", "npz", "embeddings"}
    assert expected <= set(members("sources"))
    for name in expected:
        variant = find("sources", name)
        assert make("sources", name).spec == name
        assert len(variant.summary()) > 20
    with pytest.raises(UnknownName, match="fashion-mnist"):
        load_source("fashion_mnists")
    with pytest.raises(BadSetting, match="train_limit"):
        load_source("digits(train_limits=3)")


PLUG_IN = """
import numpy as np
from limbeck.sources import Source

def arrays(n=40, shift=0):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 5)) + shift, np.arange(n) % 2

def whole():
    return Source.from_arrays(*arrays(), name="mine")

def wrong():
    return 3
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    (tmp_path / "own_plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_plug_in"
    sys.modules.pop("own_plug_in", None)


def test_a_function_of_the_users_own_is_a_source(plug_in):
    source = make("sources", f"{plug_in}:arrays(n=50, shift=3, train_limit=10)").load()
    assert (len(source.train), source.domain.shape) == (10, (5,))
    assert source.spec == f"{plug_in}:arrays(n=50, shift=3, train_limit=10)"
    assert make("sources", source.spec).load().digest == source.digest
    assert make("sources", f"{plug_in}:whole").load().name == "mine"
    with pytest.raises(BadData, match="returned int"):
        make("sources", f"{plug_in}:wrong").load()
    with pytest.raises(BadSetting, match="shifts"):
        make("sources", f"{plug_in}:arrays(shifts=3)")
    with pytest.raises(UnknownName, match="arrays"):
        make("sources", f"{plug_in}:array")


def write_npz(path: Path, **arrays) -> str:
    np.savez(path, **arrays)
    return f"npz(path='{path}')"


def test_npz_is_the_same_as_its_arrays(tmp_path):
    spec = write_npz(tmp_path / "mine.npz", x_train=X, y_train=Y, class_names=np.array(["a", "b", "c"]))
    source = load_source(spec)
    assert source.digest == Source.from_arrays(X, Y, class_names=("a", "b", "c")).digest
    assert (source.name, source.class_names) == ("mine", ("a", "b", "c"))
    tx, ty = generated(30, seed=3)
    given = load_source(
        write_npz(
            tmp_path / "all.npz", x_train=X, y_train=Y, x_test=tx, y_test=ty, x_validation=tx[:9], y_validation=ty[:9]
        )
    )
    assert (len(given.train), len(given.validation), len(given.test)) == (60, 9, 30)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_hostile_npz_executes_nothing(tmp_path):
    mark = tmp_path / "sprung"
    arrays = [np.array([Trap(mark)] * 60, dtype=object), Y]
    for position, (first, second) in enumerate(itertools.permutations(arrays)):
        spec = write_npz(tmp_path / f"{position}.npz", x_train=first, y_train=second)
        with pytest.raises(BadData, match="were not read"):
            load_source(spec)
    loose = tmp_path / "loose.npz"
    loose.write_bytes(__import__("pickle").dumps(Trap(mark)))
    with pytest.raises(LimbeckError):
        load_source(f"npz(path='{loose}')")
    assert not mark.exists()
    np.load(tmp_path / "0.npz", allow_pickle=True)["x_train"]  # the trap does work
    assert mark.exists()


def test_a_truncated_npz_is_refused_at_every_length(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, x_train=X[:6], y_train=Y[:6])
    content = whole.read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises((CorruptFile, BadData)):
            make("sources", f"npz(path='{tmp_path / 'cut.npz'}')").read()


def test_missing_files_say_where_they_were_looked_for(tmp_path):
    with pytest.raises(MissingData, match=r"absent\.npz"):
        load_source(f"npz(path='{tmp_path}/absent.npz')")
    with pytest.raises(BadSetting, match="path="):
        load_source("npz")
    with pytest.raises(BadData, match="y_test"):
        load_source(write_npz(tmp_path / "half.npz", x_train=X, y_train=Y, x_test=X))
    with pytest.raises(BadData, match="x_train"):
        load_source(write_npz(tmp_path / "none.npz", other=X))


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="earlier peaks of memory can't be forgotten here"
)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_a_source_is_prepared_beside_its_raw_samples_with_no_third_copy(kind):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (8000, 3, 32, 32), dtype=np.uint8).astype(kind), np.arange(8000) % 10
    Source.from_arrays(x[:100], y[:100])  # imports are no copies
    with peak_memory() as peak:
        before = peak()
        source = Source.from_arrays(x, y)
        taken = peak() - before
    held = sum(split.x.nbytes for split in (source.train, source.validation, source.test))
    assert taken < held + 4 * 8 * PIECE  # a second copy is more than that


def test_a_split_is_the_same_in_pieces_and_whole(monkeypatch):
    x, y = generated(90)
    held = np.arange(90) % 7 != 3
    part = Part.whole(x, y).where(held)
    assert part.digest == digest_array(x[held], y[held])
    whole = Source.from_arrays(x.astype(np.float32), y)
    monkeypatch.setattr(_parts, "ROWS", 4)
    assert part.digest == digest_array(x[held], y[held])
    assert sum(len(piece) for piece in part.pieces()) == len(part)
    assert max(map(len, part.pieces())) == 4
    pieces = Source.from_arrays(x.astype(np.float32), y)
    assert pieces.digest == whole.digest
    assert torch.equal(pieces.train.x, whole.train.x)
