"""The rows of `interchange.py`: which sets are made, and what is measured on each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kept_rows import KeptRows

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
MTT = (
    "mtt(steps=60, lr_pixels=30.0, lr_step_size=1e-4, step_size=0.05, synthetic_steps=10, experts=3, "
    "expert_epochs=12, expert_lr=0.05, ahead=2, max_start=9, augmentation=none)"
)


class Case(NamedTuple):
    """A source, the configuration that sets are distilled for, others, the methods, samples a class, and sets."""

    source: str
    home: str
    away: dict[str, str]  # by what differs from home
    methods: dict[str, str]
    per_class: tuple[int, ...]
    sets: int
    watched: tuple[int, ...]  # samples a class at which the way down is measured too

    @property
    def configurations(self) -> list[str]:
        return [self.home, *self.away.values()]


CASES = {
    "digits": Case(
        "digits",
        "convnet(width=8, depth=2)/sgd(lr=0.05)/none/cosine(steps=150)",
        {
            "optimizer": "convnet(width=8, depth=2)/adamw(lr=5e-3)/none/cosine(steps=150)",
            "architecture": "mlp(width=32)/sgd(lr=0.05)/none/cosine(steps=150)",
            "both": "mlp(width=32)/adamw(lr=3e-3)/none/cosine(steps=150)",
        },
        {
            "random": "random",
            "k-means": "k-means",
            "herding": "herding",
            "dm": "dm(steps=100)",
            "dc": "dc(steps=40, initial=real, epochs=5)",
            "dsa": "dsa(steps=40, lr_pixels=1.0, epochs=5)",
            "mtt": MTT,
            "bptt": "bptt(steps=60)",
        },
        (1, 3, 10),
        6,
        (1, 10),
    ),
    "fashion-mnist": Case(
        "fashion-mnist(train_limit=2000)",
        "mlp(width=32)/sgd(lr=0.02)/none/cosine(steps=150)",
        {
            "optimizer": "mlp(width=32)/adamw(lr=3e-3)/none/cosine(steps=150)",
            "both": "lenet/adamw(lr=3e-3)/none/cosine(steps=150)",
        },
        {
            "random": "random",
            "k-means": "k-means",
            "herding": "herding",
            "dm": "dm(steps=100, batch_real=64)",
            "dc": "dc(steps=40, initial=real, epochs=5, batch_real=64)",
            "dsa": "dsa(steps=40, lr_pixels=1.0, epochs=5, batch_real=64)",
            "mtt": MTT,
            "bptt": "bptt(steps=60, batch_real=64)",
        },
        (1, 3, 10),
        6,
        (),
    ),
}
SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75)  # of a method's steps; the whole is in the main rows
EVERY = 25
TRAININGS = 3
FIELDS = [
    "source", "method", "per_class", "k", "set", "configuration", "steps", "discrepancy", "uniform", "variance",
    "effective", "balanced", "error", "loss", "gap", "gap_loss", "seed_sd", "seconds",
]  # fmt: skip
KEPT = KeptRows(RESULTS / "interchange.csv", FIELDS)


def collect(name: str) -> None:
    """Set by set, so that what is there is whole whenever it is stopped."""
    import torch

    from limbeck.sources import load_source

    torch.set_num_threads(1)
    case = CASES[name]
    source = load_source(case.source)
    done = {tuple(row[column] for column in FIELDS[:7]) for row in KEPT.read()}
    known = {one: ground(source, name, one) for one in case.configurations}
    for own in range(case.sets):
        for per_class in case.per_class:
            for method, text in case.methods.items():
                learned = "steps=" in text
                for made, steps, seconds, whole in distilled(source, case, text, per_class, own, done, method, name):
                    for configuration in case.configurations if whole else [case.home]:
                        head = [name, method, per_class, 10 * per_class, own, configuration, steps if learned else 0]
                        if tuple(map(str, head)) not in done:
                            found = judged(made, source, configuration, known[configuration], own, whole)
                            KEPT.append([*head, *found, seconds])


def distilled(
    source: Any, case: Case, text: str, per_class: int, own: int, done: set[Any], method: str, name: str
) -> Iterator[tuple[Any, int, float, bool]]:
    """The set of one run, on its way where that is watched, and at its end: with steps, processor seconds, whole.

    Nothing where all of its rows are there.
    """
    import torch

    from limbeck.distillation import distill
    from limbeck.methods import Matching
    from limbeck.pool import Pool
    from limbeck.task import Task

    whole = int(text.split("steps=")[1].split(",")[0].rstrip(")")) if "steps=" in text else 0
    last = (name, method, str(per_class), str(10 * per_class), str(own), case.configurations[-1], str(whole))
    if last in done:
        return
    begun = time.process_time()
    if not whole:
        made = distill(source, text, case.home, per_class, seed=own)
        yield made, 0, time.process_time() - begun, True
        return
    stops = {round(share * whole) for share in SHARES} if per_class in case.watched else set()
    task = Task.prepare(
        source, text, case.home, Pool.of([case.home]), per_class, own, None, torch.device("cpu"), torch.float32
    )
    assert isinstance(task.method, Matching)
    run, spent = task.start(), 0.0
    while True:
        if run.step in stops or run.step == whole:
            spent += time.process_time() - begun
            yield task.finished(run, steps=run.step, seconds=spent), run.step, spent, run.step == whole
            begun = time.process_time()
        if run.step == whole:
            return
        task.advance(run, whole)


def judged(made: Any, source: Any, configuration: str, known: Any, own: int, whole: bool) -> list[Any]:
    """The measured columns of a row: the discrepancy of one training, the mean gap of all of them."""
    import numpy as np

    from limbeck.evaluation import evaluate
    from limbeck.measures.yardstick import measure_set

    found = measure_set(made, source, configuration, known, own, every=EVERY)
    more = evaluate(made, configuration, source, [own + 1000 * i for i in range(1, TRAININGS)]) if whole else []
    errors = [found["error"], *(row["error"] for row in more)]
    losses = [found["loss"], *(row["loss"] for row in more)]
    means = {"error": float(np.mean(errors)), "loss": float(np.mean(losses))}
    means |= {"gap": means["error"] - known.error, "gap_loss": means["loss"] - known.loss}
    means["seed_sd"] = float(np.std(errors, ddof=1)) if whole else 0.0
    return [(found | means)[column] for column in FIELDS[7:-1]]


def ground(source: Any, name: str, configuration: str) -> Any:
    """mu, and the full data's error and loss, of one configuration: measured once and kept beside the rows."""
    from limbeck.measures.yardstick import Ground, measure_ground

    file = RESULTS / "interchange_constants.json"
    held: dict[str, dict[str, dict[str, float]]] = json.loads(file.read_text()) if file.exists() else {}
    if configuration not in held.get(name, {}):
        held.setdefault(name, {})[configuration] = measure_ground(source, configuration, references=5).to_dict()
        file.write_text(json.dumps(held, indent=1))
    return Ground.read(held[name][configuration])
