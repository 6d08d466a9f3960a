"""Sets stored as codes: scikit-learn's principal components and the same run on pixels are the oracles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.cost import forecast
from limbeck.distillation import distill
from limbeck.errors import BadData, BadSetting, Interrupted, NotApplicable
from limbeck.methods import Matching, Selection
from limbeck.parameterizations import latent
from limbeck.parameterizations.latent import Latent
from limbeck.sources import load_source
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs
from limbeck.testing.trials import tiny, tried, usual
from limbeck.variants import find, make, members

CONVNET = "convnet(width=4, depth=1)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"
STORING = [name for name in sorted(members("methods")) if issubclass(find("methods", name), Matching | Selection)]


def test_directions_are_the_principal_components() -> None:
    from sklearn.decomposition import PCA

    source = load_source("digits(train_limit=400)")
    x = source.train.x.flatten(1).double().numpy()
    theirs = PCA(5, svd_solver="full").fit(x)
    ours = Latent(dimension=5).shared(source)
    assert np.allclose(ours["mean"], theirs.mean_)
    assert np.allclose(np.abs(np.sum(ours["directions"].numpy() * theirs.components_, 1)), 1.0)
    assert (ours["directions"].gather(1, ours["directions"].abs().argmax(1, keepdim=True)) > 0).all()


def test_wide_samples_have_the_same_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    source = blobs((1, 8, 8), [20, 20, 20])
    usual_way = Latent(dimension=4).shared(source)
    monkeypatch.setattr(latent, "WIDE", 8)
    wide = Latent(dimension=4).shared(source)
    assert torch.allclose(usual_way["directions"], wide["directions"], atol=1e-8)
    assert torch.allclose(usual_way["mean"], wide["mean"])
    with pytest.raises(BadData, match="directions at most"):
        Latent(dimension=63).shared(source)


@pytest.mark.parametrize("name", ["dm", "dc", "mtt"])
def test_all_directions_are_pixels_in_another_frame(name: str) -> None:
    """B orthogonal: plain descent on codes is descent on samples, for as many directions as features."""
    source = blobs((1, 4, 4), [16, 16, 16])
    stored, coded = (
        distill(source, tiny(name, latent=d), CONVNET, 2, candidates=1, dtype=torch.float64) for d in (0, 16)
    )
    assert coded.tensors["codes"].shape == (6, 16)
    assert torch.allclose(stored.samples().x, coded.samples().x, atol=1e-9)
    assert coded.step_size == pytest.approx(stored.step_size)


@pytest.mark.parametrize("name", STORING)
def test_every_method_stores_codes(name: str) -> None:
    method = tiny(name, latent=3)
    made = tried(name, usual(name), method=method)
    assert made.parameterization.startswith("latent(dimension=3")
    codes, directions = made.tensors["codes"], made.tensors["directions"]
    assert codes.shape == (6, 3)
    off = made.samples().x.flatten(1) - made.tensors["mean"]
    assert torch.allclose(off, off @ directions.T @ directions, atol=1e-5)  # in the span of the directions
    assert make("methods", method.full_spec) == method


def test_a_selection_is_its_samples_projected() -> None:
    source = blobs((12,), [20, 20, 20])
    chosen = distill(source, "k-means", "mlp(width=8)", 3).samples()
    made = distill(source, "k-means(latent=4)", "mlp(width=8)", 3)
    mean, directions = (made.tensors[key] for key in ("mean", "directions"))
    assert torch.allclose(made.samples().x, mean + (chosen.x - mean) @ directions.T @ directions, atol=1e-5)


def test_bytes_count_the_directions_and_a_set_carries_them(tmp_path: Path) -> None:
    source = blobs((1, 8, 8), [20, 20, 20])
    made = distill(source, "dm(steps=2, latent=5, batch_real=8)", CONVNET, 4, candidates=1)
    assert made.bytes == 4 * (12 * 5 + 5 * 64 + 64) + 8 * 12
    assert forecast(source, "dm(steps=2, latent=5, batch_real=8)", CONVNET, 4, candidates=1).bytes == made.bytes
    read = SyntheticSet.load(made.save(tmp_path))
    assert read.digest == made.digest
    assert torch.equal(read.samples().x, made.samples().x)


@pytest.mark.parametrize(
    "method", ["dm(steps=2, batch_real=8)", "dm(steps=2, batch_real=8, latent=6)", "idc(steps=2)", "kip(steps=2)"]
)
def test_the_first_samples_of_a_set_are_a_set(method: str, tmp_path: Path) -> None:
    source = blobs((1, 8, 8), [30, 30, 30])
    made = distill(source, method, CONVNET, 3, candidates=1)  # 6 stored up to 2 a class, as many as directions
    part = made.first(2)
    copies = len(made.samples()) // made.k
    whole = made.samples().by_class()
    for label, own in part.samples().by_class().items():
        assert torch.equal(own.x, whole[label].x[: 2 * copies])
        assert torch.equal(own.y, whole[label].y[: 2 * copies])
    assert (part.k, part.per_class) == (6, 2)
    assert part.provenance["part_of"] == made.digest
    assert SyntheticSet.load(part.save(tmp_path)).digest == part.digest
    for wrong in (0, 4):
        with pytest.raises(BadSetting, match="3 samples"):
            made.first(wrong)


def test_a_run_on_codes_resumes_exactly(tmp_path: Path) -> None:
    source = blobs((1, 8, 8), [20, 20, 20])
    given = (source, "dm(steps=3, latent=5, batch_real=8)", CONVNET, 2)

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    whole = distill(*given, candidates=2)
    with pytest.raises(Interrupted):
        distill(*given, candidates=2, folder=tmp_path, on_progress=stop)
    assert distill(*given, candidates=2, folder=tmp_path).digest == whole.digest


def test_what_can_not_be_stored_is_refused_before_it_starts() -> None:
    with pytest.raises(NotApplicable, match="at most 64"):
        distill(blobs(), "dm(latent=65)", CONVNET, 1)
    with pytest.raises(NotApplicable, match="at most 64"):
        distill(blobs(), "random(latent=65)", CONVNET, 1)
    with pytest.raises(BadSetting, match="in tiles"):
        distill(blobs(), "dm(latent=5, factor=2)", CONVNET, 1)
    with pytest.raises(BadSetting, match="Leave out one"):
        distill(blobs(), "dm(latent=5, decoder=folder)", CONVNET, 1)
    assert tiny("idc", latent=5).parameterization() == Latent(dimension=5)


def test_a_setting_that_came_later_leaves_kept_results_valid() -> None:
    assert make("methods", "random").full_spec == "random"
    assert "latent" not in make("methods", "dm").full_spec
    assert make("methods", "dm(latent=7)").full_spec.endswith("latent=7)")
    assert "factor=1" in make("methods", "dm").full_spec
