"""Samples as pictures: 8-bit pixels, a sheet with a row a class, a folder of PNG files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from limbeck.errors import BadData, NotApplicable
from limbeck.store import write_bytes
from limbeck.synthetic import SyntheticSet

Undo = Callable[[Tensor], Tensor]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_EDGE = 1  # pixels between samples, before scaling
_LEGIBLE = 48  # pixels a side that a sample is enlarged to
_WIDEST = 1600  # pixels across that no enlargement goes beyond


def pixels(x: Tensor, undo: Undo | None = None) -> Pixels:
    """Samples (n, channels, height, width) as 8-bit pictures (n, height, width, 1 or 3).

    `undo` takes prepared samples back to [0, 1] and what leaves that range is cut off there. Without it each picture
    is stretched between its own lowest and highest value, which shows its content but not its brightness. One and
    three channels are kept; any other number is shown by its mean. Raises `NotApplicable` for vectors.
    """
    if x.ndim != 4:
        raise NotApplicable(f"samples of shape {tuple(x.shape[1:])} are no pictures. Export vectors with `--to npz`.")
    shown = undo(x) if undo is not None else x
    values = shown.detach().cpu().double().numpy()  # (n, channels, height, width)
    if not np.isfinite(values).all():
        raise BadData("some samples hold values that are not finite, so they can't be drawn. Distil the set again.")
    if values.shape[1] not in (1, 3):
        values = values.mean(axis=1, keepdims=True)
    if undo is None:
        low, high = values.min(axis=(1, 2, 3), keepdims=True), values.max(axis=(1, 2, 3), keepdims=True)
        values = (values - low) / np.where(high > low, high - low, 1.0)
    scaled: Pixels = np.rint(values.clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return scaled


def png(picture: Pixels) -> bytes:
    """One picture (height, width, 1 or 3) as a PNG file's content."""
    content = BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(content, "PNG", optimize=True)
    return content.getvalue()


def sheet_png(
    images: Pixels, labels: Sequence[int] | np.ndarray[Any, Any], path: Path | str | None = None, columns: int = 0
) -> bytes:
    """A sheet of pictures, a row a class in the order of the labels; returns the PNG and writes it where asked.

    images (n, height, width, 1 or 3) uint8, labels (n,). `columns` cuts each class off after that many samples. Where
    every class has one sample, the sheet is as near to 5 : 2 as rows of classes can be. Samples are enlarged by a
    whole factor, so that a pixel stays a square. Raises `BadData` where the shapes do not fit.
    """
    classes = np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) != len(classes):
        raise BadData(
            f"a sheet needs uint8 pictures (n, height, width, 1 or 3) and n labels, not {images.dtype} "
            f"{images.shape} and {len(classes)} labels. Convert samples with `pixels` first."
        )
    if not len(images):
        raise BadData("there is no sample to draw. Choose a set that holds some.")
    rows = [np.flatnonzero(classes == name) for name in np.unique(classes)]
    if columns:
        rows = [row[:columns] for row in rows]
    if max(map(len, rows)) == 1:
        order = np.concatenate(rows)
        across = int(np.ceil(np.sqrt(2.5 * len(order))))
        rows = [order[start : start + across] for start in range(0, len(order), across)]
    content = png(_enlarged(_tiled(images, rows), images.shape[1]))
    if path is not None:
        write_bytes(Path(path), content)
    return content


def _tiled(images: Pixels, rows: Sequence[np.ndarray[Any, Any]]) -> Pixels:
    """Pictures in rows on white, an edge between them; (height, width, channels)."""
    _, height, width, channels = images.shape
    shape = (len(rows) * (height + _EDGE) - _EDGE, max(map(len, rows)) * (width + _EDGE) - _EDGE, channels)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for down, row in enumerate(rows):
        for across, which in enumerate(row):
            top, left = down * (height + _EDGE), across * (width + _EDGE)
            sheet[top : top + height, left : left + width] = images[which]
    return sheet


def _enlarged(sheet: Pixels, side: int) -> Pixels:
    """Every pixel as a square, so large that a sample's side is legible but the sheet no wider than a page."""
    factor = max(1, min(-(-_LEGIBLE // side), _WIDEST // sheet.shape[1]))
    return sheet.repeat(factor, axis=0).repeat(factor, axis=1)


def class_folder(label: int, classes: Sequence[str] | None = None) -> str:
    """A class's folder: its number, then its name as far as that can be a file name, so that the order is kept."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", str(classes[label])).strip("-")[:60] if classes else ""
    return f"{label:03d}-{name}" if name and name != str(label) else f"{label:03d}"


def export_png_folder(
    chosen: SyntheticSet, folder: Path | str, *, classes: Sequence[str] | None = None, undo: Undo | None = None
) -> Path:
    """Write every training sample as `<folder>/<class>/<number>.png`; returns the folder.

    Eight bits a channel and hard classes only, without a labeller: to train on, take npz or the Hugging Face layout.
    `classes` are names in label order and `undo` takes samples back to [0, 1] (see `pixels`). Raises `NotApplicable`
    for vectors.
    """
    check_classes(chosen, classes)
    samples = chosen.samples()
    for number, (picture, label) in enumerate(zip(pixels(samples.x, undo), samples.group.tolist(), strict=True)):
        write_bytes(Path(folder) / class_folder(label, classes) / f"{number:05d}.png", png(picture))
    return Path(folder)


def check_classes(chosen: SyntheticSet, classes: Sequence[str] | None) -> None:
    """Raises `BadData` unless there is a name for every class, or no name at all."""
    if classes is not None and len(classes) != chosen.domain.classes:
        raise BadData(
            f"{len(classes)} class names were given for {chosen.domain.classes} classes. Give one for each, in order."
        )
