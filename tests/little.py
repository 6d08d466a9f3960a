"""A study on generated arrays that runs in a second: for everything that must hold with real cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from limbeck.study import Study, StudyFolder, table

CONFIGURATIONS = ["mlp(width=8, depth=1)/adamw/none/cosine(steps=4)", "mlp(width=8, depth=1)/sgd/none/cosine(steps=4)"]


def write_arrays(path: Path, counts: tuple[int, ...] = (20, 20, 20), size: int = 6) -> Path:
    """Images whose class shows in their brightness, as the user's own .npz file."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    x = random.integers(0, 100, (len(labels), size, size)) + 50 * labels[:, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=x.astype(np.uint8), y_train=labels)
    return path


def little_toml(folder: Path, **changes: Any) -> str:
    """The text of a study of two methods, sizes, sets and configurations on arrays in a folder."""
    arrays = folder / "arrays.npz"
    if not arrays.exists():
        write_arrays(arrays)
    settings: dict[str, Any] = {
        "name": "little",
        "source": f"npz(path='{arrays}')",
        "methods": ["random", "dm(steps=2, batch_real=8)"],
        "per_class": [1, 3],
        "configurations": CONFIGURATIONS,
        "sets": 2,
        "seeds": 2,
        "reference_seeds": 2,
        "target_gap": 0.2,
    } | changes
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    return "\n".join([*lines, "[distill]", "candidates = 1", ""])


def little_study(folder: Path, **changes: Any) -> Study:
    return Study.read(little_toml(folder, **changes))


def opened(folder: Path, runs: str = "runs", **changes: Any) -> StudyFolder:
    """The study's folder, nothing run yet."""
    return StudyFolder.open(little_study(folder, **changes), folder / runs)


def results(folder: StudyFolder) -> list[dict[str, Any]]:
    """A study's table without what was measured of its run."""
    return [{key: value for key, value in row.items() if key != "cost_seconds"} for row in table(folder)]
