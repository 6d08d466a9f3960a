"""Hugging Face layout: one parquet file and a card that says what the set is and how to load it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from limbeck.errors import MissingExtra
from limbeck.export.pictures import Undo, check_classes, pixels, png
from limbeck.labeller import Labeller
from limbeck.store import write_bytes
from limbeck.synthetic import SyntheticSet

DATA = "data/train-00000-of-00001.parquet"


def export_huggingface(
    chosen: SyntheticSet, folder: Path | str, *, classes: Sequence[str] | None = None, undo: Undo | None = None
) -> Path:
    """Write `data/train-*.parquet` and `README.md`, as `datasets.load_dataset(folder)` reads them; returns the folder.

    Columns: `image` (PNG, image sources only, for looking at), `label` (the class that the sample stands for),
    `soft_label` (classes,), and `x`, the prepared sample flattened, exactly what networks are trained on. `classes`
    and `undo` are as in `export_png_folder`. A labeller that the set carries is written to `labeller.safetensors`, and
    the card says how to label views with it; `soft_label` is what it says of the samples as they stand.

    Raises `MissingExtra` without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(
            "the Hugging Face layout is written with pyarrow, which is not installed. "
            "Run `pip install 'limbeck[huggingface]'`."
        ) from None
    check_classes(chosen, classes)
    samples = chosen.samples()
    columns: dict[str, Any] = {}
    if chosen.domain.is_image:
        columns["image"] = [{"bytes": png(one), "path": None} for one in pixels(samples.x, undo)]
    columns["label"] = samples.group.tolist()
    real = pyarrow.list_(pyarrow.float32())
    columns["soft_label"] = pyarrow.array(samples.y.float().tolist(), real)
    columns["x"] = pyarrow.array(samples.x.detach().float().flatten(1).tolist(), real)
    content = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    target = Path(folder)
    write_bytes(target / DATA, content.getvalue())
    if labeller := chosen.labeller:
        from safetensors.torch import save

        write_bytes(target / "labeller.safetensors", save(labeller.state()))
    write_bytes(target / "README.md", card(chosen, len(samples), classes).encode())
    return target


def card(chosen: SyntheticSet, n: int, classes: Sequence[str] | None = None) -> str:
    """The data set card: YAML for the loader, then what the set is, how it was made and what it may be used for."""
    names = list(map(str, classes)) if classes is not None else [str(label) for label in range(chosen.domain.classes)]
    # JSON is YAML, and keeps a name from being read as anything else.
    front = {
        "pretty_name": f"{chosen.source}, distilled with {chosen.method}",
        "license": "other",
        "license_name": "as-the-source",
        "tags": ["dataset-distillation", "synthetic", "limbeck"],
        "size_categories": ["n<1K" if n < 1000 else "1K<n<10K" if n < 10_000 else "10K<n<100K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": DATA}]}],
        "dataset_info": {"features": _features(chosen, names)},
    }
    yaml = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    shape = " x ".join(map(str, chosen.domain.shape))
    facts = {
        "method": chosen.method,
        "source": chosen.source,
        "k (stored samples)": chosen.k,
        "samples unfolded for training": n,
        "per class": chosen.per_class,
        "shape of a sample": shape,
        "bytes": chosen.bytes,
        "distilled with": chosen.configuration or "no configuration",
        "seed": chosen.seed,
        "learned step size": "none" if chosen.step_size is None else f"{chosen.step_size:.6g}",
        "digest": chosen.digest,
    }
    labeller = chosen.labeller
    facts |= {"labeller": labeller.architecture.full_spec} if labeller else {}
    table = "\n".join(f"| {key} | {_inline(value)} |" for key, value in facts.items())
    prepared = json.dumps(dict(chosen.preprocessing), indent=1, sort_keys=True).replace("```", "'''")
    return f"""---
{yaml}
---

# {_inline(front["pretty_name"])}

A synthetic set: {chosen.k} samples made so that training on them stands for training on all of the source.

| | |
|---|---|
{table}

## How to load it

```python
import numpy as np
from datasets import load_dataset

data = load_dataset("this folder", split="train").with_format("numpy")
x = np.stack(data["x"]).reshape(-1, {", ".join(map(str, chosen.domain.shape))})
y = np.stack(data["soft_label"])
```

Train on `x` and `y`. `image` is a picture of `x` to look at, in 8 bits; `label` is the class that a sample stands for.
{_of_labeller(labeller) if labeller else ""}
## Preprocessing

`x` is prepared as below. Test data must be prepared in the same way.

```json
{prepared}
```

## Licence

The samples derive from the source, so its licence and its terms govern them. State the source when you pass them on.

## What it is not

It stands for the source within the training configurations that it was evaluated with, up to the gap measured there.
It is no anonymous form of the source: no privacy guarantee comes with it.
"""


def _of_labeller(labeller: Labeller) -> str:
    return f"""
The set is made to be trained on with labels of every view: `labeller.safetensors` holds the parameters and buffers of a
trained network, under torch's names, of limbeck's architecture `{labeller.architecture.full_spec}`. The label of an
augmented view of a sample is `softmax(network(view) / {labeller.temperature:g})`, the network in evaluation mode. `y`
is that of the samples as they stand: without the network, train on it.
"""


def _features(chosen: SyntheticSet, names: list[str]) -> list[dict[str, Any]]:
    image = [{"name": "image", "dtype": "image"}] if chosen.domain.is_image else []
    label = {"name": "label", "dtype": {"class_label": {"names": {str(n): name for n, name in enumerate(names)}}}}
    return [*image, label, {"name": "soft_label", "sequence": "float32"}, {"name": "x", "sequence": "float32"}]


def _inline(value: object) -> str:
    """Text in a line of Markdown that starts no markup, table cell or HTML."""
    return escape(" ".join(str(value).split())).replace("|", "&#124;").replace("`", "&#96;").replace("[", "&#91;")
