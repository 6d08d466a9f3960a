"""Sources: real labelled data with fixed splits, declared preprocessing and a digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from limbeck.variants import make

if TYPE_CHECKING:
    from limbeck.samples import Domain, Samples


@dataclass(frozen=True)
class Source:
    """A real labelled data set, prepared: training, validation and test samples that never change.

    Validation is drawn from the training file by digest; the test split is touched by evaluation alone.
    """

    name: str
    spec: str
    domain: Domain
    class_names: tuple[str, ...]
    train: Samples
    validation: Samples
    test: Samples
    digest: str


@lru_cache(maxsize=2)
def load_source(spec: str) -> Source:
    """Read a source from its text, such as `digits` or `npz(path=mine.npz)`."""
    source: Source = make("sources", spec).load()
    return source
