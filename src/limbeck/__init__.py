"""limbeck: dataset distillation with its limits measured.

`import limbeck` is light: torch is imported when the first function that needs it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Configuration": "limbeck.configuration",
    "SyntheticSet": "limbeck.synthetic",
    "Source": "limbeck.sources",
    "load_source": "limbeck.sources",
    "distill": "limbeck.distillation",
    "evaluate": "limbeck.evaluation",
    "Study": "limbeck.study",
    "fit_scaling": "limbeck.laws.scaling",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'limbeck' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
