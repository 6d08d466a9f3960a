"""The laws of a table: each method's under each configuration, fitted once for all that is asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.errors import BadData
from limbeck.laws.scaling import ScalingFit, fit_levels
from limbeck.laws.table import Group


@dataclass(frozen=True)
class Law:
    """What a table has of one method under one configuration, and the law fitted to it, or why there is none."""

    group: Group
    fit: ScalingFit | None
    refusal: str  # empty where there is a fit, or no reference to take gaps from
    settings: Mapping[str, Any]  # of `fit_levels`


def laws_of(held: Iterable[Group], **settings: Any) -> list[Law]:
    """The law of every group, by the settings of `fit_levels`.

    Too few values of k are a refusal; raises `BadData` for levels that can't be fitted for another reason.
    """
    return [_law(group, settings) for group in held]


def with_interval(laws: Iterable[Law]) -> dict[tuple[str, str], ScalingFit]:
    """(method, configuration) -> its law, of those that have an interval."""
    return {
        (law.group.method, law.group.configuration): law.fit
        for law in laws
        if law.fit is not None and law.fit.region is not None
    }


def _law(group: Group, settings: dict[str, Any]) -> Law:
    if group.levels is None:
        return Law(group, None, "", settings)
    try:
        return Law(group, fit_levels(group.levels, **settings), "", settings)
    except BadData as error:
        if len(group.levels.k) > 3:
            raise
        return Law(group, None, str(error), settings)
