"""Does it help to store samples as codes? Pixels, tiles and principal components, at equal k and at equal bytes.

random, dm and dc make sets of 10 samples a class stored as they are; of 10 stored as codes; and of as many codes as
then cost the same bytes, the directions counted. Tiles stand beside at the same bytes, and random samples as many as
there were codes. Every arm of a method takes the same number of steps, which cost more where there are more samples.

    python benchmarks/latent.py --collect     rows to docs/results/latent.csv (about 9 core-minutes)
    python benchmarks/latent.py --write       the page from the rows (seconds)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kept_rows import KeptRows
from page import collect_or_write, write_below_prose

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
KEPT = KeptRows(RESULTS / "latent.csv", ["source", "method", "arm", "per_class", "set", "seed", "bytes", "error"])
PER_CLASS = 10
SETS = 4
LABEL_BYTES = 8


class Case(NamedTuple):
    """A source, what its sets are judged under, the number of directions, and the steps that sets take."""

    source: str
    configuration: str
    features: int
    dimension: int
    steps: dict[str, int]
    seeds: int

    @property
    def per_class_in_codes(self) -> int:
        """Samples a class that cost, as codes with their directions, at most what PER_CLASS do as they are."""
        stored = 10 * PER_CLASS * (4 * self.features + LABEL_BYTES)
        left = stored - 4 * self.features * (self.dimension + 1)
        return left // (10 * (4 * self.dimension + LABEL_BYTES))


CASES = [
    Case(
        "digits", "convnet(width=16, depth=2)/adamw(lr=5e-3)/none/cosine(steps=150)", 64, 16, {"dm": 100, "dc": 30}, 2
    ),
    Case(
        "fashion-mnist(train_limit=10000)",
        "convnet(width=16, depth=3)/adamw(lr=5e-3)/none/cosine(steps=100)",
        784,
        50,
        {"dm": 60, "dc": 15},
        1,
    ),
]
SETTINGS = {"dm": "batch_real=64", "dc": "batch_real=64, initial=real, length=10, epochs=5"}


def arms(case: Case) -> Iterator[tuple[str, str, int, str]]:
    """Method, arm, samples a class and the text of the method."""
    codes, many = f"latent={case.dimension}", case.per_class_in_codes
    for method in ("random", "dm", "dc"):
        budget = [] if method == "random" else [f"steps={case.steps[method]}", SETTINGS[method]]
        stored = [("pixels", PER_CLASS, ""), ("codes, equal k", PER_CLASS, codes), ("codes, equal bytes", many, codes)]
        stored += (
            [("pixels, as many", many, "")] if method == "random" else [("tiles, equal bytes", PER_CLASS, "factor=2")]
        )
        for arm, per_class, form in stored:
            inner = ", ".join(part for part in [*budget, form] if part)
            yield method, arm, per_class, method + (f"({inner})" if inner else "")


def collect() -> None:
    import torch

    from limbeck.distillation import distill
    from limbeck.evaluation import evaluate
    from limbeck.sources import load_source

    torch.set_num_threads(1)
    done = {(row["source"], row["method"], row["arm"], row["set"]) for row in KEPT.read()}
    for which in range(SETS):
        for case in CASES:
            source = load_source(case.source)
            for method, arm, per_class, text in arms(case):
                if (case.source, method, arm, str(which)) in done:
                    continue
                made = distill(source, text, case.configuration, per_class, seed=which, candidates=1)
                for row in evaluate(made, case.configuration, source, range(case.seeds)):
                    values = [case.source, method, arm, per_class, which, row["seed"], made.bytes, row["error"]]
                    KEPT.append(values)
                print(*values, flush=True)


def errors(rows: list[dict[str, str]], method: str, arm: str) -> dict[str, float]:
    """Each set's mean test error over its trainings, in percent."""
    held: dict[str, list[float]] = {}
    for row in rows:
        if (row["method"], row["arm"]) == (method, arm):
            held.setdefault(row["set"], []).append(100 * float(row["error"]))
    return {which: sum(values) / len(values) for which, values in held.items()}


def interval(values: list[float]) -> str:
    """Mean [95 % t interval] over sets."""
    from limbeck.laws.guidance import mean_over_sets

    found = mean_over_sets(values)
    return f"{found.estimate:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def write() -> None:
    import numpy as np

    rows, lines = KEPT.read(), []
    for case in CASES:
        lines += [f"## {case.source}, {case.dimension} of {case.features} directions", ""]
        lines += [
            "| method | stored as | samples a class | bytes | error, % (sd over sets) | points above pixels [95 %] |",
            "|---|---|---|---|---|---|",
        ]
        kept = [row for row in rows if row["source"] == case.source]
        for method, arm, per_class, _ in arms(case):
            own, stored = errors(kept, method, arm), errors(kept, method, "pixels")
            said = "-" if arm == "pixels" else interval([own[which] - stored[which] for which in own])
            facts = next(row for row in kept if (row["method"], row["arm"]) == (method, arm))
            spread = f"{np.mean(list(own.values())):.1f} ({np.std(list(own.values()), ddof=1):.1f})"
            lines.append(f"| {method} | {arm} | {per_class} | {facts['bytes']} | {spread} | {said} |")
        codes = {method: errors(kept, method, "codes, equal bytes") for method in ("random", "dm", "dc")}
        for method in ("dm", "dc"):
            off = [codes[method][which] - codes["random"][which] for which in codes[method]]
            lines += ["", f"Codes at equal bytes, {method} less random: {interval(off)} points."]
        steps = ", ".join(f"{method} {count}" for method, count in case.steps.items())
        lines += ["", f"{SETS} sets x {case.seeds} trainings under `{case.configuration}`; steps: {steps}.", ""]
    write_below_prose(RESULTS / "latent.md", "\n".join(lines), "Codes")


if __name__ == "__main__":
    collect_or_write(__doc__, collect, write)
