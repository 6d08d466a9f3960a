"""Random real samples: the control that every claim is measured against."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from limbeck.methods import Selection, random_of_each_class
from limbeck.sources import Source


class Random(Selection):
    """Real samples drawn uniformly from each class, without replacement."""

    paper: ClassVar[str] = "-"
    cost: ClassVar[str] = "none"

    def choose(self, source: Source, per_class: int, seed: int) -> Tensor:
        return random_of_each_class(source, per_class, seed)
