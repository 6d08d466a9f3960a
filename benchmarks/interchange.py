"""Are surrogates interchangeable? Seven methods on digits, each set's alignment discrepancy beside the gap it leaves.

Every set is trained on under four configurations; the same run gives the alignment discrepancy A_a(S)^2 (weights at the
configuration's own mu, measured once on the full data) and the test error. A row is one run, appended as it ends: run
the same command again to go on. `--part 1/2` and `--part 2/2` share the work between two processes.

    python benchmarks/interchange.py --collect     rows to docs/results/interchange.csv (about 25 core-minutes)
    python benchmarks/interchange.py --write       the page and the figure from the rows (seconds)
"""

from __future__ import annotations

import argparse
import csv
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
ROWS = RESULTS / "interchange.csv"
HOME = "convnet(width=8, depth=2)/sgd(lr=0.05)/none/cosine(steps=150)"
CONFIGURATIONS = [
    HOME,
    "convnet(width=8, depth=2)/adamw(lr=5e-3)/none/cosine(steps=150)",
    "mlp/sgd(lr=0.05)/none/cosine(steps=150)",
    "mlp/adamw/none/cosine(steps=150)",
]
METHODS = {
    "random": "random",
    "k-means": "k-means",
    "herding": "herding",
    "dm": "dm(steps=200)",
    "dc": "dc(steps=60, initial=real, epochs=5)",
    "dsa": "dsa(steps=60, lr_pixels=1.0, epochs=5)",
    "mtt": "mtt(steps=100, lr_pixels=30.0, lr_step_size=1e-4, step_size=0.05, synthetic_steps=10, experts=3, "
    "expert_epochs=15, expert_lr=0.05, ahead=2, max_start=10, augmentation=none)",
}
PER_CLASS = [1, 2, 5, 10, 20]
SETS = 3
LEARNED = ["dm", "dc", "dsa", "mtt"]
FRACTIONS = [0.0, 0.05, 0.1, 0.2, 0.4, 0.7]  # of a method's steps, at 10 a class; the whole is in the main rows
EVERY = 15
FIELDS = [
    "method", "per_class", "k", "set", "configuration", "steps", "seed", "discrepancy", "uniform", "variance",
    "effective", "balanced", "error", "loss", "gap", "gap_loss", "seconds",
]  # fmt: skip


def work() -> Iterator[dict[str, Any]]:
    """All sets: every method and size, and the learned ones stopped early."""
    for own in range(SETS):
        for per_class in PER_CLASS:
            for method in METHODS:
                yield {"method": method, "per_class": per_class, "set": own, "share": 1.0}
        for method in LEARNED:
            for share in FRACTIONS:
                yield {"method": method, "per_class": 10, "set": own, "share": share}


def collect(part: str) -> None:
    import torch

    from limbeck.dynamics import Dynamics, error_and_loss
    from limbeck.measures.alignment import walk
    from limbeck.sources import load_source
    from limbeck.streams import derive

    torch.set_num_threads(1)
    source = load_source("digits")
    number, parts = (int(word) for word in part.split("/"))
    done = {tuple(row[name] for name in FIELDS[:6]) for row in rows()}
    known = {one: constants(source, one) for one in CONFIGURATIONS}
    for one in work():
        if zlib.crc32(json.dumps(one).encode()) % parts != number - 1:
            continue
        made, steps, seconds = distilled(source, one)
        for configuration in CONFIGURATIONS:
            head = [one["method"], one["per_class"], len(made.group), one["set"], configuration, steps]
            if tuple(map(str, head)) in done:
                continue
            dynamics, held = Dynamics(configuration, source.domain), known[configuration]
            run = derive(one["set"], "evaluate")
            passage, end = walk(dynamics, made.samples(), source.train, run, every=EVERY, variances=2)
            error, loss = error_and_loss(dynamics, end, source.test)
            mu = held["mu"]
            append(
                [
                    *head, one["set"], passage.discrepancy(mu), passage.discrepancy(),
                    float(passage.weights(mu) @ passage.variance), passage.effective_samples(mu),
                    passage.effective_samples(mu, balanced=True), error, loss, error - held["error"],
                    loss - held["loss"], seconds,
                ]
            )  # fmt: skip


def distilled(source: Any, one: dict[str, Any]) -> tuple[Any, int, float]:
    """A set, the steps it took and their seconds; a run stopped early is the beginning of the whole run."""
    from limbeck.distillation import distill

    text = METHODS[one["method"]]
    whole = int(text.split("steps=")[1].split(",")[0].rstrip(")")) if "steps=" in text else 0
    steps = round(one["share"] * whole)
    if whole and not steps:  # before the first step: what it starts from
        first = distill(source, text, HOME, one["per_class"], seed=one["set"], steps=1, candidates=1)
        start = distill(source, "random", HOME, one["per_class"], seed=one["set"])
        assert first.k == start.k
        return start, 0, 0.0
    made = distill(source, text, HOME, one["per_class"], seed=one["set"], steps=steps or None, candidates=1)
    return made, steps, made.provenance["seconds"]


def constants(source: Any, configuration: str) -> dict[str, float]:
    """mu, and the full data's error and loss, of one configuration: measured once and kept beside the rows."""
    from limbeck.dynamics import Dynamics, error_and_loss
    from limbeck.laws.contraction import contraction
    from limbeck.measures.alignment import walk
    from limbeck.measures.contraction import find_optimum
    from limbeck.streams import derive

    file = RESULTS / "interchange_constants.json"
    held: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    if configuration not in held:
        dynamics = Dynamics(configuration, source.domain)
        run = derive(0, "evaluate")
        optimum, _ = find_optimum(dynamics, source.train, run)
        passage, _ = walk(dynamics, source.train, source.train, run, every=5, variances=0)
        ends = [walk_end(dynamics, source, derive(seed, "evaluate")) for seed in range(SETS)]
        errors, losses = zip(*(error_and_loss(dynamics, end, source.test) for end in ends), strict=True)
        pl = contraction(passage, optimum)
        own = {"mu": pl.median, "optimum": optimum.value, "error": sum(errors) / SETS, "loss": sum(losses) / SETS}
        held = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**held, configuration: own}, indent=1))
        held[configuration] = own
    return held[configuration]


def walk_end(dynamics: Any, source: Any, seed: int) -> Any:
    from limbeck.dynamics import train

    return train(dynamics, source.train, seed).state


def rows() -> list[dict[str, str]]:
    if not ROWS.exists():
        return []
    with ROWS.open(newline="") as handle:
        return list(csv.DictReader(handle))


def append(values: list[Any]) -> None:
    fresh = not ROWS.exists()
    with ROWS.open("a", newline="") as handle:
        writer = csv.writer(handle)
        if fresh:
            writer.writerow(FIELDS)
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.collect:
        collect(chosen.part)
