"""Fashion-MNIST: articles of clothing, 28x28."""

from __future__ import annotations

from typing import ClassVar

from limbeck.sources._files import Published
from limbeck.sources._idx import FILES, IdxSource

SUMS = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)


class FashionMnist(IdxSource):
    """70,000 grey images of clothes, 28x28, 10 classes, 60,000 to train on.

    Files: `folder`, else those of Debian's package dataset-fashion-mnist, else the data folder; with `download=true`
    they are fetched, their SHA-256 checked.

    Source: Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747 (MIT licence).
    """

    published: ClassVar[Published] = Published(
        name="fashion-mnist",
        sums=dict(zip(FILES, SUMS, strict=True)),
        address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        advice="Run `apt-get install dataset-fashion-mnist`, or write fashion-mnist(download=true) where there is a "
        "network, or fashion-mnist(folder=...).",
        system=("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist"),
        nested=("raw", "FashionMNIST/raw"),
        packed=True,
    )
    names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    mirrored: ClassVar[bool] = True
