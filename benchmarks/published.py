"""Does it match the papers? Their protocols at width 128, with as much of the distillation as a processor's core does.

The study files of `studies/published/` say the method, its settings and how a set is judged (benchmarks/gpu.md). Here
fewer steps are taken, on smaller real batches, and fewer networks are trained; all else is as the files have it, the
validation split apart, which the papers do not hold out. Selections are judged as DC is.

    python benchmarks/published.py --collect     rows to docs/results/published.csv (about 2 core-hours a source)
    python benchmarks/published.py --write       the page's table from the rows
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kept_rows import KeptRows
from limbeck.distillation import distill
from limbeck.evaluation import evaluate
from limbeck.methods import Method
from limbeck.sources import Source, load_source
from limbeck.study import Study
from limbeck.variants import make
from page import collect_or_write, table, write_below_prose

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ["source", "method", "per_class", "set", "seed", "steps", "steps_of_paper", "batch_real", "seconds"]
KEPT = KeptRows(ROOT / "docs" / "results" / "published.csv", [*COLUMNS, "error", "validation_error"])
BATCH = 64  # the papers: 256


class Row(NamedTuple):
    """A figure of a paper, in percent, and how much is done here to be set beside it."""

    file: str  # of studies/published, without the source
    method: str
    per_class: int
    published: dict[str, str]  # by source
    steps: int = 0
    sets: int = 1
    seeds: int = 3


ROWS = (
    Row("dc-1", "random", 1, {"fashion-mnist": "51.4 ± 3.8", "mnist": "64.9 ± 3.5"}, sets=6, seeds=1),
    Row("dc-10", "random", 10, {"fashion-mnist": "73.8 ± 0.7", "mnist": "95.1 ± 0.9"}, sets=3, seeds=1),
    Row("dm", "dm", 1, {"fashion-mnist": "70.7 ± 0.6", "mnist": "89.7 ± 0.6"}, 1000),
    Row("dc-1", "dc", 1, {"fashion-mnist": "70.5 ± 0.6", "mnist": "91.7 ± 0.5"}, 1000),
    Row("dsa-1", "dsa", 1, {"fashion-mnist": "70.6 ± 0.6", "mnist": "88.7 ± 0.6"}, 1000),
    Row("dm", "dm", 10, {"fashion-mnist": "83.5 ± 0.3", "mnist": "97.5 ± 0.1"}, 1000, seeds=2),
    Row("idc-1", "idc", 1, {"fashion-mnist": "81.0 ± 0.2", "mnist": "94.2"}, 300, seeds=2),
    Row("dc-10", "dc", 10, {"fashion-mnist": "82.3 ± 0.4", "mnist": "97.4 ± 0.2"}, 500, seeds=2),
)


@cache
def loaded(name: str) -> Source:
    return load_source(name)


def judged(row: Row, source: str) -> tuple[Method, str]:
    """The paper's method, all its steps included, and the configuration that judges its sets."""
    study = Study.load(ROOT / "studies" / "published" / f"{row.file}-{source}.toml")
    return make("methods", study.methods[0] if row.steps else row.method), study.configurations[0]


def collect() -> None:
    """Make the sets and train on them, the first source before the second; rows that are there stay."""
    done = {tuple(row[name] for name in COLUMNS[:4]) for row in KEPT.read()}
    for source in ("fashion-mnist", "mnist"):
        for row in ROWS:
            for which in range(row.sets):
                if (source, row.method, str(row.per_class), str(which)) not in done:
                    one_set(row, source, which)


def one_set(row: Row, source: str, which: int) -> None:
    """Distil one set and append a row a training."""
    method, configuration = judged(row, source)
    of_paper = getattr(method, "steps", 0)
    shorter = method.with_settings(batch_real=BATCH) if row.steps else method
    begun = time.process_time()
    found = distill(
        loaded(source), shorter, configuration, row.per_class, seed=which, steps=row.steps or None, candidates=1
    )
    own = [source, row.method, row.per_class, which]
    facts = [row.steps, of_paper, BATCH if row.steps else 0, time.process_time() - begun]
    print(*own, *facts, flush=True)
    for seed in range(row.seeds):
        trained = evaluate(found, configuration, loaded(source), [seed])[0]
        KEPT.append([*own, seed, *facts, trained["error"], trained["validation_error"]])
        print(*own, seed, f"{trained['error']:.4f}", flush=True)


def compared(rows: list[dict[str, str]]) -> Iterator[list[Any]]:
    """One line a figure: what the paper has, what is reached here, and with how much of the work."""
    held = defaultdict(list)
    for row in rows:
        held[row["source"], row["method"], int(row["per_class"])].append(row)
    for (source, method, per_class), own in held.items():
        one = next(row for row in ROWS if (row.method, row.per_class) == (method, per_class))
        accuracy = [100 * (1 - float(row["error"])) for row in own]
        spread = f" ± {statistics.stdev(accuracy):.1f}" if len(accuracy) > 1 else ""
        ours, theirs = statistics.fmean(accuracy), one.published[source]
        sets = len({row["set"] for row in own})
        work = [f"{own[0]['steps']} of {own[0]['steps_of_paper']}", own[0]["batch_real"]] if one.steps else ["–", "–"]
        minutes = f"{float(own[0]['seconds']) / 60:.0f}" if one.steps else "0"
        yield [
            source, method, per_class, theirs, f"{ours:.1f}{spread}", f"{ours - float(theirs.split()[0]):+.1f}",
            f"{sets} x {len(own) // sets}", *work, minutes,
        ]  # fmt: skip


def write() -> None:
    """The page: what was written by hand above the mark, the table below it."""
    head = ["source", "method", "samples a class", "published, %", "here, % (± sd)", "difference", "sets x networks"]
    head += ["steps", "real batch (published: 256)", "minutes of a core a set"]
    write_below_prose(KEPT.path.with_suffix(".md"), table(head, compared(KEPT.read())), "Published figures")


if __name__ == "__main__":
    torch.set_num_threads(1)
    collect_or_write(__doc__, collect, write)
