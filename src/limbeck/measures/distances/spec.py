"""Distance of declared settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from limbeck.configuration import Configuration
from limbeck.measures.distances import Distance, OnDone, checked
from limbeck.measures.split_seeds import DistanceMatrix, Floats
from limbeck.sources import Source


class Spec(Distance):
    """Gower's distance of the settings that configurations declare: no training, the baseline that others must beat.

    A part (architecture, optimizer, augmentation, ...) counts 1 where the two are different variants, else the mean
    over its settings that vary within the family: 0 or 1 for words, `|x - y| / range` for numbers, on a log scale where
    all are positive. The distance is the mean over the parts that vary. Gower 1971. It has no error, and it depends on
    the family, through its ranges.
    """

    def matrix(
        self,
        configurations: Sequence[Configuration],
        source: Source,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        on_done: OnDone | None = None,
    ) -> DistanceMatrix:
        return self.between(configurations)

    def between(self, configurations: Sequence[Configuration]) -> DistanceMatrix:
        """The same without a source, which nothing of it depends on."""
        names = checked(configurations)
        parts = [_part(column) for column in zip(*(one.parts for one in configurations), strict=True)]
        varying = [part for part in parts if part.any()]
        value = np.mean(varying, axis=0) if varying else np.zeros((len(names), len(names)))
        return DistanceMatrix("spec", names, value, np.zeros_like(value), 0.0)


def _part(variants: Sequence[Any]) -> Floats:
    """Distances of one part of all configurations: (configurations, configurations)."""
    kinds = [variant.variant_name() for variant in variants]
    apart = np.array([[float(one != other) for other in kinds] for one in kinds])
    for kind in set(kinds):
        places = [place for place, name in enumerate(kinds) if name == kind]
        held = [variants[place].model_dump() for place in places]
        fields = [_field([settings[name] for settings in held]) for name in held[0]]
        varying = [field for field in fields if field.any()]
        if varying:
            apart[np.ix_(places, places)] = np.mean(varying, axis=0)
    return apart


def _field(values: Sequence[Any]) -> Floats:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = np.array(values, float)
        if (numbers > 0).all():
            numbers = np.log(numbers)
        span = numbers.max() - numbers.min()
        return np.abs(numbers[:, None] - numbers[None]) / (span if span > 0 and math.isfinite(span) else 1.0)
    return np.array([[float(one != other) for other in values] for one in values])
