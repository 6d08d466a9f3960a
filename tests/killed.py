"""Runs a study again and again, killed with SIGKILL at random moments, and prints what came of it as JSON.

    python tests/killed.py FOLDER KILLS SEED RUNNER

One process imports everything once and forks a child for each attempt, so that kills fall into work, not imports.
Distillations checkpoint after every step. Killed studies are carried on until they end, and new ones are begun until
there were enough kills; each is compared with an uninterrupted one, record by record.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from limbeck import distillation
from limbeck.runners import run_study
from limbeck.study import Study, StudyFolder, outcome, table_csv, verify
from little import little_toml, results

METHODS = ["random", "dm(steps=60, batch_real=8, labels=teacher, teachers=1, teacher_epochs=2)"]
METHODS += ["dc(steps=30, length=2, epochs=2, batch_real=8)"]
METHODS += ["mtt(steps=4, experts=2, expert_epochs=3, max_start=1, ahead=1, synthetic_steps=2, lr_pixels=1.0)"]


def attempt(folder: StudyFolder, runner: str) -> int:
    """A child that runs what is left of the study."""
    if child := os.fork():
        return child
    os.setsid()
    try:
        run_study(folder, runner)
    finally:
        os._exit(0)


def records(folder: StudyFolder) -> list[dict[str, Any]]:
    return [outcome(folder.record(cell.id)) for cell in folder.cells()]


def main(place: Path, kills: int, seed: int, runner: str) -> dict[str, Any]:
    chance = random.Random(seed)
    distillation.CHECKPOINT_SECONDS = -1.0
    study = Study.read(little_toml(place, methods=METHODS, sets=1))
    whole = StudyFolder.open(study, place / "whole")
    begun = time.monotonic()
    os.waitpid(attempt(whole, runner), 0)
    length = time.monotonic() - begun
    landed = studies = unsound = checkpoints = 0
    same = True
    while landed < kills:
        studies += 1
        folder = StudyFolder.open(study, place / f"killed{studies}")
        while len(folder.finished()) < len(folder.cells()):
            child = attempt(folder, runner)
            if landed < kills:
                time.sleep(chance.uniform(0, 3 * length / kills))
                os.killpg(child, signal.SIGKILL) if os.getpgid(child) == child else os.kill(child, signal.SIGKILL)
                landed += 1
                checkpoints += len(list((folder.path / "work").glob("*/*.json")))
            os.waitpid(child, 0)
            unsound += len(verify(folder.path))
        same &= records(folder) == records(whole) and table_csv(results(folder)) == table_csv(results(whole))
    return {"kills": landed, "studies": studies, "same": same, "unsound": unsound, "checkpoints": checkpoints}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
