"""The page of `robust.py`: required k, its ratios, gaps, and what they say."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from scipy.stats import t

from limbeck.laws.multiplicity import holm
from page import mean, mean_over_sets, panels, save, table, written
from robust_rows import HELD_OUT, HOME, KEPT, POOL, REFERENCES, RESULTS, SURROGATES, Measured, measured

TARGETS = {"worst": 10.0, "mean": 6.0}  # points of error, chosen before these rows were there
LENIENT = {"worst": 24.0, "mean": 16.0}  # where no ratio exists at those: chosen after the rows were there
PAIRS = [(f"{name}, pool", f"{name}, single") for name in SURROGATES]
AGAINST = [(f"{name}, {breadth}", "k-means") for name in SURROGATES for breadth in ("single", "pool")]
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
- That the batch norm network was what ailed dm's pool. Until decision 0102 it compared maps that were not normalised
  there, and the pool seemed to need 1.28 and 1.17 times the samples (worst, mean); now the numbers above.
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


def write() -> None:
    """The page and its figure."""
    (RESULTS / "robust.md").write_text(page())


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
