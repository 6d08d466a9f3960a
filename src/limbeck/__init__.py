"""limbeck: dataset distillation with its limits measured.

    source = limbeck.Source.from_arrays(x, y)                       # or limbeck.load_source("digits")
    small = limbeck.distill(source, "dm", configuration, per_class=10)
    rows = limbeck.evaluate(small, configuration, source, seeds=range(3))
    rows += limbeck.reference(source, configuration, seeds=range(3))
    rows = limbeck.with_gaps(rows)
    limbeck.plan(rows, gap=0.1)                                     # from rows of several sizes and sets

A grid of all this, resumed after any stop, is a `Study`. `import limbeck` is light: torch is imported when the first
function that needs it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0.dev0"

_PUBLIC = {
    "Configuration": "limbeck.configuration",
    "SyntheticSet": "limbeck.synthetic",
    "Source": "limbeck.sources",
    "load_source": "limbeck.sources",
    "distill": "limbeck.distillation",
    "evaluate": "limbeck.evaluation",
    "reference": "limbeck.evaluation",
    "with_gaps": "limbeck.evaluation",
    "Study": "limbeck.study",
    "fit_scaling": "limbeck.laws.scaling",
    "plan": "limbeck.planner",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'limbeck' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
