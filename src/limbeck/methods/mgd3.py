"""MGD3: mode-guided diffusion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.configuration import Configuration
from limbeck.errors import BadData, BadSetting, MissingData, MissingExtra, NotApplicable
from limbeck.methods import Method, indices_by_class
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.states import Scene
from limbeck.streams import borrowed_global, derive, stream

BATCH = 16  # images that go through the model at a time


class MGD3(Method):
    """One image for each mode of a class, from a latent diffusion model drawn to it (Chan-Santiago et al. 2025).

    `model` is the folder of a class-conditional diffusion transformer in the form of the diffusers library (a
    `DiTPipeline`: transformer, VAE, scheduler; safetensors only, no network), your own or a published one. The modes
    are `per_class` k-means centres of the VAE's latents of a class's real images. From noise, `steps_sampled`
    deterministic steps (Song et al. 2021) with classifier-free guidance `scale` are taken; while at least a share
    `stop` of them is left, the estimate of the clean latent x is moved to x + `pull` (mode - x), after that the model
    is free. Nothing is trained. `classes` numbers each class as the model does, in the source's order; 0, 1, 2, ...
    where it is empty.

    Images are resized to the model's size and back, and grey ones shown to it in three equal channels. Steps, scale,
    `pull` and `stop` are the paper's; it draws with noise in every step (DDPM) and adds its guidance to the predicted
    noise, scaled by the step's own sd, where here the estimate of x itself is moved.
    """

    paper: ClassVar[str] = "chansantiago2025mgd3"
    states_name: ClassVar[str] = "-"
    cost: ClassVar[str] = "2 x steps_sampled forwards of the transformer for each of k, one encoding of the data"

    model: str = ""
    classes: tuple[int, ...] = ()
    steps_sampled: int = Field(50, gt=0)
    scale: float = Field(4.0, ge=1)
    pull: float = Field(0.1, ge=0, le=1)
    stop: float = Field(0.5, ge=0, le=1)

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        if not domain.is_image:
            raise NotApplicable(f"this method draws images; the source has vectors of {domain.shape[0]} features.")
        if domain.shape[0] not in (1, 3):
            raise NotApplicable(f"this method draws images of 1 or 3 channels, not of {domain.shape[0]}.")
        if not self.model:
            raise MissingExtra(
                "mgd3 needs a diffusion model: write mgd3(model=FOLDER), with a DiTPipeline in diffusers' form in it."
            )
        if self.classes and len(self.classes) != domain.classes:
            raise BadSetting(f"classes numbers {len(self.classes)} classes; the source has {domain.classes}.")

    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        groups, domain, device = indices_by_class(source, per_class), source.domain, scene.dynamics.device
        pipeline = _pipeline(self.model, device)
        size = pipeline.transformer.config.sample_size * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        numbers = self.classes or tuple(range(domain.classes))
        if max(numbers) >= pipeline.transformer.config.num_embeds_ada_norm:
            known = pipeline.transformer.config.num_embeds_ada_norm
            raise BadData(f"{self.model} knows classes 0 to {known - 1}; class {max(numbers)} was asked for.")
        images = []
        for label, own in enumerate(groups):
            shown = source.preprocessing.undo(source.train.x[own]).to(device)
            latents = in_batches(lambda x: encoded(pipeline, x, size), shown)
            modes = _centres(latents, per_class, derive(scene.seed, "modes", label))
            noise = torch.randn(modes.shape, generator=stream(scene.seed, "noise", label)).to(device)
            pairs = torch.stack([modes, noise], 1)
            drawn = in_batches(partial(self._drawn, pipeline, numbers[label]), pairs)
            images.append(in_batches(lambda z: decoded(pipeline, z), drawn))
        x = functional.interpolate(torch.cat(images), domain.shape[1:], mode="bilinear", antialias=True)
        x = x.mean(1, keepdim=True) if domain.shape[0] == 1 else x
        low, high = source.preprocessing.limits or (0.0, 1.0)
        prepared = source.preprocessing.apply(low + (high - low) * x.cpu()).to(source.train.x.dtype)
        return Samples.hard(prepared, torch.arange(domain.classes).repeat_interleave(per_class), domain.classes)

    def _drawn(self, pipeline: Any, number: int, pairs: Tensor) -> Tensor:
        return self.sampled(pipeline, number, pairs[:, 0], pairs[:, 1])

    @torch.no_grad()
    def sampled(self, pipeline: Any, number: int, modes: Tensor, noise: Tensor) -> Tensor:
        """Latents (n, channels, side, side) of the model's class `number`, from noise, drawn to one mode each."""
        scheduler, transformer = pipeline.scheduler, pipeline.transformer
        scheduler.set_timesteps(self.steps_sampled)
        null = transformer.config.num_embeds_ada_norm  # the model's own label for no class
        labels = torch.tensor([number] * len(noise) + [null] * len(noise), device=noise.device)
        latents = noise
        for place, time in enumerate(scheduler.timesteps):
            twice = torch.cat([latents, latents])
            times = torch.full((len(twice),), int(time), device=noise.device)
            said = transformer(twice, timestep=times, class_labels=labels).sample[:, : noise.shape[1]]
            given, free = said.chunk(2)
            epsilon = free + self.scale * (given - free)
            if 1 - place / self.steps_sampled >= self.stop:
                signal = scheduler.alphas_cumprod[int(time)].to(noise)
                clean = (latents - (1 - signal).sqrt() * epsilon) / signal.sqrt()
                clean = clean + self.pull * (modes - clean)
                epsilon = (latents - signal.sqrt() * clean) / (1 - signal).sqrt()
            latents = scheduler.step(epsilon, time, latents).prev_sample
        return latents


def in_batches(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of many images, a few at a time."""
    return torch.cat([function(part) for part in x.split(BATCH)])


@torch.no_grad()
def encoded(pipeline: Any, images: Tensor, size: int) -> Tensor:
    """The mean latents of images in [0, 1] (n, channels, height, width), in the units that the transformer reads."""
    images = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    return pipeline.vae.encode(2 * images - 1).latent_dist.mean * pipeline.vae.config.scaling_factor


@torch.no_grad()
def decoded(pipeline: Any, latents: Tensor) -> Tensor:
    """Images in [0, 1] of latents."""
    return (pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)


def _centres(latents: Tensor, count: int, seed: int) -> Tensor:
    from sklearn.cluster import KMeans

    model = KMeans(count, n_init=1, random_state=seed % 2**32).fit(latents.flatten(1).double().cpu().numpy())
    return torch.from_numpy(model.cluster_centers_).to(latents).view(count, *latents.shape[1:])


def _pipeline(folder: str, device: torch.device) -> Any:
    """The model, read from a folder alone, with deterministic steps."""
    try:
        from diffusers import DDIMScheduler, DiTPipeline
        from diffusers.utils import logging
    except ImportError:
        raise MissingExtra("mgd3 needs diffusers. Run `pip install 'limbeck[diffusers]'`.") from None
    path = Path(folder).expanduser()
    if not (path / "model_index.json").is_file():
        raise MissingData(f"{path} holds no model_index.json. Give the folder of a DiTPipeline in diffusers' form.")
    logging.disable_progress_bar()
    try:
        with borrowed_global(0, "model"):  # modules are built by drawing from torch's global generator
            pipeline = DiTPipeline.from_pretrained(
                path, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
            )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadData(f"{path} can't be read as a DiTPipeline of safetensors: {error}.") from None
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    if pipeline.scheduler.config.prediction_type != "epsilon":
        raise BadData(f"{path} predicts {pipeline.scheduler.config.prediction_type}; mgd3 is written for the noise.")
    return pipeline.to(device)
