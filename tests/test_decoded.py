"""Sets of latents, on a tiny random autoencoder: diffusers' own decoding is the oracle."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.distillation import distill
from limbeck.errors import BadData, CorruptFile, MissingData, MissingExtra, NotApplicable
from limbeck.evaluation import evaluate
from limbeck.parameterizations.decoded import Decoded, _vae
from limbeck.samples import Samples
from limbeck.sources import Source, load_source
from limbeck.streams import stream
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs
from limbeck.testing.parameterizations import PROMISES, folds_back_what_it_unfolds
from limbeck.testing.trials import tiny

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
CONVNET = "convnet(width=4, depth=1)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder that halves images once, saved as diffusers saves it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 4), latent_channels=2, norm_num_groups=2, sample_size=8, scaling_factor=0.5,
        )  # fmt: skip
    path = tmp_path_factory.mktemp("vae")
    vae.eval().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def source() -> Source:
    return blobs((3, 8, 8), [12, 12, 12])


@pytest.mark.parametrize("promise", [one for one in PROMISES if one is not folds_back_what_it_unfolds])
def test_it_keeps_the_promises_of_its_family(
    promise: Callable[[str], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for one: an encoder is no exact inverse."""
    monkeypatch.setattr(Decoded, "trial", {"model": str(folder)})
    promise("decoded")


def test_samples_are_the_librarys_images_prepared_as_the_source(folder: Path, source: Source) -> None:
    form: Any = Decoded(model=str(folder))
    shared = form.shared(source)
    codes = torch.randn(3, 2, 4, 4, generator=stream(0, "codes"))
    made = form.unfold({**shared, "codes": codes}, torch.arange(3), source.domain)
    vae = diffusers.AutoencoderKL.from_pretrained(folder)
    with torch.no_grad():
        unit = vae.decode(codes / vae.config.scaling_factor).sample / 2 + 0.5
    low, high = source.preprocessing.limits or (0.0, 1.0)
    assert torch.allclose(made.x, source.preprocessing.apply(low + (high - low) * unit), atol=1e-5)
    start = source.train[:4]
    shown = (source.preprocessing.undo(start.x) * 2 - 1).float()
    with torch.no_grad():
        means = vae.encode(shown).latent_dist.mean * vae.config.scaling_factor
    assert torch.allclose(form.fold(start, source.domain, shared)["codes"], means, atol=1e-4)


@pytest.mark.parametrize("name", ["dm", "dc", "mtt", "bptt", "frepo", "idc"])
def test_methods_learn_the_codes_and_leave_the_decoder(name: str, folder: Path, source: Source) -> None:
    method = tiny(name, decoder=str(folder))
    made = distill(source, method, CONVNET, 2, candidates=1)
    begun = distill(source, f"random(decoder='{folder}')", CONVNET, 2)
    assert made.tensors["codes"].shape == (6, 2, 4, 4)
    assert not torch.equal(made.tensors["codes"], begun.tensors["codes"])
    kept = [key for key in begun.tensors if key.startswith("decoder")]
    assert all(torch.equal(made.tensors[key], begun.tensors[key]) for key in kept)
    assert made.bytes == sum(t.numel() * t.element_size() for t in made.tensors.values()) + 8 * 6


def test_a_set_unfolds_without_the_folder(folder: Path, source: Source, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "mine")
    made = distill(source, f"dm(steps=2, batch_real=8, decoder='{copied}')", CONVNET, 2, candidates=1)
    made.save(tmp_path / "set")
    shutil.rmtree(copied)
    _vae.cache_clear()
    read = SyntheticSet.load(tmp_path / "set")
    assert read.parameterization == "decoded"
    assert torch.equal(read.samples().x, made.samples().x)


def test_sizes_that_the_decoder_does_not_make_are_resized(folder: Path) -> None:
    odd = blobs((1, 7, 9), [12, 12, 12])
    made = distill(odd, f"random(decoder='{folder}')", CONVNET, 2)
    assert made.tensors["codes"].shape == (6, 2, 4, 5)
    assert made.samples().x.shape == (6, 1, 7, 9)


def test_what_can_not_be_decoded_is_refused(folder: Path, source: Source, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="decoder=FOLDER"):
        Decoded().check(source.domain)
    with pytest.raises(NotApplicable, match="no vectors"):
        distill(blobs((6,)), f"dm(decoder='{folder}')", "mlp(width=4)", 1)
    with pytest.raises(NotApplicable, match="2"):
        distill(blobs((2, 8, 8)), f"dm(decoder='{folder}')", CONVNET, 1)
    with pytest.raises(NotApplicable, match="preprocessing=standardise"):
        distill("digits(train_limit=100, preprocessing=zca)", f"dm(decoder='{folder}')", CONVNET, 1)
    with pytest.raises(MissingData, match=r"config\.json"):
        distill(source, f"dm(decoder='{tmp_path}')", CONVNET, 1)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save({}, tmp_path / "diffusion_pytorch_model.bin")  # a pickle is never read
    with pytest.raises(BadData, match="safetensors"):
        distill(source, f"dm(decoder='{tmp_path}')", CONVNET, 1)


def test_odd_settings_of_a_decoder_in_a_file_are_no_crash(folder: Path, source: Source) -> None:
    form = Decoded(model=str(folder))
    shared = form.shared(source)
    codes = {"codes": torch.zeros(1, 2, 4, 4)}
    for settings in (b"{", b"[]", b'"someone/model"', json.dumps({"down_block_types": ["os.system"]}).encode()):
        told = torch.tensor(list(settings), dtype=torch.uint8)
        with pytest.raises(CorruptFile):
            form.unfold({**shared, **codes, "decoder_settings": told}, torch.zeros(1, dtype=torch.int64), source.domain)


def test_a_surrogate_falls_in_latent_space(folder: Path, source: Source) -> None:
    made = distill(source, f"dm(steps=60, batch_real=8, lr_pixels=1.0, decoder='{folder}')", CONVNET, 2, candidates=1)
    losses = [value for _, value in made.provenance["losses"]]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert isinstance(made.samples(), Samples)


def test_digits_go_through_the_examples_own_autoencoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trained decoder: its codes of real digits give most of them back, and what is trained on them reads digits."""
    example = Path(__file__).parents[1] / "examples" / "image_autoencoder.py"
    words = [str(example), "digits", str(tmp_path / "vae"), "--epochs", "7", "--channels", "8"]
    monkeypatch.setattr("sys.argv", words)
    with torch.random.fork_rng():
        runpy.run_path(str(example), run_name="__main__")
    said = capsys.readouterr().out
    kept = float(said.split("keeps ")[1].split(" %")[0])
    digits, judged = load_source("digits"), "convnet(width=16, depth=2)/adamw(lr=5e-3)/none/cosine(steps=60)"
    made = distill(digits, f"random(decoder='{tmp_path / 'vae'}')", judged, 10)
    stored, held = made.samples().x, distill(digits, "random", judged, 10).samples().x
    back = 1 - float(((stored - held) ** 2).sum() / ((held - held.mean(0)) ** 2).sum())
    assert 100 * back == pytest.approx(kept, abs=10)
    assert back > 0.5
    assert f"pays {sum(t.nbytes for name, t in made.tensors.items() if name.startswith('decoder.'))} bytes" in said
    assert evaluate(made, judged, digits, [0])[0]["error"] < 0.3
