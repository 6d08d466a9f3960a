"""Nearest real samples to each class's k-means centres."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from limbeck.methods import Selection, centres_of_each_class
from limbeck.sources import Source


class KMeans(Selection):
    """The real sample nearest to each of `per_class` k-means centres of its class, in the prepared input space.

    The strongest coreset of the literature at few samples a class (Cui et al. 2022). A sample is taken once; a centre
    whose nearest sample is taken gets its next nearest. Centres by scikit-learn, k-means++ from the set's own seed.
    """

    paper: ClassVar[str] = "cui2022dcbench"
    cost: ClassVar[str] = "one k-means a class"

    restarts: int = 1

    def choose(self, source: Source, per_class: int, seed: int) -> Tensor:
        return centres_of_each_class(source, per_class, seed, restarts=self.restarts)
