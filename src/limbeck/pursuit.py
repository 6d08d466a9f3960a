"""Run a study and then what it proposes, until its answer is as precise as was asked or the time is spent."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from limbeck.campaign import BATCH, Campaign
from limbeck.errors import BadSetting
from limbeck.proposals import Proposal
from limbeck.runners import OnDone, run_study
from limbeck.study import Cell, Execute, StudyFolder


@dataclass(frozen=True)
class Goal:
    """How precise an answer has to be: decades of every required k, or the width of a family's worst gap."""

    width: float
    of_family: bool = False


def read_until(text: str) -> Goal:
    """A goal from `width < 0.2 dex` or `worst gap width < 0.04`. Raises `BadSetting`."""
    found = re.fullmatch(r"\s*(worst gap )?\s*width\s*<=?\s*([0-9.]+)\s*(dex|decades)?\s*", text)
    try:
        width = float(found[2]) if found else 0.0
    except ValueError:
        width = 0.0
    if not found or width <= 0 or (found[1] and (found[3] or width >= 1)):
        raise BadSetting(
            f"'{text}' can't be read. Write \"width < 0.2 dex\": the decades between an interval's ends; or \"worst "
            'gap width < 0.04": the same of the worst gap of all configurations, a fraction.'
        )
    return Goal(width, of_family=bool(found[1]))


def read_budget(text: str) -> float:
    """Seconds from `2h`, `30min`, `90s` or `1h 30min`; nothing means no end. Raises `BadSetting`."""
    if not text.strip():
        return math.inf
    parts = re.findall(r"([0-9.]+)\s*(h|min|m|s)", text)
    if not parts or re.sub(r"([0-9.]+)\s*(h|min|m|s)", "", text).strip():
        raise BadSetting(f"the budget '{text}' can't be read. Write 2h, 30min or 90s.")
    return sum(float(number) * {"h": 3600, "min": 60, "m": 60, "s": 1}[unit] for number, unit in parts)


@dataclass(frozen=True)
class Ended:
    """How a campaign ended: `why` is width, budget or nothing left."""

    why: str
    width: float
    rounds: int
    runs: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an open width is None."""
        return {**vars(self), "width": self.width if math.isfinite(self.width) else None}


def pursue(
    folder: StudyFolder,
    *,
    width: float,
    budget_seconds: float,
    gap: float | None = None,
    runner: str = "processes",
    batch: int = BATCH,
    retry: bool = False,
    watched: Callable[[Sequence[Cell]], AbstractContextManager[OnDone | None]] | None = None,
    on_round: Callable[[Campaign, Iterable[Proposal]], None] | None = None,
    execute: Execute | None = None,
    standing: Callable[[], Campaign] | None = None,
) -> Ended:
    """Run a study, then what it proposes, until every required k is known to `width` decades or the budget is spent.

    `standing` gives what is known, anew after each batch; by default the `Campaign` of the folder and the gap. One of
    another kind says what `width` is of and which cells are run: a family's search those that it proposed.

    The budget is of time on the clock; what one batch takes beyond it is not cut off. A campaign that was stopped goes
    on with what its folder holds; with `retry` it begins with the cells that failed. Each batch is run inside
    `watched(cells)`, which may hand out what is called with each finished cell. Raises as `run_study` does.
    """
    begun, rounds, runs = time.monotonic(), 0, 0
    known = standing or (lambda: Campaign(folder, gap))

    def ended(why: str, campaign: Campaign) -> Ended:
        return Ended(why, campaign.width, rounds, runs, time.monotonic() - begun)

    def run(retry: bool) -> None:
        cells = known().cells()
        with watched(cells) if watched else nullcontext() as on_done:
            run_study(folder, runner, cells=cells, retry=retry, on_done=on_done, execute=execute)

    run(retry)
    while True:
        campaign = known()
        left = budget_seconds - (time.monotonic() - begun)
        if campaign.width <= width:
            return ended("width", campaign)
        if left <= 0:
            return ended("budget", campaign)
        proposals = campaign.propose(batch, width=width, seconds=left)
        if not proposals:
            return ended("nothing left that fits the budget", campaign)
        if on_round is not None:
            on_round(campaign, proposals)
        folder.add(one for proposal in proposals for one in proposal.additions)
        run(False)
        rounds, runs = rounds + 1, runs + len(proposals)
