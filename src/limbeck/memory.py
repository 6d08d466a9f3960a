"""How much memory a piece of work takes."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MARKS = Path("/proc/self/clear_refs")


_outer: list[list[int]] = []  # of each block that is open, the largest before one inside it forgot


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """A function that gives the largest resident memory of this process, in bytes, since the block was entered.

    What the process held before counts (interpreter, libraries, the source): it is what a process needs that does
    this work and no other. Where the system can't forget an earlier peak (anything but Linux), that one counts too.
    A block inside another takes nothing from it.
    """
    for seen in _outer:
        seen.append(_high_water() if _MARKS.exists() else 0)
    try:
        _MARKS.write_text("5")  # sets the high-water mark to what is resident now
        measured = _high_water
    except OSError:
        measured = _ever
    own = [0]
    _outer.append(own)
    try:
        yield lambda: max(measured(), *own)
    finally:
        _outer.remove(own)


def _high_water() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _ever() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
