"""Weights & Biases: a folder of this machine, or its server where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limbeck.errors import MissingExtra
from limbeck.trackers import Tracked, Tracker

STEP = "step"
"""What charts are drawn against: W&B's own counter only ever rises, while a study's cells end in any order of k."""


class Wandb(Tracker):
    """A run of Weights & Biases. Nothing leaves this machine with `mode=offline`: `wandb sync FOLDER` sends it later.

    `mode=online` sends it at once, for those who ran `wandb login`. `entity` is the team, the user's own where empty.
    """

    project: str = "limbeck"
    entity: str = ""
    mode: Literal["offline", "online"] = "offline"
    folder: str = "."

    def begin(self, name: str, facts: Mapping[str, Any]) -> Tracked:
        try:
            import wandb
        except ImportError as error:
            raise MissingExtra(
                f"the tracker 'wandb' needs Weights & Biases ({error}). Install it: pip install 'limbeck[wandb]'."
            ) from None
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self.project,
            entity=self.entity or None,
            name=name,
            config=dict(facts),
            mode=self.mode,
            dir=str(folder),
            settings=wandb.Settings(console="off", silent=True, disable_git=True, x_disable_stats=True),
        )
        run.define_metric("*", step_metric=STEP)
        return _Run(run)


@dataclass(frozen=True)
class _Run:
    run: Any

    def note(self, numbers: Mapping[str, float], step: int) -> None:
        self.run.log({**numbers, STEP: step})

    def end(self, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))
