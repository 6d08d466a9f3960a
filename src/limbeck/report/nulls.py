"""What a curve shows when there is nothing behind it: two checks that stand beside every law."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.laws.nulls import WorstOfNoise, worst_of_noise
from limbeck.plots import Law
from limbeck.report.ink import interval, percent, plain

__all__ = ["WorstOfNoise", "random_laws", "worst_of_noise"]


def random_laws(fitted: Sequence[Law]) -> list[str]:
    """The laws of random selection in words, one a configuration: they follow the same form."""
    return [
        f"{law.configuration or 'all configurations'}: exponent {plain(law.exponent.value)} "
        f"{interval(law.exponent, plain)}, floor {percent(law.floor.value)} {interval(law.floor, percent)}"
        for law in fitted
        if law.method == "random" and law.exponent.value is not None and law.floor.value is not None
    ]
