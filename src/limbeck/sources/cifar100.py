"""CIFAR-100: colour photographs, 32x32, of 100 classes."""

from __future__ import annotations

from typing import Literal

from limbeck.sources import RawData, SourceVariant
from limbeck.sources._cifar import read_records
from limbeck.sources._files import Published

FINE = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""
COARSE = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
"""
PUBLISHED = Published(
    name="cifar100",
    sums={
        "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
    },
    address="https://www.cs.toronto.edu/~kriz/",
    archive="cifar-100-binary.tar.gz",
    archive_sum="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    advice="Get the binary version, cifar-100-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html and "
    "write cifar100(folder=...); or cifar100(download=true) where there is a network.",
    nested=("cifar-100-binary",),
)


class Cifar100(SourceVariant):
    """60,000 colour photographs, 32x32, 100 fine or 20 coarse classes, 50,000 to train on; binary files, no pickle.

    Files: `folder` (unpacked or the .tar.gz), else the data folder; with `download=true` they are fetched, their
    SHA-256 checked.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".
    """

    folder: str = ""
    download: bool = False
    labels: Literal["fine", "coarse"] = "fine"

    def read(self) -> RawData:
        held, genuine = PUBLISHED.contents(self.folder, self.download)
        kept = 1 if self.labels == "fine" else 0  # the coarse label comes first
        train, test = (read_records(held[name], labels=2, kept=kept, name=name) for name in PUBLISHED.sums)
        classes = tuple((FINE if self.labels == "fine" else COARSE).split()) if genuine else ()
        return RawData(PUBLISHED.name if genuine else "cifar-format-files", train, test, None, classes, layout="nchw")
