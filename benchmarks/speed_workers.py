"""Both sides of a row, timed in turn in processes that stay alive.

python benchmarks/speed_workers.py SIDE ROW PART THREADS     a worker: a line of seconds for each line that comes in
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from speed_limbeck import ours_dc, ours_dm, ours_evaluate, ours_study
from speed_plain import (
    CORES,
    DIGITS_EVALUATION,
    FASHION_EVALUATION,
    Work,
    plain_dc,
    plain_dm,
    plain_evaluate,
    plain_study,
)


class Row(NamedTuple):
    """What is done, how plain PyTorch does it and each part of limbeck, in how many turns; the ratio that is wanted."""

    title: str
    plain: Callable[[], Work]
    limbeck: Callable[[int], Work]
    turns: int
    goal: float


ROWS = {
    "dm": Row("DM step, 10 per class", plain_dm, ours_dm, 9, 3.0),
    "dc": Row("DC outer iteration, 10 per class (50 epochs; 1 update and 4 epochs timed)", plain_dc, ours_dc, 5, 3.0),
    "evaluate": Row(
        "evaluating 16 networks (4 configurations x 4 seeds), 300 epochs of 100 images (5 epochs timed)",
        lambda: plain_evaluate(*FASHION_EVALUATION),
        lambda part: ours_evaluate(part, *FASHION_EVALUATION),
        5,
        2.5,
    ),
    "digits": Row(
        "digits: 64 small networks (4 configurations x 16 seeds), 150 epochs of 50 images (50 timed)",
        lambda: plain_evaluate(*DIGITS_EVALUATION),
        lambda part: ours_evaluate(part, *DIGITS_EVALUATION),
        5,
        4.0,
    ),
    "study": Row("the demo study as a whole (plain from its timed parts)", plain_study, ours_study, 3, 3.0),
}


def serve(side: str, row: str, part: int, most: int) -> None:
    """A worker: set up once, then do the work at every line that comes in."""
    import torch

    threads = 1
    if side == "plain":
        random.seed(0)
        work = ROWS[row].plain()
        threads = quicker_threads(work, most)
    else:
        from limbeck.runners import keep_freed_memory

        torch.set_num_threads(1)
        keep_freed_memory()
        work = ROWS[row].limbeck(part)
        if row != "study":
            work()  # to warm up
    print(threads, flush=True)
    for _ in sys.stdin:
        print(json.dumps(work()), flush=True)


def quicker_threads(work: Work, most: int) -> int:
    """How many threads, `most` at most, took less for the work, which is left set."""
    import torch

    taken = {}
    for threads in range(1, most + 1):
        torch.set_num_threads(threads)
        taken[threads] = work()
    threads = min(taken, key=taken.__getitem__)
    torch.set_num_threads(threads)
    return threads


class Worker:
    """A process that serves one side of a row; `threads` is how many it took."""

    def __init__(self, side: str, row: str, part: int, most: int) -> None:
        threads = str(most)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        command = [sys.executable, __file__, side, row, str(part), threads]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.threads = int(self.hear())

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a worker of the benchmark ended; its error stands above")
        return line

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def compare(row: str, turns: int, most: int) -> dict[str, Any]:
    """Seconds of both sides over turns; limbeck's two processes work at the same time."""
    plain, ours = Worker("plain", row, 0, most), [Worker("ours", row, part, 1) for part in range(CORES)]
    found: dict[str, Any] = {"plain": [], "limbeck": [], "plain threads": plain.threads}
    try:
        for _ in range(turns):
            plain.go()
            found["plain"].append(float(plain.hear()))
            for worker in ours:
                worker.go()
            found["limbeck"].append(max(float(worker.hear()) for worker in ours))
    finally:
        for worker in (plain, *ours):
            worker.end()
    return found


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
