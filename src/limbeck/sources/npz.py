"""The user's own arrays, from one .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from limbeck.errors import BadSetting
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._npz import read_npz


class Npz(SourceVariant):
    """Your own arrays: `x_train`, `y_train`, and if you have them `x_test`, `y_test`, `x_validation`, `y_validation`.

    Images are (n, channels, height, width), (n, height, width, channels) or (n, height, width), uint8 or float;
    vectors are (n, features). Labels number the classes 0, 1, 2, ...; an array `class_names` of texts may name them.
    What is not there is held out of the training samples by digest. Nothing in the file is executed (no pickle).
    """

    path: str = ""
    mirror: bool = Field(default=True, description="whether a left-right mirrored image keeps its class")
    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    test_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)

    def read(self) -> RawData:
        if not self.path:
            raise BadSetting("npz needs a file: npz(path=mine.npz). Write it with numpy.savez(path, x_train=..., ...).")
        return read_npz(Path(self.path).expanduser(), self.mirror, self.layout, self.test_fraction)
