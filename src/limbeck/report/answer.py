"""The answer that stands first: how many samples each method needs, as one sentence and as intervals side by side."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from limbeck.plots import Estimate, Law, Mark, Point, number
from limbeck.report.ink import clean, count, interval, needed, outline, percent


@dataclass(frozen=True)
class Need:
    """The samples that one method needs under one configuration for the target gap, or why that is refused."""

    method: str
    configuration: str
    k: Estimate
    refusal: str

    @property
    def words(self) -> str:
        """As it stands in a table: the estimate and its interval, or the reason for having none."""
        if self.k.value is None and self.k.low is None:
            return clean(self.refusal) or "refused"
        if self.k.value is None:
            return f"at least {needed(self.k.low)}"
        return f"{needed(self.k.value)} {interval(self.k, needed)}"


def target_gap(plan: Mapping[str, Any], fitted: Sequence[Law]) -> float | None:
    """The gap that was asked for: the plan's, else the first that any law answered."""
    asked = number(plan.get("gap"))
    rows = [gap for row in plan.get("rows") or [] if (gap := number(row.get("gap"))) is not None]
    answered = [target.gap for law in fitted for target in law.targets]
    return asked if asked is not None else next(iter([*rows, *answered]), None)


def needs(
    plan: Mapping[str, Any], fitted: Sequence[Law], target: float | None, order: Sequence[str] = ()
) -> list[Need]:
    """What the plan's rows say for the target, or the laws where there is no plan.

    Configurations come in `order`, others after them; of each, the fewest samples first.
    """
    if plan.get("rows"):
        found = [
            Need(
                str(row.get("method", "")),
                str(row.get("configuration") or ""),
                Estimate.read(row["required_k"] if isinstance(row.get("required_k"), Mapping) else row),
                str(row.get("refusal") or ""),
            )
            for row in plan["rows"]
            if number(row.get("gap")) in (None, target)
        ]
    else:
        found = [
            Need(law.method, law.configuration, answered.k, answered.refusal)
            for law in fitted
            for answered in law.targets
            if answered.gap == target
        ]
    places = {name: place for place, name in enumerate(order)}

    def key(need: Need) -> tuple[int, str, bool, float]:
        return places.get(need.configuration, len(places)), need.configuration, need.k.value is None, need.k.value or 0

    return sorted(found, key=key)


def sentence(plan: Mapping[str, Any], held: Sequence[Point]) -> str:
    """The plan's own sentence; without a plan, what was measured at the largest k."""
    if plan.get("sentence"):
        return clean(plan["sentence"], 2000)
    if not held:
        return "No result carries a number yet."
    largest = max(point.k for point in held)
    gaps: dict[str, list[float]] = defaultdict(list)
    for point in held:
        if point.k == largest:
            gaps[point.method].append(point.gap)
    best = min(gaps, key=lambda name: fmean(gaps[name]))
    return (
        f"With {count(largest)} samples, {clean(best, 40)} comes closest to training on all data: "
        f"a mean gap of {percent(fmean(gaps[best]))} percentage points (n = {len(gaps[best])} trainings)."
    )


@dataclass(frozen=True)
class Scale:
    """A log axis of k in per cent of its drawing's width, so that it fits every page without scaling its text."""

    low: float
    high: float

    @classmethod
    def over(cls, found: Sequence[Need], held: Sequence[Point]) -> Scale | None:
        """An axis that holds every estimate and every k measured; interval ends further than a decade out leave it."""
        middle = [need.k.value for need in found if need.k.value is not None] + [point.k for point in held]
        if not middle:
            return None
        ends = [end for need in found for end in (need.k.low, need.k.high) if end is not None]
        low, high = min(middle), max(middle)
        near = [end for end in ends if low / 10 <= end <= high * 10]
        return cls(min([low, *near]) * 0.85, max([high, *near]) * 1.2)

    def place(self, k: float) -> float:
        share = math.log(max(k, 1e-9) / self.low) / math.log(self.high / self.low)
        return 100 * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values of k with their places: 1, 2, 5 a decade, thinned until at most six are left."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = next(
            chosen
            for sizes in ((1, 2, 5), (1, 3), (1,))
            if len(chosen := [s * 10.0**d for d in decades for s in sizes if self.low <= s * 10.0**d <= self.high]) <= 6
            or sizes == (1,)
        )
        return [(self.place(step), count(step)) for step in steps]


def whisker(need: Need, scale: Scale, mark: Mark, largest: float | None) -> Markup:
    """One interval: a bar from low to high, a marker at the estimate, an arrow where there is no upper bound.

    The shaded part of the axis lies beyond the largest k that was measured.
    """
    css = f"m{mark.colour}"
    parts = []
    if largest is not None and scale.place(largest) < 100:
        edge = scale.place(largest)
        parts.append(f'<rect class="untried" x="{edge:.2f}%" width="{100 - edge:.2f}%" height="100%"/>')
    for place, _ in scale.ticks():
        parts.append(f'<line class="rule" x1="{place:.2f}%" x2="{place:.2f}%" y1="0" y2="100%"/>')
    if need.k.value is not None or need.k.low is not None:
        low = scale.place(need.k.low or need.k.value or scale.low)
        unbounded = need.k.high is None or need.k.high > scale.high
        high = 100.0 if unbounded else scale.place(need.k.high or scale.high)
        parts.append(f'<line class="{css} reach" x1="{low:.2f}%" x2="{high:.2f}%" y1="13" y2="13"/>')
        if unbounded:
            parts.append(
                f'<svg x="100%" overflow="visible"><path class="{css} arrow" d="M-8 8.5L0 13L-8 17.5Z"/></svg>'
            )
    if need.k.value is not None:
        shape = outline(mark, 0, 13, 5.5)
        parts.append(
            f'<svg x="{scale.place(need.k.value):.2f}%" overflow="visible"><path class="{css} hit" d="{shape}"/></svg>'
        )
    return Markup(f'<svg class="whisker" height="26" aria-hidden="true">{"".join(parts)}</svg>')
