"""Randomness is an argument: independent streams derived by purpose from one seed.

A stream is named, not passed along (`stream(seed, "init", cell, step)`), so a resumed run needs no saved generator
state, and the global generators of torch, numpy and Python are never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose; different purposes give independent seeds."""
    text = "\x1f".join([str(int(seed)), *(str(part) for part in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU torch generator for one purpose. Draw on the CPU and move, so that every device sees the same numbers."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))


def numpy_stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(derive(seed, *purpose)))


@contextmanager
def borrowed_global(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run code that can only use torch's global generator (module constructors), and put that generator back."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, *purpose))
        yield
