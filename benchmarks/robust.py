"""Does it help to distil for several configurations at once? Required k on held-out ones, at equal distillation cost.

Three surrogates draw their states from one configuration, or in turn from four that differ in network and optimizer:
dm (untrained networks), dm's means along the configuration's own training path, and the outcome of the configuration's
own training. k-means and random stand beside. All are judged under eight configurations that no set was distilled with.
A row is one training, appended as it ends: run the same command again to go on.

    python benchmarks/robust.py --collect     rows to docs/results/robust.csv (about 2 core-minutes a set)
    python benchmarks/robust.py --write       the page and the figure from the rows (seconds)
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kept_rows import KeptRows
from limbeck.laws.multiplicity import holm
from page import mean, mean_over_sets, panels, save, table, written

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
TARGETS = {"worst": 10.0, "mean": 6.0}  # points of error, chosen before these rows were there
LENIENT = {"worst": 24.0, "mean": 16.0}  # where no ratio exists at those: chosen after the rows were there
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
    import numpy as np

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


def ratio(held: dict[str, Measured], first: str, second: str, name: str, target: float = 0.0) -> Any:
    from limbeck.laws import required_ratio

    one, other = held[first], held[second]
    return required_ratio(one.k, getattr(one, name), getattr(other, name), target or TARGETS[name])


def required_table(held: dict[str, Measured]) -> str:
    """Required k of every arm for both targets."""
    lines = []
    for name, one in held.items():
        cells = [written(one.required(measure, target)) for measure, target in TARGETS.items()]
        lines.append([name, *cells, f"{one.seconds:.1f}"])
    heads = [f"k for a {measure} gap of {target:g} points" for measure, target in TARGETS.items()]
    return table(["sets", *heads, "seconds a set"], lines)


PAIRS = [(f"{name}, pool", f"{name}, single") for name in SURROGATES]
AGAINST = [(f"{name}, {breadth}", "k-means") for name in SURROGATES for breadth in ("single", "pool")]


def ratio_table(held: dict[str, Measured]) -> str:
    lines = [
        [f"{first} / {second}", *(written(ratio(held, first, second, name)) for name in TARGETS)]
        for first, second in PAIRS + AGAINST
    ]
    return table(["ratio of required k", *TARGETS], lines)


def gap_table(held: dict[str, Measured]) -> str:
    lines = []
    for level, k in enumerate(held["random"].k):
        for name, one in held.items():
            lines.append([f"{k:.0f}", name, mean(one.worst[level]), mean(one.mean[level]), mean(one.home[level])])
    return table(["k", "sets", "worst gap", "mean gap", "gap at home"], lines)


def difference_table(held: dict[str, Measured]) -> str:
    lines = []
    for first, second in PAIRS:
        for level, k in enumerate(held[first].k):
            cells = [mean(getattr(held[first], m)[level] - getattr(held[second], m)[level]) for m in TARGETS]
            lines.append([f"{first} less {second}", f"{k:.0f}", *cells])
        cells = [mean((getattr(held[first], m) - getattr(held[second], m)).mean(0)) for m in TARGETS]
        lines.append([f"{first} less {second}", "mean of all", *cells])
    return table(["compared", "k", *(f"{name} gap, difference" for name in TARGETS)], lines)


def advantage(one: Measured, other: Measured) -> Any:
    """How much more one arm loses on the way from home to the held-out configurations than another: (sets,)."""
    return ((one.mean - one.home) - (other.mean - other.home)).mean(0)


def advantage_table(held: dict[str, Measured]) -> str:
    lines = [
        [name, mean((one.mean - one.home).mean(0)), mean(advantage(one, held["k-means"]))]
        for name, one in held.items()
        if name != "k-means"
    ]
    return table(["sets", "mean held-out gap less gap at home", "the same, less that of k-means"], lines)


def figure(held: dict[str, Measured]) -> None:
    """Both measures against k, a column a surrogate: single, pool and k-means; every set, mean and interval."""
    from limbeck.laws.guidance import mean_over_sets

    drawing, axes = panels(2, len(SURROGATES), (7.2, 5.2))
    for row, name in enumerate(TARGETS):
        for column, surrogate in enumerate(SURROGATES):
            axis = axes[row * len(SURROGATES) + column]
            shown = [("k-means", "k-means", "0.5", "D"), (f"{surrogate}, single", "one configuration", "C0", "o"),
                     (f"{surrogate}, pool", "pool of four", "C1", "s")]  # fmt: skip
            for place, (arm, label, colour, mark) in enumerate(shown):
                gaps, k = getattr(held[arm], name), held[arm].k * 1.07 ** (place - 1)
                for own in gaps.T:
                    axis.plot(k, own, mark, ms=2, alpha=0.4, color=colour)
                middle = [mean_over_sets(list(one)) for one in gaps]
                low, at, high = np.array([(one.low, one.estimate, one.high) for one in middle], float).T
                axis.errorbar(k, at, [at - low, high - at], color=colour, lw=1.2, label=label)
            axis.axhline(TARGETS[name], color="k", lw=0.6, ls=":")
            axis.set_xscale("log")
            axis.set_yscale("symlog", linthresh=5, linscale=0.5)
            axis.set_ylim(-4, 45)
            ticks = [int(one) for one in held["random"].k]
            axis.set_xticks(ticks, [str(one) for one in ticks], fontsize=7)
            axis.set_xticks([], minor=True)
            axis.set_yticks([0, 5, 10, 20, 40], ["0", "5", "10", "20", "40"], fontsize=7)
            axis.set_yticks([], minor=True)
            if not row:
                axis.set_title(surrogate, fontsize=9)
            else:
                axis.set_xlabel("k (samples)", fontsize=8)
            if not column:
                axis.set_ylabel(f"{name} held-out gap (points)", fontsize=8)
    axes[0].legend(fontsize=6.5)
    save(drawing, RESULTS / "robust.png")


def verdict(held: dict[str, Measured]) -> str:
    """A line for every surrogate: what its pool needs over what one configuration needs, for both targets.

    A pool counts as better or worse where the p of its ratio is below .05 after Holm's correction for all of them.
    """
    asked = [(name, measure) for name in SURROGATES for measure in TARGETS]
    found = {one: ratio(held, f"{one[0]}, pool", f"{one[0]}, single", one[1]) for one in asked}
    known = [one for one in asked if found[one].low is not None and found[one].high is not None]
    sets = held["random"].mean.shape[1]
    p = dict(zip(known, holm([p_value(found[one], sets) for one in known]), strict=True))
    lines = []
    for name, measure in asked:
        one, target = found[name, measure], TARGETS[measure]
        adjusted = p.get((name, measure), 1.0)
        said = f"{written(one)} times the samples"
        if one.estimate is None:
            arms_held = [held[f"{name}, {breadth}"] for breadth in ("pool", "single")]
            pool, single = (reached(arm, measure, target) for arm in arms_held)
            easier = ratio(held, f"{name}, pool", f"{name}, single", measure, LENIENT[measure])
            said = f"no ratio: a pool {pool}, one configuration {single}. At {LENIENT[measure]:g} points, a target "
            said += f"that was chosen when the rows were there, {written(easier)} times the samples"
        elif adjusted < 0.05:
            said += f": **a pool needs {'fewer' if one.estimate < 1 else 'more'}** (Holm's p = {adjusted:.2g})"
        elif one.low is not None and one.high is not None and not one.low <= 1 <= one.high:
            said += f": the interval excludes 1, but of {len(known)} one may by chance (Holm's p = {adjusted:.2g})"
        else:
            said += ": neither fewer nor more, as far as these rows tell"
        lines.append(f"- {name}, {measure} gap of {target:g} points: {said}.")
    return "\n".join(lines)


def p_value(found: Any, sets: int) -> float:
    """Of a ratio of 1, by the Student's t that its 95 % interval is of."""
    import math

    from scipy.stats import t

    error = math.log(found.high / found.low) / (2 * float(t.ppf(0.975, sets - 1)))
    return 2 * float(t.sf(abs(math.log(found.estimate)) / error, sets - 1))


def reached(one: Measured, measure: str, target: float) -> str:
    found = one.required(measure, target)
    return "does not reach it" if found.estimate is None else f"needs {written(found)}"


def differing(held: dict[str, Measured]) -> str:
    """At which k a pool's mean held-out gap differs from a single configuration's, in words."""
    lines = []
    for name in SURROGATES:
        pool, single = held[f"{name}, pool"], held[f"{name}, single"]
        found = {k: mean_over_sets(list(gap)) for k, gap in zip(pool.k, pool.mean - single.mean, strict=True)}
        sure = [f"{written(one)} at k = {k:.0f}" for k, one in found.items() if not one.covers(0.0)]
        lines.append(f"{name} {'; '.join(sure) or 'at no k'}")
    return " | ".join(lines)


def moved(held: dict[str, Measured]) -> str:
    """Whether it matters for which configuration a set was distilled, in words."""
    lines = []
    for name in SURROGATES:
        lost = mean_over_sets(list(advantage(held[f"{name}, single"], held["k-means"])))
        if (lost.low or 0) > 0:
            said = "home matters, and a pool could win that back"
        elif (lost.high or 0) < 0:
            said = "its sets lose *less* than k-means's: nothing is there for a pool to win back"
        else:
            said = "not told apart from none: little is there for a pool to win back"
        lines.append(f"- {name}: {written(lost)} points; {said}.")
    return "\n".join(lines)


def page() -> str:
    held = measured()
    figure(held)
    setters = Counter(one for arm in held.values() for one in arm.setters)
    worst = "; ".join(f"`{name}` {count}" for name, count in setters.most_common(3))
    breadth = -advantage(held["own outcome, pool"], held["own outcome, single"])
    return TEMPLATE.format(
        sets=held["random"].mean.shape[1], held=len(HELD_OUT), runs=len(KEPT.read()), verdict=verdict(held),
        required=required_table(held), ratios=ratio_table(held), gaps=gap_table(held), moved=moved(held),
        differing=differing(held),
        differences=difference_table(held), advantage=advantage_table(held), worst=worst, cells=sum(setters.values()),
        home=HOME, pool=", ".join(f"`{one}`" for one in POOL[1:]),
        said=SAID.format(sets=held["random"].mean.shape[1], breadth=mean(breadth)),
        outside=", ".join(f"`{one}`" for one in HELD_OUT), references=REFERENCES,
    )  # fmt: skip


SAID = """- Where sets are distilled by the **outcome** of training, a pool helps, most where k is large. But its gain
  away from home, less that at home, is {breadth} points (mean over k): better sets altogether, as far as
  these rows tell, and no more breadth. That one configuration's sets are fitted to the first 15 steps of one kind of
  network would explain it, and is not tested. Both stay far behind k-means from k = 50 on: a pool mends a surrogate
  that is not worth taking at this budget.
- Where sets are distilled by **means of features** (dm, own path) no saving was found. What one configuration's sets
  lose on the way to the held-out ones is not told apart from what k-means's lose (below): there is little to win back.

## What was not confirmed, and why

- The guess of an earlier state of this page, that a pool did not help dm because it varied the architecture alone.
  With *own path* the pool varies optimizers too, and no saving was found either.
- That a pool of feature means saves nothing: {sets} sets leave room for what the ends of the ratios say.
- Worst-case weights: not in these rows. On an earlier design (dm, k = 20, four sets) they did no better than equal ones
  and cost six times the seconds, for their validations.
- Other sources, pools of another size, and the papers' budgets: these sets had 120 steps (outcome: 40). The full-data
  references of two held-out configurations end at 6 and 7 % of error in 120 steps, so gaps at k = 200 are near zero or
  below, and the targets are read between k = 10 and 100.

"""
TEMPLATE = """# Does distilling for several configurations help?

`python benchmarks/robust.py --collect && python benchmarks/robust.py --write`: digits, {sets} sets an arm and k, judged
under {held} held-out configurations with two trainings each ({runs} trainings in all, {references} of each on the full
data). A pool visits one of four configurations a step, so a pool and a single configuration take
the same number of steps. A worst gap is read from the half of the seeds that did not choose its configuration. Targets
were fixed before the rows were there. Rows: [robust.csv](robust.csv).

*own path* is dm's surrogate along the path of the configuration's own training on the real data, *own outcome* the loss
on real data after the configuration's own training on the set (`benchmarks/own_dynamics.py`); both with the optimizer
and schedule of the configuration, which published recipes replace by one of their own (decision 0077).

## What was found

How many times the samples a pool of four needs, that one configuration needs for the same gap (95 %, paired by set):

{verdict}

The mean held-out gap of a pool less that of one configuration (points), where the 95 % interval of one k excludes zero:
{differing}. With fifteen such intervals about one excludes zero by chance.

{said}
![Held-out gaps](robust.png)

*Worst (above) and mean (below) held-out gap against k. Every point is one set, lines are means with Student's 95 %
intervals (n = {sets}); the dotted line is the target. Above 5 points the axis is logarithmic.*

## Required k (95 %)

Of the scaling law of the mean over sets, allowed to bend (decision 0055), the noise of the references included.

{required}

## Ratios of required k

Paired by set: sets of one seed start from the same real samples. Jackknife over sets, Student's 95 % interval of the
logarithm (`limbeck.laws.required_ratio`); below 1 the first needs fewer. Both ends are open where a fit without one of
the sets does not reach the target.

{ratios}

## Does it matter for which configuration a set was distilled?

Points of error that sets lose on the way from home to the held-out configurations, mean over k; k-means, which knows no
configuration, loses what the configurations themselves make it lose. Only what is beyond that can a pool win back.

{moved}

{advantage}

The largest mean gap was most often under {worst} (of {cells} arms x k).

## Gaps, points of error (mean [95 %] over sets)

{gaps}

## Pool less single, set by set (paired t, 95 %)

{differences}

Home, and the single configuration: `{home}`. The pool is that and {pool}. Held out: {outside}.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.collect:
        collect()
    if chosen.write:
        (RESULTS / "robust.md").write_text(page())
