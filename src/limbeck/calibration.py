"""How work is done on this machine: the quickest of equal ways, measured once and remembered."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from limbeck.digest import digest

ROUNDS = 3


def quickest(
    purpose: str,
    work: Sequence[Any],
    ways: Mapping[str, Callable[[], object]],
    device: str = "cpu",
    rounds: int = ROUNDS,
) -> str:
    """The name of the way that took the least time of `rounds` runs each, after one to warm up, in turn.

    On one thread of a processor it is processor time that counts, which other work on the machine disturbs less.
    Ways must give equal results up to rounding; `work` is all that their times depend on. The choice is kept in the
    user's cache folder for this machine, device and torch. The first process to write it decides for all, so that
    results on one machine are the same to the bit whoever asks; a cache that can't be written decides for one process.
    """
    import torch

    threads = torch.get_num_threads()
    clock = time.process_time if device == "cpu" and threads == 1 else time.perf_counter
    known = [purpose, list(work), sorted(ways), _machine(), device, threads, torch.__version__, clock.__name__]
    return _kept(digest(known), ways, rounds, clock)


_decided: dict[str, str] = {}


def _kept(key: str, ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> str:
    path = _folder() / key[:2] / f"{key}.json"
    place = str(path)
    if place not in _decided:
        held = _read(path, ways)
        if held is None:
            times = _measured(ways, rounds, clock)
            _write(path, {"quickest": min(times, key=times.__getitem__), "seconds": times})
            # Another process may have been first: then its choice is everyone's.
            held = _read(path, ways) or min(times, key=times.__getitem__)
        _decided[place] = held
    return _decided[place]


def _measured(ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """The least seconds of each way by a clock."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            begun = clock()
            way()
            if turn > 0:
                taken[name].append(clock() - begun)
    return {name: min(seconds) for name, seconds in taken.items()}


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "limbeck" / "calibration"


@cache
def _machine() -> str:
    """The processor's name and how many there are."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} x {os.cpu_count()}"


def _read(path: Path, ways: Mapping[str, Callable[[], object]]) -> str | None:
    try:
        held = json.loads(path.read_text())["quickest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return held if held in ways else None


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, and only where no other process was first."""
    own = path.with_name(f".{path.stem}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(json.dumps(content, allow_nan=False))
        with suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
