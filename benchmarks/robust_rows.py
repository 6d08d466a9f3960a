"""Sets distilled for one configuration or for a pool, and the gaps of trainings on them: made, kept and read."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kept_rows import KeptRows

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
HOME = "convnet(width=8, depth=2)/sgd(lr=0.05)/none/cosine(steps=120)"
POOL = [
    HOME,
    "convnet(width=8, depth=2, norm=batch)/adamw(lr=5e-3)/none/cosine(steps=120)",
    "mlp(width=64)/sgd(lr=0.05)/none/cosine(steps=120)",
    "lenet/adamw(lr=3e-3)/none/cosine(steps=120)",
]
HELD_OUT = [
    "convnet(width=8, depth=2)/adamw(lr=5e-3)/none/cosine(steps=120)",
    "convnet(width=8, depth=2, norm=batch)/sgd(lr=0.05)/none/cosine(steps=120)",
    "convnet(width=8, depth=2, norm=layer)/sgd(lr=0.05)/none/cosine(steps=120)",
    "convnet(width=12, depth=1)/adamw(lr=5e-3)/none/cosine(steps=120)",
    "lenet/adam(lr=2e-3)/none/cosine(steps=120)",
    "mlp(width=128)/adamw/none/cosine(steps=120)",
    "mlp(width=32, depth=1)/sgd(lr=0.1)/none/cosine(steps=120)",
    "mlp(width=64, norm=batch)/adamw(lr=3e-3)/none/cosine(steps=120)",
]
SURROGATES = ["dm", "own path", "own outcome"]
PER_CLASS = [1, 2, 5, 10, 20]
SETS = 8
SEEDS = 2
REFERENCES = 4
CHANCE = 0.9  # the error of a training that diverges
FIELDS = ["method", "k", "set", "configuration", "seed", "error", "seconds"]
KEPT = KeptRows(RESULTS / "robust.csv", FIELDS)


def recipe(surrogate: str) -> Any:
    """A surrogate's recipe; its steps are the same for one configuration and for a pool."""
    from limbeck.methods.dm import DM
    from own_dynamics import OwnOutcome, OwnPath

    recipes = {"dm": DM(steps=120), "own path": OwnPath(steps=120), "own outcome": OwnOutcome(steps=40, total=15)}
    return recipes[surrogate]


def arms() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Name of an arm: its method, and the pool that it is given."""
    found: dict[str, tuple[Any, dict[str, Any]]] = {"random": ("random", {}), "k-means": ("k-means", {})}
    for name in SURROGATES:
        found[f"{name}, single"] = (recipe(name), {"candidates": 1})
        found[f"{name}, pool"] = (recipe(name), {"candidates": 1, "configurations": POOL})
    return found


def collect() -> None:
    """Set by set, so that what is there is whole whenever it is stopped."""
    import torch

    from limbeck.distillation import distill
    from limbeck.evaluation import reference
    from limbeck.sources import load_source

    torch.set_num_threads(1)
    source = load_source("digits")
    done = {(row["method"], row["k"], row["set"], row["configuration"]) for row in KEPT.read()}
    for configuration in [HOME, *HELD_OUT]:
        if ("reference", "", "", configuration) not in done:
            for row in reference(source, configuration, range(REFERENCES)):
                KEPT.append(["reference", "", "", configuration, row["seed"], row["error"], 0.0])
    for own in range(SETS):
        for per_class in PER_CLASS:
            heads = {name: (name, str(10 * per_class), str(own)) for name in arms()}
            left = [name for name in arms() if any((*heads[name], one) not in done for one in [HOME, *HELD_OUT])]
            made, seconds = {}, {}
            for name in left:
                method, options = arms()[name]
                begun = time.process_time()
                made[name] = distill(source, method, HOME, per_class, seed=own, **options)
                seconds[name] = time.process_time() - begun
            for configuration in [HOME, *HELD_OUT]:
                missing = [name for name in left if (*heads[name], configuration) not in done]
                found = errors([made[name] for name in missing], configuration, source, own)
                for name, own_errors in zip(missing, found, strict=True):
                    for seed, error in enumerate(own_errors):
                        KEPT.append([*heads[name], configuration, seed, error, seconds[name]])


def errors(made: list[Any], configuration: str, source: Any, own: int) -> list[list[float]]:
    """The test errors of the trainings on each set, all trained at once; that of chance where one diverges."""
    from limbeck.dynamics import Dynamics, error_and_loss
    from limbeck.errors import Diverged
    from limbeck.replicates import train_many
    from limbeck.streams import derive

    dynamics = Dynamics(configuration, source.domain)
    seeds = [derive(own + 1000 * seed, "evaluate") for seed in range(SEEDS)]
    try:
        runs = train_many(dynamics, [one.samples() for one in made for _ in seeds], seeds * len(made))
    except Diverged:
        if len(made) == 1:
            return [[CHANCE] * SEEDS]
        return [errors([one], configuration, source, own)[0] for one in made]
    found = [error_and_loss(dynamics, run.state, source.test)[0] for run in runs]
    return [found[SEEDS * place : SEEDS * (place + 1)] for place in range(len(made))]


@dataclass(frozen=True)
class Measured:
    """One arm's gaps, in points of error, of the sets that every arm has whole: (levels, sets) each."""

    k: Any
    worst: Any  # over held-out configurations, chosen on one half of the seeds and read from the other
    mean: Any  # over held-out configurations
    home: Any
    setters: list[str]  # the configuration of the largest mean gap at each k
    seconds: float  # processor seconds to make a set, mean over k and sets
    reference: tuple[float, float]  # standard deviation of a reference run, points, and their number

    def required(self, name: str, target: float) -> Any:
        """The k at which the law of a measure, allowed to bend, reaches a target, with its interval."""
        from limbeck.laws import fit_scaling

        gaps = getattr(self, name)
        levels, sets = gaps.shape
        share = len(HELD_OUT) ** 0.5 if name == "mean" else 1.0
        reference = (self.reference[0] / share, self.reference[1])
        ids = [one for _ in range(levels) for one in range(sets)]
        fit = fit_scaling(self.k.repeat(sets), gaps.ravel(), ids, reference_errors=reference)
        return fit.foretold.required_k(target)


def measured() -> dict[str, Measured]:
    """What the rows say of each arm, over the sets that every arm has whole."""
    from limbeck.laws.worst import read_runs, worst_gaps

    rows = KEPT.read()
    whole = len(arms()) * len(PER_CLASS) * (1 + len(HELD_OUT)) * SEEDS
    counts = Counter(row["set"] for row in rows if row["method"] != "reference")
    kept = [row for row in rows if row["method"] == "reference" or counts[row["set"]] == whole]
    found = {}
    for name in arms():
        runs = read_runs(kept, name)
        away, home = runs.among(HELD_OUT), runs.among([HOME])
        family = worst_gaps(away, np.ones((1, len(HELD_OUT)), bool))
        seconds = float(np.mean([float(row["seconds"]) for row in kept if row["method"] == name]))
        found[name] = Measured(
            away.k, 100 * family.split[0], 100 * away.gap.mean(0), 100 * home.gap[0],
            [HELD_OUT[place] for place in family.setter[0]], seconds,
            (100 * float(away.reference.var(1, ddof=1).mean()) ** 0.5, REFERENCES),
        )  # fmt: skip
    return found
