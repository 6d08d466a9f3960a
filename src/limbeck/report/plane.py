"""The axes of a chart of any two numbers: linear, or log across, with round ticks and titles that carry the unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from limbeck.report.frame import round_steps, ruled


@dataclass(frozen=True)
class Plane:
    """The drawing's size in pixels, its margins, and the two ranges that it shows."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    log_x: bool = False
    width: float = 256
    height: float = 208
    left: float = 36
    right: float = 8
    top: float = 24
    bottom: float = 40

    @property
    def foot(self) -> float:
        return self.height - self.bottom

    @property
    def end(self) -> float:
        return self.width - self.right

    def x(self, value: float) -> float:
        if self.log_x:
            share = math.log(max(value, 1e-300) / self.x_low) / math.log(self.x_high / self.x_low)
        else:
            share = (value - self.x_low) / (self.x_high - self.x_low)
        return self.left + (self.end - self.left) * min(max(share, 0.0), 1.0)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return self.foot - (self.foot - self.top) * min(max(share, 0.0), 1.0)


def ground(plane: Plane, across: str, up: str, write_up: Callable[[float], str] = "{:g}".format) -> str:
    """Both axes with their ticks, the rules behind the chart, and their titles."""
    heights = round_steps(plane.y_low, plane.y_high)
    rules = [(plane.y(value), write_up(value), value == plane.y_low) for value in heights]
    ticks = [(plane.x(value), f"{value:g}") for value in _steps_across(plane)]
    return ruled(plane.left, plane.end, plane.foot, rules, ticks, up, across)


def _steps_across(plane: Plane) -> list[float]:
    if not plane.log_x:
        return round_steps(plane.x_low, plane.x_high, 4)
    decades = range(math.floor(math.log10(plane.x_low)), math.ceil(math.log10(plane.x_high)) + 1)
    return [s * 10.0**d for d in decades for s in (1, 2, 5) if plane.x_low <= s * 10.0**d <= plane.x_high]
