"""A pool: the configurations whose dynamics a distillation draws its states from, and how often each is visited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.errors import BadSetting, nearest
from limbeck.states import Carry

Weighting = Literal["equal", "worst-case"]
WEIGHTINGS = ("equal", "worst-case")
HASTE = 10.0  # a gap ten points above the mean multiplies a weight by e at each validation
SHARE = 0.2  # of the visits stays equal, so that no configuration is forgotten


@dataclass(frozen=True)
class Pool:
    """Configurations that share the updates of one set: each outer step visits the dynamics of one of them.

    A step costs what it costs without a pool, so a pool of m makes the set no dearer, and each dynamics is visited
    m times less often. `equal` visits all alike. `worst-case` moves the weights to where the set fails, after each
    validation: w_i ~ w_i exp(HASTE (gap_i - mean gap)), as group-robust optimisation does (Sagawa et al. 2020), with
    gap_i the validation error of a network trained on the set less that of one trained on the full data.
    """

    configurations: tuple[Configuration, ...]
    weighting: Weighting = "equal"

    @classmethod
    def of(cls, configurations: Sequence[str | Configuration], weighting: str = "equal") -> Pool:
        """Read a pool. Raises `BadSetting` for another weighting, or where a configuration is given twice."""
        if weighting not in WEIGHTINGS:
            raise BadSetting(f"weights can't be '{weighting}'. {nearest(weighting, WEIGHTINGS)}")
        read = tuple(Configuration.parse(one) for one in configurations)
        twice = [one.spec for place, one in enumerate(read) if one in read[:place]]
        if twice:
            raise BadSetting(f"the configuration '{twice[0]}' is given twice. Keep one: weights do the rest.")
        return cls(read, "worst-case" if weighting == "worst-case" else "equal")

    def __len__(self) -> int:
        return len(self.configurations)

    @property
    def identity(self) -> list[str]:
        """What a digest is taken of."""
        return [self.weighting, *(one.digest for one in self.configurations)]

    def begin(self) -> Carry:
        """What a run remembers of its pool: weights, whose turn it is, visits, and full-data validation errors."""
        count = len(self)
        return {
            "weights": torch.full((count,), 1 / count, dtype=torch.float64),
            "credit": torch.zeros(count, dtype=torch.float64),
            "visits": torch.zeros(count, dtype=torch.int64),
            "reference": torch.full((count,), torch.nan, dtype=torch.float64),
        }

    @staticmethod
    def turn(held: Carry) -> tuple[int, int, Carry]:
        """Whose turn it is, how often it was visited before, and what is remembered after it.

        Each configuration gains its weight in credit, the richest pays 1 and is visited: visits follow the weights,
        to a visit or so, without a random draw.
        """
        credit = held["credit"] + held["weights"]
        chosen = int(credit.round(decimals=9).argmax())  # so that ties are ties, whatever rounding made of them
        credit[chosen] -= 1
        before, visits = int(held["visits"][chosen]), held["visits"].clone()
        visits[chosen] += 1
        return chosen, before, {**held, "credit": credit, "visits": visits}

    def reweighed(self, held: Carry, gaps: Tensor) -> Carry:
        """The weights after a validation found these gaps (configurations,)."""
        if self.weighting == "equal":
            return held
        equal = 1 / len(self)
        moved = held["weights"].log() + HASTE * (gaps - gaps.mean())
        weights = (1 - SHARE) * torch.softmax(moved, 0) + SHARE * equal
        return {**held, "weights": weights}

    def score(self, gaps: Tensor) -> float:
        """What the kept set is chosen by: the mean gap under equal weights, the largest under worst-case ones."""
        return float(gaps.max() if self.weighting == "worst-case" else gaps.mean())

    def about(self, held: Carry) -> dict[str, object]:
        """What a set's provenance says of its pool."""
        return {
            "configurations": [one.spec for one in self.configurations],
            "weighting": self.weighting,
            "weights": held["weights"].tolist(),
            "visits": held["visits"].tolist(),
        }
