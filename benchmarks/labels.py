"""Is it the images or the labels that carry a set? The same images, labelled in three ways, and the labeller alone.

Sets of five methods are trained on with hard labels, with one soft label a sample by a teacher, and with that teacher
carried by the set, which then labels every view anew. What a teacher costs in bytes is paid in more samples beside. Two
further tables vary the temperature (on validation samples, before anything else) and how long the teacher was trained.

    python benchmarks/labels.py --collect     rows to docs/results/labels.csv (about 20 core-minutes)
    python benchmarks/labels.py --write       the page's tables from the rows
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from kept_rows import KeptRows
from limbeck.configuration import Configuration
from limbeck.distillation import distill
from limbeck.dynamics import Dynamics, errors_and_losses
from limbeck.evaluation import evaluate
from limbeck.labeller import Labeller
from limbeck.laws.guidance import mean_over_sets
from limbeck.sources import Source, load_source
from limbeck.states.experts import train_expert
from limbeck.synthetic import SyntheticSet
from limbeck.variants import make
from page import collect_or_write, table, write_below_prose

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
COLUMNS = ["method", "labels", "per_class", "set", "seed", "teacher_epochs", "temperature", "bytes", "seconds"]
KEPT = KeptRows(RESULTS / "labels.csv", [*COLUMNS, "error", "validation_error"])
SOURCE = "fashion-mnist(train_limit=10000)"
CONFIGURATION = "convnet(width=32, depth=3)/adamw(lr=5e-3)/siamese/cosine(steps=150)"
NORMED = CONFIGURATION.replace(
    "(width", "(norm=batch, width"
)  # sre2l's teacher, and so its labeller, needs batch norms
SETS, EPOCHS, TEMPERATURE = 3, 3, 3.0
SEEDS = {1: 2, 10: 1, 50: 1}  # trainings of each set
PAID = 3  # samples a class that cost what a labeller does: 97 kB
LABELS = ("hard", "soft", "teacher")
# Steps that fit into what the teacher leaves of 20 s of a core, by the rates of docs/results/methods.md.
STEPS = {"dm": {1: 70, 10: 110}, "sre2l": {1: 60, 10: 25}}
SETTINGS = {"dm": "batch_real=64"}
METHODS = ("random", "k-means", "rded", "sre2l", "dm")


class Arm(NamedTuple):
    """A set and how it is labelled: what the rows of its trainings have in common."""

    method: str
    labels: str
    per_class: int
    which: int
    epochs: int = EPOCHS
    temperature: float = TEMPERATURE

    @property
    def walked(self) -> str:
        return NORMED if self.method == "sre2l" else CONFIGURATION

    @property
    def seeds(self) -> int:
        return SEEDS[max(size for size in SEEDS if size <= self.per_class)]


def arms() -> Iterator[Arm]:
    """Set by set, so that a run that was cut off has whole replicates; what takes longest last."""
    for which in range(SETS):
        yield Arm("random", "teacher", 10, which, temperature=1.0)
        for per_class in (1, 10):
            for method in METHODS:
                yield from (Arm(method, labels, per_class, which) for labels in LABELS)
            yield from (Arm(method, "hard", per_class + PAID, which) for method in ("random", "k-means"))
    for which in range(SETS):
        yield Arm("random", "teacher", 10, which, temperature=10.0)
        yield from (Arm("random", "teacher", 10, which, epochs=epochs) for epochs in (1, 10))
    for which in range(SETS):
        for method in ("random", "k-means"):
            yield from (Arm(method, labels, 50, which) for labels in ("hard", "teacher"))


@cache
def source() -> Source:
    return load_source(SOURCE)


@cache
def trained(walked: str, which: int, epochs: int) -> torch.Tensor:
    """The trajectory (start, end) of a set's own teacher."""
    plan = make("methods", f"random(labels=teacher, teacher_epochs={epochs})").teacher_plan(
        Configuration.parse(walked), source().domain
    )
    return train_expert(plan, Dynamics(plan.configuration, source().domain), source().train, which)


@cache
def made(method: str, per_class: int, which: int, walked: str, epochs: int) -> tuple[SyntheticSet, float]:
    """A set that carries its teacher, and the seconds of a core that it took, those of the teacher left out."""
    teacher = trained(walked, which, epochs)
    begun = time.process_time()
    settings = ["labels=teacher", f"teacher_epochs={epochs}", *([SETTINGS[method]] if method in SETTINGS else [])]
    settings += [f"steps={STEPS[method][per_class]}"] if method in STEPS else []
    experts: Callable[[int], torch.Tensor] = lambda number: teacher  # noqa: E731
    found = distill(
        source(), f"{method}({', '.join(settings)})", walked, per_class,
        seed=which, candidates=1, experts=experts, teachers=experts,
    )  # fmt: skip
    return found, time.process_time() - begun


def labelled(arm: Arm) -> tuple[SyntheticSet, float]:
    """The set of an arm: the same images for all its labels."""
    own, seconds = made(arm.method, arm.per_class, arm.which, arm.walked, arm.epochs)
    labeller = own.labeller
    assert labeller is not None
    if arm.labels == "teacher":
        return own.labelled_by(replace(labeller, temperature=arm.temperature)), seconds
    bare = {name: tensor for name, tensor in own.tensors.items() if not name.startswith("labeller")}
    if arm.labels == "soft":
        bare["logits"] = own.samples().y.log()
        return replace(own, tensors=bare, parameterization="pixels(labels=soft)"), seconds
    return replace(own, tensors=bare), seconds


def collect() -> None:
    """Make the sets and train on them; rows that are there stay."""
    kept = KEPT.read()
    done = {tuple(row[name] for name in COLUMNS[:7]) for row in kept}
    for which in range(SETS):
        for walked, epochs in ((CONFIGURATION, EPOCHS), (CONFIGURATION, 1), (CONFIGURATION, 10), (NORMED, EPOCHS)):
            name = "teacher, batch norms" if walked == NORMED else "teacher"
            if (name, "-", "0", str(which), "0", str(epochs), "0") not in done:
                alone(name, walked, which, epochs)
    for arm in arms():
        own = [str(part) for part in (arm.method, arm.labels, arm.per_class, arm.which)]
        last = [str(arm.epochs), f"{arm.temperature:.6g}"]
        if (*own, str(arm.seeds - 1), *last) in done:
            continue
        found, seconds = labelled(arm)
        for seed, row in enumerate(evaluate(found, CONFIGURATION, source(), range(arm.seeds))):
            KEPT.append([*own, seed, *last, found.bytes, seconds, row["error"], row["validation_error"]])
        print(*arm, f"{row['error']:.3f}", flush=True)


def alone(name: str, walked: str, which: int, epochs: int) -> None:
    """How good a teacher is itself."""
    begun = time.process_time()
    trained(walked, which, epochs)
    seconds = time.process_time() - begun
    own, _ = made("random", 1, which, walked, epochs)
    labeller = own.labeller
    assert isinstance(labeller, Labeller)
    dynamics = Dynamics(walked, source().domain)
    state = dynamics.restarted(labeller.vector, labeller.buffers)
    errors = [errors_and_losses(dynamics, [state], part)[0][0] for part in (source().test, source().validation)]
    stored = sum(tensor.nbytes for tensor in labeller.tensors().values())
    KEPT.append([name, "-", 0, which, 0, epochs, 0, stored, seconds, *errors])
    print(name, which, epochs, errors, flush=True)


def of_sets(rows: list[dict[str, str]], column: str = "error", **wanted: Any) -> np.ndarray[Any, Any]:
    """Percent of each set, over its trainings, of the rows with these values."""
    wanted = {"teacher_epochs": EPOCHS, "temperature": f"{TEMPERATURE:.6g}"} | wanted
    own = [row for row in rows if all(row[key] == str(value) for key, value in wanted.items())]
    sets = sorted({row["set"] for row in own})
    return np.array([np.mean([100 * float(row[column]) for row in own if row["set"] == which]) for which in sets])


def less(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> str:
    """Points of error, set by set, with Student's interval; a dash where either was not measured."""
    return points(one - other, "+") if len(one) == len(other) > 1 else "-"


def points(values: np.ndarray[Any, Any], sign: str = "") -> str:
    """Mean over sets with Student's 95 % interval, to a tenth of a point."""
    held = mean_over_sets([float(value) for value in values])
    ends = held.estimate, held.low, held.high
    found, low, high = (f"{0.0 if end is None else end:{sign}.1f}" for end in ends)
    return f"{found} [{low}, {high}]"


def compared(rows: list[dict[str, str]]) -> Iterator[list[Any]]:
    """One line a method and size: errors of the three labels, and what each step gains on the same images."""
    for per_class in SEEDS:
        for method in METHODS:
            hard, soft, teacher = (
                of_sets(rows, method=method, labels=labels, per_class=per_class) for labels in LABELS
            )
            shown = [
                f"{one.mean():.1f} ({one.std(ddof=1):.1f})" if len(one) > 1 else "-" for one in (hard, soft, teacher)
            ]
            pairs = ((soft, hard), (teacher, hard), (teacher, soft))
            if len(teacher) > 1:
                yield [per_class, method, *shown, *(less(*pair) for pair in pairs)]


def against(rows: list[dict[str, str]]) -> Iterator[list[Any]]:
    """What is left of methods' differences under each kind of labels: points above k-means, set by set."""
    for per_class in SEEDS:
        for method in METHODS:
            if method != "k-means":
                both = [
                    [of_sets(rows, method=name, labels=labels, per_class=per_class) for name in (method, "k-means")]
                    for labels in LABELS
                ]
                if len(both[-1][0]) > 1:
                    yield [per_class, method, *(less(*pair) for pair in both)]


def apart(rows: list[dict[str, str]]) -> Iterator[str]:
    """How far apart methods' mean errors are under each kind of labels."""
    for per_class in SEEDS:
        found = [
            [of_sets(rows, method=method, labels=labels, per_class=per_class) for method in METHODS]
            for labels in LABELS
        ]
        if all(len(one) > 1 for kind in found for one in kind):
            spreads = [np.std([one.mean() for one in kind], ddof=1) for kind in found]
            said = ", ".join(f"{labels} {spread:.1f}" for labels, spread in zip(LABELS, spreads, strict=True))
            yield f"Standard deviation of the five methods' mean errors at {per_class} a class, in points: {said}."


def paid(rows: list[dict[str, str]]) -> Iterator[list[Any]]:
    """The labeller's bytes spent on more samples with hard labels."""
    for per_class in SEEDS:
        for method in ("random", "k-means"):
            more = of_sets(rows, method=method, labels="hard", per_class=per_class + PAID)
            own = of_sets(rows, method=method, labels="teacher", per_class=per_class)
            if min(len(more), len(own)) < 2:
                continue
            sizes = [
                next(r["bytes"] for r in rows if (r["method"], r["labels"], r["per_class"]) == (method, labels, str(k)))
                for labels, k in (("teacher", per_class), ("hard", per_class + PAID))
            ]
            both = f"{own.mean():.1f}", f"{more.mean():.1f}"
            yield [method, per_class, sizes[0], both[0], per_class + PAID, sizes[1], both[1], less(own, more)]


def labellers(rows: list[dict[str, str]]) -> Iterator[list[Any]]:
    """Teachers of other lengths and temperatures at 10 random samples a class."""
    for epochs, temperature in (
        (EPOCHS, 1.0),
        (EPOCHS, TEMPERATURE),
        (EPOCHS, 10.0),
        (1, TEMPERATURE),
        (10, TEMPERATURE),
    ):
        own: dict[str, Any] = {"method": "random", "labels": "teacher", "per_class": 10}
        own |= {"teacher_epochs": epochs, "temperature": f"{temperature:.6g}"}
        itself = of_sets(rows, method="teacher", teacher_epochs=epochs, temperature=0)
        held_out = of_sets(rows, "validation_error", **own)
        if len(held_out) < 2:
            continue
        yield [
            epochs,
            f"{temperature:g}",
            f"{itself.mean():.1f}",
            f"{held_out.mean():.1f}",
            points(of_sets(rows, **own)),
        ]


def write() -> None:
    """The page: what was written by hand above the mark, tables below it."""
    rows = KEPT.read()
    head_of = ["samples a class", "method", "hard, %", "one soft, %", "teacher, %"]
    parts = [
        "## Errors by labels, the same images",
        table([*head_of, "soft less hard [95 %]", "teacher less hard", "teacher less soft"], compared(rows)),
        "## What is left of the images: points of error above k-means",
        table(["samples a class", "method", *LABELS], against(rows)),
        "\n\n".join(apart(rows)),
        "## A labeller's bytes spent on samples",
        table(
            [
                "method",
                "samples a class",
                "bytes",
                "with teacher, %",
                "samples a class",
                "bytes",
                "hard, %",
                "teacher less hard",
            ],
            paid(rows),
        ),
        "## Which teacher",
        table(["epochs", "temperature", "teacher's own error, %", "validation, %", "test, %"], labellers(rows)),
    ]
    write_below_prose(RESULTS / "labels.md", "\n\n".join(parts), "Images or labels")


if __name__ == "__main__":
    torch.set_num_threads(1)
    collect_or_write(__doc__, collect, write)
