"""Trackers: the numbers of a run, sent to the page where a group watches its runs. All optional, none needed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from limbeck.variants import Variant


class Tracked(Protocol):
    """A run that a tracker was told of."""

    def note(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers by their names, and the step that they belong to."""

    def end(self, failed: bool) -> None:
        """The run is over."""


class Tracker(Variant):
    """Settings of a place that numbers are sent to."""

    @abstractmethod
    def begin(self, name: str, facts: Mapping[str, Any]) -> Tracked:
        """A run of a name that `facts` are true of.

        Raises `MissingExtra` where the tracker's library is not installed, and whatever that library raises.
        """
