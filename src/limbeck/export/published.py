"""Published `.pt` files come in here alone: read in a process of its own that can neither run code nor grow.

`.pt` is pickle. torch.load(weights_only=True) builds tensors, containers and numbers and refuses everything else; the
process it runs in has no environment, little time and memory, and hands back plain arrays.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limbeck.errors import BadData, CorruptFile, MissingData
from limbeck.parameterizations.pixels import Pixels
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.synthetic import SyntheticSet

SECONDS = 60
_CHILD = "import sys; from limbeck.export.published import main; sys.exit(main(*sys.argv[1:]))"
_IMAGES, _LABELS = ("images", "image_syn", "x"), ("labels", "label_syn", "y")


def import_published_pt(
    path: Path | str, labels: Path | str | None = None, *, classes: int | None = None, experiment: int = 0
) -> Samples:
    """The samples of a published `.pt` file; x (n, ...) float32, y (n, classes), group (n,).

    Understood: `{"data": [[images, labels], ...]}` (DC, DSA, DM; `experiment` chooses), `[images, labels]`, a
    dictionary with images and labels, and a bare tensor with its labels in a second file (MTT). Hard labels become
    one-hot rows; soft labels must be probabilities. x is taken as it stands: prepared in the way of its authors.

    Raises `MissingData`, `CorruptFile` (unreadable, or anything but tensors inside), `BadData` (another layout).
    """
    arrays = _read([Path(path), *([Path(labels)] if labels is not None else [])], experiment)
    if "labels" not in arrays:
        raise BadData(f"{path} holds samples without labels. Give the file with their labels as well.")
    return _samples(Path(path), arrays["images"], arrays["labels"], classes)


def published_set(samples: Samples, source: Source, *, method: str = "published") -> SyntheticSet:
    """Published samples as a set of a source, which they are taken to be prepared as: soft labels stay soft.

    `method` is what its rows are to be called. Raises `BadData` where shape or classes are not the source's.
    """
    shape, classes = tuple(samples.x.shape[1:]), samples.y.shape[1]
    if shape != source.domain.shape or classes != source.domain.classes:
        raise BadData(
            f"the samples have shape {shape} and {classes} classes, {source.spec} has {source.domain.shape} and "
            f"{source.domain.classes}. Give the source that they were distilled from."
        )
    counts = torch.bincount(samples.group, minlength=classes)
    if not counts.min():
        raise BadData(
            f"no sample stands for class '{source.class_names[int(counts.argmin())]}'. Every class needs one."
        )
    hard = bool(((samples.y == 0) | (samples.y == 1)).all())
    form = Pixels(labels="hard" if hard else "soft")
    tensors = {"pixels": samples.x} if hard else {"pixels": samples.x, "logits": samples.y.clamp_min(1e-12).log()}
    return SyntheticSet(
        tensors=tensors,
        group=samples.group,
        parameterization=form.spec,
        domain=source.domain,
        preprocessing=source.preprocessing.about(),
        method=method,
        source=source.spec,
        per_class=int(counts.min()),
        provenance={"source_digest": source.digest, "class_names": list(source.class_names)},
    )


def _samples(path: Path, images: np.ndarray[Any, Any], given: np.ndarray[Any, Any], classes: int | None) -> Samples:
    x = torch.from_numpy(images).float()
    if len(given) != len(images) or given.ndim not in (1, 2) or not len(given):
        raise BadData(
            f"{path} holds {len(images)} samples and labels of shape {given.shape}: they do not belong together."
        )
    if not torch.isfinite(x).all() or not np.isfinite(given).all():
        raise BadData(f"{path} holds numbers that are not finite. Ask its authors for a whole copy.")
    if given.ndim == 2:
        y = torch.from_numpy(given).float()
        if (y < 0).any() or not torch.allclose(y.sum(1), torch.ones(len(y)), atol=1e-3):
            raise BadData(f"{path} holds labels that are no probabilities (perhaps logits). Apply a softmax first.")
        return Samples(x, y / y.sum(1, keepdim=True), y.argmax(1))
    hard = torch.from_numpy(given).long()
    count = classes if classes is not None else int(hard.max()) + 1
    if (given != np.round(given)).any() or hard.min() < 0 or hard.max() >= count:
        raise BadData(f"{path} holds labels that are no classes 0 to {count - 1}. Check the number of classes.")
    return Samples.hard(x, hard, count)


def _read(paths: list[Path], experiment: int) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays `images` and, where there are any, `labels`, through the limited process."""
    for path in paths:
        if not path.is_file():
            raise MissingData(f"{path} is not there. Check the path.")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "arrays.npz"
        command = [
            sys.executable,
            "-P",
            "-c",
            _CHILD,
            str(experiment),
            str(target),
            *(str(path.resolve()) for path in paths),
        ]
        # Only what Python needs to find its own packages: no keys, no home folder.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, env=environment, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise CorruptFile(f"{paths[0]} was not read within {SECONDS} seconds, so it was left alone.") from None
        if done.returncode == 3:
            raise BadData(f"{paths[0]} {done.stdout.strip()[:400]}")
        if done.returncode != 0 or not target.is_file():
            raise CorruptFile(
                f"{paths[0]} can't be read safely: it is damaged, or holds more than tensors, lists and numbers. "
                "Nothing in it was run. Ask its authors for safetensors or npz."
            )
        with np.load(target, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def _limit(size: int) -> None:
    """Cap this process: processor time, file size, and memory beyond what is already mapped (where the system can)."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size + 2**26, 2 * size + 2**26))
    mapped = Path("/proc/self/statm")
    if mapped.exists():
        room = int(mapped.read_text().split()[0]) * resource.getpagesize() + 8 * size + 2**29
        resource.setrlimit(resource.RLIMIT_AS, (room, room))


def _load(path: Path) -> Any:
    """The file's content with weights_only=True, numpy's bare numbers allowed (DC stores accuracies as such)."""
    numbers: list[Any] = [np.dtype, type(np.dtype("float64")), type(np.dtype("float32")), type(np.dtype("int64"))]
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    numbers += [scalar, (scalar, "numpy.core.multiarray.scalar")]
    with torch.serialization.safe_globals(numbers):
        return torch.load(path, map_location="cpu", weights_only=True)


def _chosen(content: Any, experiment: int) -> tuple[Any, Any]:
    """Images and labels (or `None`) out of the layouts that are understood. Raises `BadData`."""
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        if not 0 <= experiment < len(content["data"]):
            raise BadData(f"holds {len(content['data'])} experiments, numbered from 0; {experiment} is none of them.")
        content = content["data"][experiment]
    if isinstance(content, dict):
        found = [next((content[name] for name in names if name in content), None) for names in (_IMAGES, _LABELS)]
    elif isinstance(content, list | tuple) and len(content) == 2:
        found = list(content)
    else:
        found = [content, None]
    if not isinstance(found[0], torch.Tensor) or not isinstance(found[1], torch.Tensor | None):
        raise BadData("has a layout that is not understood: neither images with labels nor a single tensor.")
    return found[0], found[1]


def main(experiment: str, target: str, *paths: str) -> int:
    """What the limited process does: read samples, and labels from a second file, and write plain arrays to `target`.

    Returns its exit code: 3 for a layout that is not understood, with the reason printed.
    """
    _limit(sum(Path(path).stat().st_size for path in paths))
    try:
        found = [_chosen(_load(Path(path)), int(experiment)) for path in paths]
    except BadData as error:
        print(error)
        return 3
    images, labels = found[0][0], found[-1][0] if len(paths) > 1 else found[0][1]
    arrays = {"images": images} if labels is None else {"images": images, "labels": labels}
    np.savez(target, **{name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()})
    return 0
