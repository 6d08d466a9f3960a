"""The package as a user meets it: light to import, and its names stay what they are after use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import limbeck


def test_importing_limbeck_loads_no_torch():
    loaded = "import sys, limbeck; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_public_functions_stay_functions_after_their_modules_were_imported():
    import limbeck.distillation
    import limbeck.evaluation

    for _ in range(2):
        for name in limbeck.__all__:
            assert callable(getattr(limbeck, name)) or isinstance(getattr(limbeck, name), str), name


def test_from_sets_to_an_answer_without_a_study() -> None:
    """The lines of the package's own help: sets of several sizes, their rows, the full data's, gaps, a plan."""
    random = np.random.default_rng(0)
    y = np.arange(240) % 3
    source = limbeck.Source.from_arrays(random.standard_normal((240, 4)) + 2 * np.eye(4)[y], y)
    configuration = "mlp(width=8, depth=1)/adamw(lr=1e-2)/none/cosine(steps=40)"
    rows = limbeck.reference(source, configuration, seeds=range(2))
    for per_class in (1, 2, 5, 10):
        for seed in range(2):
            small = limbeck.distill(source, "random", configuration, per_class, seed=seed)
            rows += limbeck.evaluate(small, configuration, source, seeds=range(2))
    rows = limbeck.with_gaps(rows)
    full = np.mean([row["error"] for row in rows if row["method"] == "reference"])
    assert all(row["gap"] == pytest.approx(row["error"] - full) for row in rows)
    planned = limbeck.plan(rows, gap=0.2)
    assert planned.sentence.startswith("For a gap of 20 points")


def test_every_module_function_and_class_says_what_it_is() -> None:
    """Read, not imported: those of optional packages too."""
    for name in limbeck.__all__:
        assert name.startswith("__") or (getattr(limbeck, name).__doc__ or "").strip(), name
    root = Path(limbeck.__path__[0])
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for part in tree.body:
            if isinstance(part, ast.FunctionDef | ast.ClassDef) and not part.name.startswith("_"):
                assert ast.get_docstring(part), f"{path}: {part.name}"
