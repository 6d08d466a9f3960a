"""CIFAR-10: colour photographs, 32x32."""

from __future__ import annotations

from limbeck.sources import RawData, SourceVariant
from limbeck.sources._cifar import joined, read_records
from limbeck.sources._files import Published

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SUMS = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
PUBLISHED = Published(
    name="cifar10",
    sums=SUMS,
    address="https://www.cs.toronto.edu/~kriz/",
    archive="cifar-10-binary.tar.gz",
    archive_sum="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    advice="Get the binary version, cifar-10-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html and write "
    "cifar10(folder=...); or cifar10(download=true) where there is a network.",
    nested=("cifar-10-batches-bin",),
)


class Cifar10(SourceVariant):
    """60,000 colour photographs, 32x32, 10 classes, 50,000 to train on; from the binary distribution, no pickle.

    Files: `folder` (unpacked or the .tar.gz), else the data folder; with `download=true` they are fetched, their
    SHA-256 checked.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".
    """

    folder: str = ""
    download: bool = False

    def read(self) -> RawData:
        held, genuine = PUBLISHED.contents(self.folder, self.download)
        parts = [read_records(held[name], labels=1, kept=0, name=name) for name in SUMS]
        name, classes = (PUBLISHED.name, CLASSES) if genuine else ("cifar-format-files", ())
        return RawData(name, joined(parts[:-1]), parts[-1], None, classes, layout="nchw")
