"""How a method is drawn everywhere: one colour, one marker, one place beside the others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# One colour and one marker a method: neither is needed to read the other. The first is kept for random selection,
# the control that every method is seen against. (light, dark), each at least 3:1 on its background.
COLOURS = [
    ("#66707a", "#9aa6b2"),
    ("#0b66a6", "#6db6ee"),
    ("#b8481d", "#f0935f"),
    ("#0a7a63", "#4cc9a6"),
    ("#83489f", "#cb9fe6"),
    ("#8f6500", "#dcb44f"),
    ("#b32f74", "#f08cbf"),
    ("#2f4aa0", "#9db0f7"),
]
SHAPES = ["o", "s", "^", "D", "v", "P", "X", "p"]  # matplotlib's names


@dataclass(frozen=True)
class Mark:
    """How a method is drawn everywhere: places in `COLOURS` and `SHAPES`."""

    colour: int
    shape: int


def marks(methods: Iterable[str]) -> dict[str, Mark]:
    """A colour and a shape for each method, in order; `random` always has the neutral ones.

    Seven colours and eight shapes: 56 methods before a pair comes back.
    """
    others = [name for name in dict.fromkeys(methods) if name != "random"]
    given = {name: Mark(1 + place % (len(COLOURS) - 1), (1 + place) % len(SHAPES)) for place, name in enumerate(others)}
    return {"random": Mark(0, 0)} | given


def dodge(place: int, of: int, width: float = 0.16) -> float:
    """The factor on k that sets method number `place` of `of` beside the others on a log axis, within +-8 %."""
    return math.exp(width * ((place + 0.5) / of - 0.5)) if of > 1 else 1.0
