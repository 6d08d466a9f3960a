r"""Store a set as codes of an autoencoder of your own: train a small one on a source's images, then distil with it.

    pip install 'limbeck[diffusers]'
    python examples/image_autoencoder.py "fashion-mnist(train_limit=10000)" autoencoder

takes 20 seconds of one core. It writes the folder of an `AutoencoderKL` in diffusers' form, and says how much of the
validation images' variance it gives back, and what a set pays for its decoder. Then

    limbeck distill "fashion-mnist(train_limit=10000)" "dm(decoder=autoencoder, lr_pixels=10, batch_real=64)" -k 20 \
        -c "convnet(width=32, depth=3)/adamw(lr=5e-3)/siamese/cosine(steps=150)" --seconds 30 --out fashion-codes

learns codes, which decode into images wherever the set is trained on: it carries its decoder. Images of 28x28 become
`--channels` numbers at 7x7 places, so 4 channels are a quarter of the pixels.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from limbeck.sources import load_source

BATCH = 32
DIVERGENCE_WEIGHT = 1e-4  # of the codes from a standard normal; small, as codes are learned and never drawn


def shown(source_x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Prepared images as an autoencoder sees them: three channels in [-1, 1] (n, 3, height, width)."""
    return (2 * (source_x * std + mean) - 1).expand(-1, 3, -1, -1)


def built(channels: int, width: int) -> AutoencoderKL:
    """An autoencoder that halves images twice."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(width, 2 * width, 2 * width), layers_per_block=1, latent_channels=channels,
        norm_num_groups=4, mid_block_add_attention=False, scaling_factor=1.0,
    )  # fmt: skip


def trained(vae: AutoencoderKL, images: Tensor, epochs: int, lr: float) -> None:
    """Squared error of the reconstruction plus a little divergence, by Adam at a rate that falls by half a cosine."""
    rule = torch.optim.Adam(vae.parameters(), lr=lr)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(rule, steps)
    for _ in range(steps):
        x = images[torch.randint(len(images), (BATCH,))]
        code = vae.encode(x).latent_dist
        loss = functional.mse_loss(vae.decode(code.sample()).sample, x) + DIVERGENCE_WEIGHT * code.kl().mean() / 100
        rule.zero_grad()
        loss.backward()
        rule.step()
        schedule.step()


@torch.no_grad()
def kept_variance(vae: AutoencoderKL, images: Tensor) -> float:
    """The share of the images' variance about their mean image that decoding their codes gives back."""
    left = sum(
        float(((vae.decode(vae.encode(x).latent_dist.mean).sample.mean(1) - x.mean(1)) ** 2).sum())
        for x in images.split(BATCH)
    )
    return 1 - left / float(((images - images.mean(0)).mean(1) ** 2).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="a source of images, standardised, such as fashion-mnist")
    parser.add_argument("folder", type=Path, help="where the autoencoder goes")
    parser.add_argument("--channels", type=int, default=4, help="numbers at each place of a code")
    parser.add_argument("--width", type=int, default=8, help="of the first layer; the others have twice as many")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    source = load_source(chosen.source)
    moments = (source.preprocessing.parameters[name] for name in ("mean", "std"))
    mean, std = (part.view(-1, 1, 1) for part in moments)
    torch.manual_seed(chosen.seed)
    vae = built(chosen.channels, chosen.width)
    begun = time.process_time()
    trained(vae, shown(source.train.x, mean, std), chosen.epochs, chosen.lr)
    vae.eval().save_pretrained(chosen.folder)
    decoder = sum(p.numel() for part in (vae.decoder, vae.post_quant_conv) for p in part.parameters())
    kept = kept_variance(vae, shown(source.validation.x, mean, std))
    print(f"{time.process_time() - begun:.0f} s; keeps {100 * kept:.1f} % of the validation images' variance.")
    places = math.prod(-(-side // 4) for side in source.domain.shape[1:])
    print(f"A set pays {4 * decoder} bytes for the decoder and {4 * places * chosen.channels} a sample.")


if __name__ == "__main__":
    main()
