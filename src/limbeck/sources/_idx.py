"""The idx format: a header of magic number and dimensions, then unsigned bytes; and the sources that come in it."""

from __future__ import annotations

import math
import struct
from typing import Any, ClassVar

import numpy as np

from limbeck.errors import CorruptFile
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._files import Published

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
UNSIGNED_BYTE = 0x08


def read_idx(content: bytes, dimensions: int, name: str) -> np.ndarray[Any, Any]:
    """Unsigned bytes in the idx format, uint8 of the shape in the header.

    The header is two zero bytes, the type (0x08), the number of dimensions, then each size as a big-endian uint32.
    Raises `CorruptFile` for another type or number of dimensions, and where the length is not what the header says.
    """
    header = 4 + 4 * dimensions
    if len(content) < header or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise CorruptFile(f"{name} is no idx file of unsigned bytes. Get it again.")
    if content[3] != dimensions:
        raise CorruptFile(f"{name} has {content[3]} dimensions; {dimensions} are expected. Are two files exchanged?")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise CorruptFile(
            f"{name} should hold {math.prod(shape)} bytes for its shape {shape}, and holds {len(content) - header}. "
            "It is truncated or damaged. Get it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


class IdxSource(SourceVariant):
    """Four idx files, plain or gzipped: training and test, images and labels."""

    published: ClassVar[Published]
    names: ClassVar[tuple[str, ...]]
    mirrored: ClassVar[bool]

    folder: str = ""
    download: bool = False

    def read(self) -> RawData:
        held, genuine = self.published.contents(self.folder, self.download)
        arrays = [read_idx(held[name], 3 if "images" in name else 1, name) for name in FILES]
        name = self.published.name if genuine else "idx-files"
        names = self.names if genuine else ()  # files of another origin have other classes
        return RawData(name, (arrays[0], arrays[1]), (arrays[2], arrays[3]), None, names, self.mirrored)
