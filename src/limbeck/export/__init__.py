"""Synthetic sets in the forms that others use: npz, PNG folders, Hugging Face layout, sheets; published `.pt` in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from limbeck.digest import canonical
from limbeck.export.huggingface import export_huggingface
from limbeck.export.pictures import Undo, export_png_folder, pixels, sheet_png
from limbeck.export.published import import_published_pt, published_set
from limbeck.labeller import PREFIX
from limbeck.sources import Preprocessing
from limbeck.store import write_bytes
from limbeck.synthetic import SyntheticSet

__all__ = [
    "Undo",
    "export_huggingface",
    "export_npz",
    "export_png_folder",
    "import_published_pt",
    "pixels",
    "published_set",
    "sheet_png",
]


def export_npz(chosen: SyntheticSet, path: Path | str, preprocessing: Preprocessing | None = None) -> Path:
    """Write the training samples as numpy arrays, exactly as networks see them; returns the file.

    Arrays: `x` (n, *shape) float, `y` (n, classes) rows summing to 1, `group` (n,) int64, and `about`, a JSON text
    with the method, source, class names, preprocessing and digest. With `preprocessing` also its own numbers, to
    prepare other samples in the same way: `mean` and `std`, or `mean`, `whiten` and `colour` (see `Preprocessing`).
    Where the set carries a labeller, `y` is what it says of the samples as they stand; its parameters and buffers are
    the arrays `labeller.*` under torch's names, and `about` has its architecture and temperature T: while training,
    the label of a view x is softmax(network(x) / T). Nothing is pickled: `numpy.load(path)` reads it as it is.
    """
    samples, labeller = chosen.samples(), chosen.labeller
    about = {
        "method": chosen.method,
        "source": chosen.source,
        "k": chosen.k,
        "per_class": chosen.per_class,
        "configuration": chosen.configuration,
        "preprocessing": dict(chosen.preprocessing),
        "class_names": chosen.provenance.get("class_names"),
        "step_size": chosen.step_size,
        "digest": chosen.digest,
    }
    about |= {"labeller": labeller.about()} if labeller else {}
    content = BytesIO()
    arrays = {name: getattr(samples, name).detach().cpu().numpy() for name in ("x", "y", "group")}
    if preprocessing is not None:
        arrays |= {name: tensor.numpy() for name, tensor in preprocessing.tensors().items()}
    if labeller is not None:
        arrays |= {PREFIX + name: tensor.numpy() for name, tensor in labeller.state().items()}
    np.savez_compressed(content, **arrays, about=np.array(canonical(about).decode()))
    write_bytes(Path(path), content.getvalue())
    return Path(path)
