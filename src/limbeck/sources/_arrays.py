"""Arrays from outside: checked, in one layout, or refused with what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.errors import BadData, nearest
from limbeck.sources._parts import Part

Layout = str  # "auto", "nchw" or "nhwc"


def checked_samples(x: Any, layout: Layout = "auto", what: str = "x_train") -> np.ndarray[Any, Any]:
    """Samples as uint8 or float32, images (n, channels, height, width) or vectors (n, features).

    Images may come as NCHW, NHWC or NHW; `auto` takes the smaller of axes 1 and 3 for the channels (NCHW at a tie).
    Raises `BadData` for other shapes, types, NaN and infinity.
    """
    array = np.asarray(x)
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise BadData(
            f"{what} has shape {array.shape}. It must hold samples: images (n, channels, height, width), "
            "(n, height, width, channels) or (n, height, width), or vectors (n, features); none of them empty."
        )
    if array.dtype.kind not in "uifb":
        raise BadData(f"{what} has type {array.dtype}; numbers are needed (uint8 or float). Convert it.")
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and (layout == "nhwc" or (layout == "auto" and array.shape[3] < array.shape[1])):
        array = array.transpose(0, 3, 1, 2)
    if array.dtype.kind in "ui" and array.dtype != np.uint8:
        bytes_like = array.ndim == 4 and array.min() >= 0 and 1 < array.max() <= 255
        array = array.astype(np.uint8 if bytes_like else np.float32)
    elif array.dtype != np.uint8:
        array = array.astype(np.float32, copy=False)
        _refuse_infinite(array, what)
    return np.ascontiguousarray(array)


def numbered(
    y: Any, names: tuple[str, ...] = (), what: str = "y_train"
) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Labels that are texts as numbers, with the class names; numbers and the names as they are.

    Texts are numbered by `names`, or where there are none in their sorted order, which then become the names (numbers
    that were read as text in the order of numbers). Raises `BadData` for a text that is no class name.
    """
    labels = np.asarray(y)
    texts = labels.dtype.kind == "U" or (
        labels.dtype == object and labels.size > 0 and all(isinstance(label, str) for label in labels.flat)
    )
    if not texts or labels.ndim != 1:
        return labels, names
    known = names or tuple(sorted(set(labels.tolist()), key=_order))
    place = {name: number for number, name in enumerate(known)}
    if odd := next((label for label in labels.tolist() if label not in place), None):
        raise BadData(f"{what} holds the label '{odd}', which is no class. {nearest(odd, known)}")
    return np.array([place[label] for label in labels.tolist()], dtype=np.int64), known


def _order(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def checked_labels(y: Any, length: int, classes: int, what: str = "y_train") -> np.ndarray[Any, Any]:
    """Labels as int64 (n,), in 0..classes-1; `classes` 0 means not known yet. Raises `BadData`."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = " Of one-hot rows, give argmax(1)." if labels.ndim == 2 else ""
        raise BadData(f"{what} has shape {labels.shape}; one whole number a sample is needed, shape (n,).{hint}")
    if len(labels) != length:
        raise BadData(f"{what} has {len(labels)} labels for {length} samples. Give one label a sample.")
    if labels.dtype.kind not in "uifb":
        raise BadData(f"{what} has type {labels.dtype}. Give class numbers 0, 1, 2, ... or texts, one a sample.")
    whole = labels.astype(np.float64)
    if not np.isfinite(whole).all() or (whole != np.floor(whole)).any():
        odd = labels[~np.isfinite(whole) | (whole != np.floor(whole))][0]
        raise BadData(
            f"{what} holds {odd}, which is no whole number. Labels number the classes 0, 1, 2, ...; of quantities to "
            "be predicted make classes first, such as numpy.digitize(y, edges)."
        )
    if (low := whole.min()) < 0 or whole.max() >= (classes or length):  # every class needs samples
        worst = int(low if low < 0 else whole.max())
        allowed = f"0 to {classes - 1}" if classes else "0, 1, 2, ..."
        raise BadData(f"{what} holds the label {worst}; the classes are {allowed}. Correct it or name more classes.")
    return labels.astype(np.int64)


def checked_classes(
    labels: np.ndarray[Any, Any], names: tuple[str, ...], held_out: np.ndarray[Any, Any] | None = None
) -> tuple[str, ...]:
    """The class names, or numbers in their place. Raises `BadData` where a class has fewer than 2 training samples.

    `held_out` are the labels of a test split that was drawn before, for the message.
    """
    names = names or tuple(str(number) for number in range(int(labels.max()) + 1))
    counts = np.bincount(labels, minlength=len(names))
    if len(names) < 2 or np.count_nonzero(counts) < 2:
        only = names[int(labels[0])]
        raise BadData(f"all {len(labels)} training samples are of one class ('{only}'). Two or more are needed.")
    if (poor := int(counts.argmin())) >= 0 and counts[poor] < 2:
        if poor == 0 and counts[0] == 0 and counts[1:].all():
            last = len(counts) - 1
            raise BadData(f"the labels are 1 to {last}, without gaps but without 0. Number the classes from 0: y - 1.")
        if (different := np.count_nonzero(counts)) > len(labels) / 2:
            raise BadData(
                f"{len(labels)} training samples have {different} different labels; every class needs 2 samples or "
                "more. Of quantities to be predicted make classes first, such as numpy.digitize(y, edges)."
            )
        drawn = 0 if held_out is None else int((held_out == poor).sum())
        left = f" left, as {drawn} of its {drawn + counts[poor]} went to the test split" if drawn else ""
        raise BadData(
            f"class {poor} ('{names[poor]}') has {counts[poor]} training sample(s){left}; 2 are needed, one of them to "
            "validate on. Add samples, or drop the class and number the others 0, 1, 2, ... without gaps."
        )
    return names


def _refuse_infinite(array: np.ndarray[Any, Any], what: str) -> None:
    pieces = Part.whole(array).pieces()
    bad = ~np.concatenate([np.isfinite(piece.reshape(len(piece), -1)).all(axis=1) for piece in pieces])
    if bad.any():
        raise BadData(
            f"{what}: {int(bad.sum())} of {len(array)} samples hold NaN or infinity, the first at index "
            f"{int(bad.argmax())}. Remove them, or fill them in (numpy.nan_to_num)."
        )
