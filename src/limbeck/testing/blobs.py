"""Small generated sources on which every promise can be tried in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from limbeck.sources import Source
from limbeck.streams import stream


def blobs(
    shape: tuple[int, ...] = (1, 8, 8), counts: Sequence[int] = (24, 24, 24), *, spread: float = 1.0, seed: int = 0
) -> Source:
    """Gaussian clouds, one a class: x = mu_c + spread * noise, with |mu_c|^2 = 9 in expectation.

    `shape` is that of one sample, images (channels, height, width) or vectors (features,); `counts` are the samples
    of each class before the splits. Classes overlap more as `spread` grows.
    """
    generator = stream(seed, "blobs", *shape)
    centres = 3.0 * torch.randn(len(counts), *shape, generator=generator) / math.sqrt(math.prod(shape))
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    x = centres[labels] + spread * torch.randn(len(labels), *shape, generator=generator) / math.sqrt(math.prod(shape))
    test = centres[labels] + spread * torch.randn(len(labels), *shape, generator=generator) / math.sqrt(
        math.prod(shape)
    )
    return Source.from_arrays(
        x.numpy(), labels.numpy(), test.numpy(), labels.numpy(), name="blobs", layout="nchw", mirror=False
    )
