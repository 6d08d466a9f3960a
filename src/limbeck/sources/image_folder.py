"""A folder of images, one sub-folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from limbeck.errors import BadData, BadSetting, MissingData
from limbeck.sources import RawData, SourceVariant
from limbeck.sources._draws import Labelled

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
SPLITS = {"train": ("train", "training"), "validation": ("validation", "val", "valid"), "test": ("test", "testing")}


class ImageFolder(SourceVariant):
    """Your own images: `path/<class>/<image>`, or `path/train/<class>/<image>` with `validation` and `test` beside it.

    Each image is cropped to its central square and scaled to `size` x `size` pixels (bicubic). Splits that are not
    there are held out of the training images by digest. The classes are the names of the sub-folders, in order.
    """

    path: str = ""
    size: int = Field(default=32, ge=1, le=1024, description="height and width in pixels")
    channels: Literal["rgb", "grey"] = "rgb"
    mirror: bool = Field(default=True, description="whether a left-right mirrored image keeps its class")
    test_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)

    def read(self) -> RawData:
        if not self.path:
            raise BadSetting("image-folder needs a path: image-folder(path=pictures, size=32).")
        root = Path(self.path).expanduser()
        folders = {split: _split_folder(root, names) for split, names in SPLITS.items()}
        train = folders["train"] or root
        classes = tuple(folder.name for folder in _sub_folders(train))
        if not classes:
            raise BadData(f"{train} has no sub-folders. Put the images into one sub-folder a class: {train}/<class>/.")
        if empty := [name for name in classes if not _images(train / name)]:
            raise BadData(
                f"{train / empty[0]} holds no images ({', '.join(sorted(ENDINGS))}). Put some there, or remove it."
            )
        held = {
            split: self._labelled(folder, classes)
            for split, folder in folders.items()
            if folder is not None and split != "train"
        }
        return RawData(
            root.name or "images",
            self._labelled(train, classes),
            held.get("test"),
            held.get("validation"),
            classes,
            self.mirror,
            "nchw",
            self.test_fraction,
        )

    def _labelled(self, folder: Path, classes: tuple[str, ...]) -> Labelled:
        unknown = [inner.name for inner in _sub_folders(folder) if inner.name not in classes]
        if unknown:
            raise BadData(
                f"{folder} has the class '{unknown[0]}', which has no training images. Add some or remove it."
            )
        files = [(path, label) for label, name in enumerate(classes) for path in _images(folder / name)]
        if not files:
            raise BadData(f"{folder} holds no images ({', '.join(sorted(ENDINGS))}) in its sub-folders.")
        channels = 3 if self.channels == "rgb" else 1
        images = np.empty((len(files), channels, self.size, self.size), dtype=np.uint8)
        broken: list[str] = []
        for place, (path, _) in enumerate(files):
            try:
                images[place] = self._image(path)
            except BadData as error:
                broken.append(str(error))
        if broken:
            others = f" {len(broken)} of {len(files)} images can't be read." if len(broken) > 1 else ""
            raise BadData(broken[0] + others)
        return images, np.array([label for _, label in files])

    def _image(self, path: Path) -> np.ndarray[Any, Any]:
        try:
            with Image.open(path) as opened:
                upright = ImageOps.exif_transpose(opened).convert("RGB" if self.channels == "rgb" else "L")
                small = ImageOps.fit(upright, (self.size, self.size), Image.Resampling.BICUBIC)
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise BadData(f"{path} can't be read as an image ({error}). Replace or remove it.") from None
        pixels: np.ndarray[Any, Any] = np.asarray(small, dtype=np.uint8)
        return pixels.transpose(2, 0, 1) if self.channels == "rgb" else pixels[None]


def _split_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The split's folder, where the root is divided into splits (it then has one for training)."""
    if not root.is_dir():
        raise MissingData(f"{root.absolute()} is no folder. Give the folder that holds one sub-folder a class.")
    if not any((root / name).is_dir() for name in SPLITS["train"]):
        return None
    return next((root / name for name in names if (root / name).is_dir()), None)


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    found = folder.rglob("*") if folder.is_dir() else iter(())
    return sorted(path for path in found if path.suffix.lower() in ENDINGS and path.is_file())
