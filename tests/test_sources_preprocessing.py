"""Preprocessing is the declared map: equal to its equations, to another library's, and undone exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from limbeck.errors import BadSetting, CorruptFile
from limbeck.sources import Preprocessing, Source
from limbeck.sources._parts import Part
from limbeck.sources._preprocessing import ZCA_EPS, as_float
from limbeck.sources._preprocessing import fit as fit_part

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (300, 3, 4, 5)).astype(np.uint8) // np.array([1, 2, 4], dtype=np.uint8)[:, None, None]
VECTORS = (RNG.normal(size=(300, 6)) * [1, 10, 0.1, 1, 1, 1] + [0, 5, 0, -3, 0, 0]).astype(np.float32)
KINDS = ["standardise", "zca", "none"]


def fit(kind: str, raw: np.ndarray) -> Preprocessing:
    return fit_part(kind, Part.whole(raw))


def test_standardised_images_have_mean_0_and_deviation_1_a_channel():
    made = fit("standardise", IMAGES)
    x = made.apply(as_float(IMAGES))
    assert x.dtype == torch.float32
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    expected = (IMAGES / 255.0).mean((0, 2, 3))
    assert np.allclose(made.about()["mean"], expected, rtol=1e-5)


def test_standardised_vectors_have_mean_0_and_deviation_1_a_feature_and_constants_stay_finite():
    vectors = np.concatenate([VECTORS, np.full((300, 1), 7, np.float32)], axis=1)
    x = fit("standardise", vectors).apply(as_float(vectors))
    assert torch.allclose(x.mean(0), torch.zeros(7), atol=1e-3)
    assert torch.allclose(x.std(0, correction=0), torch.tensor([1.0] * 6 + [0.0]), atol=1e-4)


@pytest.mark.parametrize("raw", [IMAGES, VECTORS], ids=["images", "vectors"])
def test_zca_is_the_regularised_inverse_root_of_the_covariance(raw):
    unit = as_float(raw).double().flatten(1).numpy()
    covariance = np.cov(unit, rowvar=False)
    got = fit("zca", raw).apply(as_float(raw)).flatten(1).double().numpy()
    # W C W = C (C + eps I)^-1, and W commutes with C: the only symmetric positive W with W^2 = (C + eps I)^-1
    expected = covariance @ np.linalg.inv(covariance + ZCA_EPS * np.eye(len(covariance)))
    assert np.allclose(np.cov(got, rowvar=False), expected, atol=2e-5)
    whiten = fit("zca", raw).parameters["whiten"].double().numpy()
    assert np.allclose(
        whiten @ whiten @ (covariance + ZCA_EPS * np.eye(len(covariance))), np.eye(len(whiten)), atol=1e-3
    )
    assert np.allclose(got.mean(0), 0, atol=1e-5)


def test_zca_agrees_with_kornia():
    kornia = pytest.importorskip("kornia")
    raw = as_float(IMAGES)
    theirs = kornia.enhance.ZCAWhitening(eps=ZCA_EPS, compute_inv=True).fit(raw)
    ours = fit("zca", IMAGES)
    assert torch.allclose(ours.apply(raw), theirs(raw), atol=2e-4)
    assert torch.allclose(ours.undo(ours.apply(raw)), theirs.inverse_transform(theirs(raw)), atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [IMAGES, VECTORS], ids=["images", "vectors"])
def test_undo_gives_back_what_was_prepared(kind, raw):
    made = fit(kind, raw)
    assert torch.allclose(made.undo(made.apply(as_float(raw))), as_float(raw), atol=1e-4)


def test_images_outside_0_to_1_are_shown_within_it():
    wide = (IMAGES.astype(np.float32) - 100) / 50
    for kind in KINDS:
        made = fit(kind, wide)
        shown = made.undo(made.apply(as_float(wide)))
        assert torch.allclose(shown, (as_float(wide) - wide.min()) / float(wide.max() - wide.min()), atol=1e-4)
    assert fit("none", wide).apply(as_float(wide)).amin() == 0
    assert fit("none", wide).apply(as_float(wide)).amax() == 1
    assert torch.allclose(
        fit("standardise", wide).apply(as_float(wide)),
        fit("standardise", IMAGES).apply(as_float(IMAGES)),
        atol=1e-3,
    )


def test_only_training_samples_are_fitted_to():
    labels = np.arange(300) % 3
    first = Source.from_arrays(IMAGES, labels, IMAGES[:30], labels[:30])
    second = Source.from_arrays(IMAGES, labels, IMAGES[:30] // 2, labels[:30])
    assert first.preprocessing.about() == second.preprocessing.about()
    assert first.digest != second.digest
    unit = first.preprocessing.undo(first.train.x)
    assert np.allclose(first.preprocessing.about()["mean"], unit.mean((0, 2, 3)), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [IMAGES, VECTORS], ids=["images", "vectors"])
def test_it_travels_as_json_and_tensors_and_comes_back(kind, raw):
    made = fit(kind, raw)
    about = json.loads(json.dumps(made.about(), allow_nan=False))
    back = Preprocessing.restored(about, made.tensors())
    assert back.about() == made.about() == about
    assert torch.equal(back.apply(as_float(raw)), made.apply(as_float(raw)))
    if kind == "standardise" and raw is IMAGES:  # a synthetic set can be shown without its source
        assert torch.allclose(Preprocessing.restored(about).undo(as_float(raw)), made.undo(as_float(raw)))
    elif kind != "none":
        with pytest.raises(CorruptFile):
            Preprocessing.restored(about)


def test_the_digest_tells_maps_apart_and_ignores_the_last_bits():
    digests = {fit(kind, raw).digest for kind in KINDS for raw in (IMAGES, IMAGES // 2)}
    assert len(digests) == 5  # `none` is the same map for both
    shuffled = IMAGES[RNG.permutation(300)]  # another order of summation
    assert fit("standardise", shuffled).digest == fit("standardise", IMAGES).digest
    as_floats = (IMAGES / 255.0).astype(np.float32)
    assert fit("standardise", as_floats).digest == fit("standardise", IMAGES).digest


def test_unknown_kinds_name_the_nearest():
    with pytest.raises(BadSetting, match="standardise"):
        fit("standardize", IMAGES)
