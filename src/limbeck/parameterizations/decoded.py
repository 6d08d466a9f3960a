"""Stored samples are latents of an image autoencoder of the user's own, whose decoder the set carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from limbeck.errors import BadData, CorruptFile, MissingData, MissingExtra, NotApplicable
from limbeck.parameterizations import NOTHING, Labels, Parameterization, Tensors, folded_labels, unfolded_labels
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.streams import borrowed_global

BATCH = 16  # images that are encoded at a time
DECODER = "decoder."


class Decoded(Parameterization):
    """Codes z in the latent space of a variational autoencoder: u = D(z) / 2 + 1/2, resized and prepared as the source.

    `model` is the folder of an `AutoencoderKL` in the form of the diffusers library (safetensors only, no network), or
    of a pipeline that has one in `vae/`. Codes start from the encoder's means, in the units that diffusion models read;
    D and its settings are stored with the set, so that it unfolds without the folder, and count in its bytes: worth it
    for many or large images. Unfolding needs diffusers. D is held fixed and its output not cut off at black and white.

    Matching in the latent space of a generative model is GLaD's (Cazenavette et al., CVPR 2023), which learns
    intermediate features of a StyleGAN as well. An encoder is no exact inverse: a sample comes back changed, and
    `fold` is not the nearest code. Images of other sizes are resized to a multiple of what D enlarges by, and grey ones
    shown in three equal channels.
    """

    content: ClassVar[str] = "codes"

    model: str = ""
    labels: Labels = "hard"

    @property
    def unfolding(self) -> str:
        return type(self)(labels=self.labels).spec

    def check(self, domain: Domain) -> None:
        if not self.model:
            raise MissingExtra("this form needs an autoencoder: give the folder of an AutoencoderKL, decoder=FOLDER.")
        if not domain.is_image:
            raise NotApplicable(f"an image decoder makes no vectors; this source's have {domain.shape[0]} features.")
        if domain.shape[0] not in (1, 3):
            raise NotApplicable(f"an image decoder makes images of 1 or 3 channels, not of {domain.shape[0]}.")

    def shared(self, source: Source) -> Tensors:
        """D's parameters by name, its settings as JSON text in bytes, and each channel's map from u to prepared."""
        kind, parameters = source.preprocessing.kind, source.preprocessing.parameters
        if kind == "zca":
            raise NotApplicable("whitened images are no images to a decoder. Use preprocessing=standardise or none.")
        vae = _vae(self.model)
        held = {DECODER + name: tensor.detach().clone() for name, tensor in _Decoder(vae).named_parameters()}
        settings = json.dumps({key: value for key, value in vae.config.items() if not key.startswith("_")})
        channels = torch.ones(source.domain.shape[0], 1, 1)
        std, mean = (parameters["std"], parameters["mean"]) if kind == "standardise" else (channels, 0 * channels)
        placed = {"scale": channels / std, "shift": -mean / std}
        return {**held, **placed, "decoder_settings": torch.tensor(list(settings.encode()), dtype=torch.uint8)}

    @torch.no_grad()
    def fold(self, start: Samples, domain: Domain, shared: Mapping[str, Tensor] = NOTHING) -> Tensors:
        vae = _vae(self.model)
        side = 2 ** (len(vae.config.block_out_channels) - 1)
        size = [-(-length // side) * side for length in domain.shape[1:]]
        unit = (start.x.cpu() - shared["shift"].to("cpu", start.x.dtype)) / shared["scale"].to("cpu", start.x.dtype)
        means = []
        for part in unit.float().expand(-1, 3, -1, -1).split(BATCH):
            shown = functional.interpolate(part, size, mode="bilinear", antialias=True)
            means.append(vae.encode(2 * shown - 1).latent_dist.mean * vae.config.scaling_factor)
        # In plain order, as files keep them: the kernels of another order round otherwise.
        return {"codes": torch.cat(means).to(start.x).contiguous(), **folded_labels(self.labels, start, domain)}

    def unfold(self, tensors: Mapping[str, Tensor], group: Tensor, domain: Domain) -> Samples:
        codes = tensors["codes"]
        decoder = _decoder(bytes(tensors["decoder_settings"].tolist()))
        parameters = {name: tensors[DECODER + name] for name, _ in decoder.named_parameters()}
        unit = functional_call(decoder, parameters, (codes / decoder.scaling,)) / 2 + 0.5
        x = functional.interpolate(unit, domain.shape[1:], mode="bilinear", antialias=True)
        x = x.mean(1, keepdim=True) if domain.shape[0] == 1 else x
        x = x * tensors["scale"] + tensors["shift"]
        return Samples(x, unfolded_labels(self.labels, tensors, group, domain, x.dtype), group)


class _Decoder(nn.Module):
    """The half of an autoencoder that makes images (n, 3, height, width) in [-1, 1] of latents."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.before, self.body = vae.post_quant_conv, vae.decoder
        self.scaling = float(vae.config.scaling_factor)

    def forward(self, latents: Tensor) -> Tensor:
        made: Tensor = self.body(latents if self.before is None else self.before(latents))
        return made


def _library() -> Any:
    try:
        from diffusers import AutoencoderKL
        from diffusers.utils import logging
    except ImportError:
        raise MissingExtra("sets of latents need diffusers. Run `pip install 'limbeck[diffusers]'`.") from None
    logging.disable_progress_bar()
    return AutoencoderKL


@lru_cache(maxsize=1)
def _vae(folder: str) -> Any:
    """The autoencoder, read from a folder alone."""
    library, path = _library(), Path(folder).expanduser()
    path = path / "vae" if (path / "vae" / "config.json").is_file() else path
    if not (path / "config.json").is_file():
        raise MissingData(f"{path} holds no config.json. Give the folder of an AutoencoderKL in diffusers' form.")
    try:
        with borrowed_global(0, "model"):  # modules are built by drawing from torch's global generator
            vae = library.from_pretrained(path, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadData(f"{path} can't be read as an AutoencoderKL of safetensors: {error}.") from None
    return vae.eval().requires_grad_(False)


@lru_cache(maxsize=4)
def _decoder(settings: bytes) -> Any:
    """A decoder without numbers: they are given to each call."""
    try:
        said = json.loads(settings)
        if not isinstance(said, dict):  # the library would take a text for a name on the network
            raise ValueError("they are no table")
        with borrowed_global(0, "model"), torch.device("meta"):
            return _Decoder(_library().from_config(said)).eval()
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise CorruptFile(
            f"the settings of a set's decoder can't be read ({error}). Restore the set from a copy."
        ) from None
