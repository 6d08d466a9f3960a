"""SVHN: house numbers photographed from the street, 32x32."""

from __future__ import annotations

import io

import numpy as np
from scipy.io import loadmat

from limbeck.errors import CorruptFile
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._draws import Labelled
from limbeck.sources._files import Published

PUBLISHED = Published(
    name="svhn",
    sums={
        "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    },
    address="http://ufldl.stanford.edu/housenumbers/",
    advice="Get train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers/ and write "
    "svhn(folder=...); or svhn(download=true) where there is a network.",
)


class Svhn(SourceVariant):
    """99,289 colour photographs of house-number digits, 32x32, 10 classes, 73,257 to train on (cropped digits).

    Files: `folder`, else the data folder; with `download=true` they are fetched, their SHA-256 checked. The files'
    label 10 stands for the digit 0, and is read as 0.

    Source: Netzer et al. 2011, "Reading digits in natural images with unsupervised feature learning".
    """

    folder: str = ""
    download: bool = False

    def read(self) -> RawData:
        held, genuine = PUBLISHED.contents(self.folder, self.download)
        train, test = (read_mat(held[name], name) for name in PUBLISHED.sums)
        name, classes = (PUBLISHED.name, tuple("0123456789")) if genuine else ("svhn-format-files", ())
        return RawData(name, train, test, None, classes, mirror=False, layout="nchw")


def read_mat(content: bytes, name: str) -> Labelled:
    """Images (n, 3, 32, 32) uint8 and labels from `X` (32, 32, 3, n) and `y` (n, 1) of a MATLAB 5 file.

    Raises `CorruptFile`.
    """
    try:
        held = loadmat(io.BytesIO(content), variable_names=("X", "y"))
        images, labels = np.asarray(held["X"]), np.asarray(held["y"]).reshape(-1)
    except Exception as error:  # the parser raises whatever a damaged file makes it stumble over
        raise CorruptFile(f"{name} is no whole MATLAB file with X and y ({error}). Get it again.") from None
    if images.ndim != 4 or images.shape[2] != 3 or images.dtype != np.uint8 or images.shape[3] != len(labels):
        raise CorruptFile(
            f"{name} holds X {images.shape} {images.dtype} and {len(labels)} labels; X (height, width, 3, n) uint8 and "
            "n labels are expected. Get it again."
        )
    return images.transpose(3, 2, 0, 1), np.where(labels == 10, 0, labels)
