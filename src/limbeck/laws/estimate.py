"""An estimate with its interval; an end that the data leave open is None, not a large number."""

from __future__ import annotations

import math
from dataclasses import dataclass


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Estimate:
    """A number with a confidence interval; None stands for an unbounded end, or for a number that does not exist."""

    estimate: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, estimate: float | None, low: float | None = None, high: float | None = None) -> Estimate:
        """Infinite and undefined numbers become None; an interval always holds its own estimate."""
        middle, low, high = _finite(estimate), _finite(low), _finite(high)
        if middle is not None:
            low = None if low is None else min(low, middle)
            high = None if high is None else max(high, middle)
        return cls(middle, low, high)

    def covers(self, truth: float) -> bool:
        """Whether the interval holds a value; infinity is held by an interval without an upper end."""
        return (self.low is None or self.low <= truth) and (self.high is None or truth <= self.high)

    @property
    def width(self) -> float:
        """High minus low; infinite where an end is open."""
        return math.inf if self.low is None or self.high is None else self.high - self.low

    def to_dict(self) -> dict[str, float | None]:
        """`{"estimate", "low", "high"}`, null for an open end."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}

    def text(self, digits: int = 3, whole: bool = False) -> str:
        """`310 [240, 450]`; an open upper end is `∞)`, an open lower end dots."""

        def written(value: float | None, gone: str) -> str:
            if value is None:
                return gone
            return f"{value:,.0f}" if whole else f"{value:.{digits}g}"

        end = "∞)" if self.high is None else f"{written(self.high, '')}]"
        return f"{written(self.estimate, 'none')} [{written(self.low, '...')}, {end}"


def samples_text(k: float) -> str:
    """A number of samples that was estimated, whole, three digits at most: 1, 12, 123, 1,230."""
    return f"{k:,.0f}" if k < 999.5 else f"{float(f'{k:.3g}'):,.0f}"
