"""Mode-guided diffusion on a tiny random pipeline: diffusers' own sampler and the pulled end are the oracles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.distillation import distill
from limbeck.errors import BadData, BadSetting, MissingData, MissingExtra, NotApplicable
from limbeck.methods.mgd3 import MGD3, _pipeline, decoded, encoded
from limbeck.streams import stream
from limbeck.testing.blobs import blobs

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
CONVNET = "convnet(width=4, depth=1)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusion transformer of one block and a VAE of two, saved as diffusers saves them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = diffusers.DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8, num_layers=1, sample_size=4,
            patch_size=2, num_embeds_ada_norm=1000,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 4), latent_channels=4, norm_num_groups=2, sample_size=8,
        )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    path = tmp_path_factory.mktemp("dit")
    diffusers.DiTPipeline(transformer.eval(), vae.eval(), scheduler).save_pretrained(path)
    return path


def test_without_pull_it_is_the_librarys_own_sampler(folder: Path) -> None:
    pipeline: Any = _pipeline(str(folder), torch.device("cpu"))
    pipeline.set_progress_bar_config(disable=True)
    generator = stream(0, "noise")
    noise = torch.randn(2, 4, 4, 4, generator=stream(0, "noise"))
    expected = pipeline(
        class_labels=[7, 7], guidance_scale=4.0, generator=generator, num_inference_steps=6, output_type="np"
    ).images
    latents = MGD3(steps_sampled=6, pull=0.0).sampled(pipeline, 7, torch.zeros_like(noise), noise)
    ours = decoded(pipeline, latents).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_pulled_all_the_way_it_ends_at_the_mode(folder: Path) -> None:
    pipeline = _pipeline(str(folder), torch.device("cpu"))
    modes = torch.randn(2, 4, 4, 4, generator=stream(1, "modes"))
    noise = torch.randn(2, 4, 4, 4, generator=stream(1, "noise"))
    held = MGD3(steps_sampled=6, pull=1.0, stop=0.0).sampled(pipeline, 3, modes, noise)
    # The last step of the schedule ends at signal 0.9999 unless the scheduler is told that it ends at 1.
    torch.testing.assert_close(held, modes, atol=0.1, rtol=0)
    freed = MGD3(steps_sampled=6, pull=1.0, stop=0.5).sampled(pipeline, 3, modes, noise)
    never = MGD3(steps_sampled=6, pull=0.0).sampled(pipeline, 3, modes, noise)
    distance = [float((end - modes).norm()) for end in (held, freed, never)]
    assert distance[0] < distance[1] < distance[2]


def test_latents_are_the_vaes_means_in_the_models_units(folder: Path) -> None:
    pipeline: Any = _pipeline(str(folder), torch.device("cpu"))
    grey = torch.rand(2, 1, 8, 8, generator=stream(0, "grey"))
    colour = grey.expand(-1, 3, -1, -1)
    latents = encoded(pipeline, grey, 8)
    with torch.no_grad():
        expected = pipeline.vae.encode(2 * colour - 1).latent_dist.mean * pipeline.vae.config.scaling_factor
    torch.testing.assert_close(latents, expected)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 12)])
def test_a_set_is_drawn_for_images_of_any_size_and_depends_on_its_seed_alone(
    folder: Path, shape: tuple[int, ...]
) -> None:
    source = blobs(shape, (12, 12, 12))
    method = MGD3(model=str(folder), steps_sampled=3, classes=(5, 6, 999))
    before = torch.get_rng_state()
    made, again, other = (distill(source, method, CONVNET, 2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert made.samples().x.shape == (6, *shape)
    assert torch.bincount(made.group).tolist() == [2, 2, 2]
    assert made.digest == again.digest != other.digest
    shown = source.preprocessing.undo(made.samples().x)
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1


def test_what_it_lacks_is_said_in_words(folder: Path, tmp_path: Path) -> None:
    images = blobs((1, 8, 8), (12, 12, 12))
    with pytest.raises(MissingExtra, match="model=FOLDER"):
        distill(images, "mgd3", CONVNET, 1)
    with pytest.raises(MissingData, match="model_index"):
        distill(images, MGD3(model=str(tmp_path)), CONVNET, 1)
    with pytest.raises(NotApplicable, match="Methods that can run here"):
        distill(blobs((12,), (12, 12, 12)), MGD3(model=str(folder)), "mlp(width=4)", 1)
    with pytest.raises(BadSetting, match="numbers 2 classes"):
        distill(images, MGD3(model=str(folder), classes=(1, 2)), CONVNET, 1)
    with pytest.raises(BadData, match="0 to 999"):
        distill(images, MGD3(model=str(folder), classes=(1, 2, 1000)), CONVNET, 1)
