"""Runs a study on a disk of its own and says each time what was made safe, until it is killed.

    python tests/power_cut.py STUDY_FOLDER LOG

`LOG` lies on another disk: the file of every record that a sync has returned for, a line each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import faked
from limbeck import durability
from limbeck.runners import run_study
from limbeck.study import Cell, StudyFolder

PAUSE_SECONDS = 0.02


def paused(folder: StudyFolder, cell: Cell) -> dict[str, Any]:
    time.sleep(PAUSE_SECONDS)
    return faked.QUICK[cell.kind](folder, cell)


def main(folder: StudyFolder, log: Path) -> None:
    sync = durability.sync

    def logged(paths: Collection[Path]) -> None:
        sync(paths)
        with log.open("a") as file:
            file.write("".join(f"{path.relative_to(folder.path)}\n" for path in paths))

    durability.sync = logged
    run_study(folder, "serial", execute=dict.fromkeys(faked.QUICK, paused))


if __name__ == "__main__":
    main(StudyFolder(Path(sys.argv[1])), Path(sys.argv[2]))
