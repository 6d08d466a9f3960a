"""The page and the figures of benchmarks/interchange.py, from its rows."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from scipy.stats import ttest_1samp

from interchange_rows import CASES, KEPT, RESULTS, SHARES, Case
from limbeck.laws import holm
from page import mean, mean_over_sets, panels, save, table, written


def answered(name: str, k: int | None = None) -> dict[str, Any]:
    """The answer of `limbeck interchange` to a source's rows, or to those of one k: sets that every method has.

    The margin of an adjusted gap is the larger of one point and the standard deviation between trainings on one set.
    """
    from limbeck.laws.interchange_answer import interchange_answer

    case = CASES[name]
    held = [row for row in KEPT.read() if row["source"] == name]
    last = (str(10 * case.per_class[-1]), list(case.methods)[-1], case.configurations[-1])
    ended = {row["set"] for row in held if (row["k"], row["method"], row["configuration"]) == last}
    held = [row for row in held if row["set"] in ended and k in (None, int(row["k"]))]
    whole = [row for row in held if float(row["seed_sd"]) > 0]
    seed_sd = (sum(float(row["seed_sd"]) ** 2 for row in whole) / len(whole)) ** 0.5
    found = interchange_answer([row | {"home": case.home} for row in held], seed_sd=seed_sd)
    return found | {"rows": whole, "seed_sd": seed_sd}


def tested(name: str) -> str:
    """The tests of equality, of all rows and of each k alone."""
    lines = []
    for k in (None, *(10 * one for one in CASES[name].per_class)):
        found = answered(name, k)
        one, pairs = found["interchange"], len(found["interchange"]["gap_differences"])
        passed = [sum(test["equivalent"] for test in one[part]) for part in ("gap_differences", "slope_ratios")]
        smallest = sorted(test["smallest_margin"] or math.inf for test in one["gap_differences"])
        lines.append([
            "all" if k is None else k, found["sets"], found["runs"], f"{one['equal_slopes']['p']:.2g}",
            f"{one['equal_intercepts']['p']:.2g}", f"{100 * one['gap_differences'][0]['margin']:.2g}",
            f"{passed[0]} of {pairs}", f"{passed[1]} of {pairs}",
            f"{100 * smallest[len(smallest) // 2]:.2g} / {100 * smallest[-1]:.2g}", written(found["rank_correlation"]),
        ])  # fmt: skip
    heads = ["k", "sets", "runs", "p, equal slopes", "p, equal gaps", "margin, points", "gaps equivalent",
             "slopes equivalent", "margin that half / all pairs pass", "rank correlation"]  # fmt: skip
    return table(heads, lines)


def breadths(found: dict[str, Any], case: Case) -> dict[str, dict[str, dict[str, float]]]:
    """Method, what differs from home -> what each set loses there, gap less gap at home, mean over k."""
    held: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    at = {(row["method"], row["k"], row["set"], row["configuration"]): float(row["gap"]) for row in found["rows"]}
    for (method, k, own, configuration), gap in at.items():
        for what, away in case.away.items():
            if configuration == away:
                held[method, what, own].append(gap - at[method, k, own, case.home])
    result: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for (method, what, own), values in held.items():
        result[method][what][own] = sum(values) / len(values)
    return result


def paired(lost: dict[str, dict[str, dict[str, float]]], first: str, second: str, what: str) -> list[float]:
    """How much more each set of `first` loses than that of `second` with the same seed, points of error."""
    return [100 * (value - lost[second][what][own]) for own, value in lost[first][what].items()]


def carried(name: str, found: dict[str, Any]) -> str:
    lost = breadths(found, CASES[name])
    lines = [
        [method, *(mean([100 * one for one in lost[method][what].values()]) for what in CASES[name].away)]
        for method in CASES[name].methods
    ]
    lines += [
        [f"**{first} less {second}**", *(mean(paired(lost, first, second, what)) for what in CASES[name].away)]
        for first, second in (("mtt", "dm"), ("mtt", "k-means"), ("dm", "k-means"))
    ]
    return table(["sets of", *(f"{what} differs" for what in CASES[name].away)], lines)


def robust_sentence(found: dict[str, dict[str, Any]]) -> str:
    """Is trajectory matching less robust than distribution matching? In words, p of all comparisons by Holm."""
    names, pairs = [], []
    for name, one in found.items():
        lost = breadths(one, CASES[name])
        names += [f"{what} ({name})" for what in CASES[name].away]
        pairs += [paired(lost, "mtt", "dm", what) for what in CASES[name].away]
    adjusted = holm([ttest_1samp(own, 0.0).pvalue for own in pairs])
    said = []
    for name, own, p in zip(names, pairs, adjusted, strict=True):
        more = mean_over_sets(own)
        sure = "not told apart" if p >= 0.05 else "less robust" if (more.estimate or 0) > 0 else "more robust"
        said.append(f"{name}: {written(more, 1, 2)} points, {sure} (p = {p:.2g})")
    return f"{'; '.join(said)}. Intervals are of each comparison alone; p is adjusted for all {len(pairs)} by Holm"


def declines(found: dict[str, Any]) -> str:
    lines = [
        [one["k"], one["method"], one["steps"], f"{one['start']:.3g}", written(one["slope"], one["steps"]),
         written(one["rate"]), written(one["floor"])]
        for one in sorted(found["decline"], key=lambda one: one["k"])
        if "refusal" not in one
    ]  # fmt: skip
    heads = ["k", "surrogate", "steps", "A^2 before", "slope of log A^2, times the steps", "rate a step", "floor"]
    return table(heads, lines)


def guided(found: dict[str, Any]) -> str:
    """Which surrogate at which k: a line a method and k, the best first."""
    lines = []
    for one in found["guidance"]:
        p = "best" if one["best"] else "–" if one["p"] is None else f"p = {one['p']:.2g}"
        lines.append([
            one["k"], one["method"], written(one["discrepancy"]), written(one["worth"]),
            *(written(one[name], 100) for name in ("gap", "gap_home", "gap_away", "breadth")),
            f"{one['seconds']:.1f}", p, "yes" if one["advised"] else "",
        ])  # fmt: skip
    heads = ["k", "method", "A^2 at home", "worth, random", "gap", "gap at home", "gap away", "away less home",
             "seconds", "against the best", "take"]  # fmt: skip
    return table(heads, lines)


def slopes(found: dict[str, Any]) -> str:
    whole = found["interchange"]
    lines = [
        [name, written(value, 100), written(whole["adjusted"][name], 100),
         *(f"{found['left_out'][name][part]:.2f}" for part in ("discrepancy", "k", "both"))]
        for name, value in whole["slopes"].items()
    ]  # fmt: skip
    return table(["method", "slope", "adjusted gap", "R^2 from A^2", "from k", "from both"], lines)


def figure(found: dict[str, dict[str, Any]]) -> None:
    """Gap against discrepancy, a panel a configuration."""
    shown = [(name, configuration) for name in found for configuration in CASES[name].configurations]
    columns = max(len(CASES[name].configurations) for name in found)
    drawing, axes = panels(len(found), columns, (2.3 * columns, 2.6 * len(found)))
    places = {name: row * columns for row, name in enumerate(found)}
    for axis in axes:
        axis.set_visible(False)
    for name, configuration in shown:
        axis = axes[places[name] + CASES[name].configurations.index(configuration)]
        axis.set_visible(True)
        for place, method in enumerate(CASES[name].methods):
            own = [
                row for row in found[name]["rows"] if (row["method"], row["configuration"]) == (method, configuration)
            ]
            x = [float(row["discrepancy"]) for row in own]
            axis.plot(
                x, [100 * float(row["gap"]) for row in own], "os^Dv<>P"[place], ms=3, alpha=0.6, label=method, ls=""
            )
        axis.set_xscale("log")
        axis.minorticks_off()
        architecture, optimizer = configuration.split("/")[:2]
        axis.set_title(f"{name}: {architecture.split('(')[0]}, {optimizer.split('(')[0]}", fontsize=7)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("alignment discrepancy A$^2$", fontsize=7)
    for row in places.values():
        axes[row].set_ylabel("gap (points of error)", fontsize=8)
    drawing.legend(*axes[0].get_legend_handles_labels(), fontsize=7, ncol=8, loc="upper center", handletextpad=0.1)
    save(drawing, RESULTS / "interchange.png", top=0.94)


def falling(found: dict[str, Any]) -> None:
    """How the discrepancy falls along distillation: every set, and the means."""
    names = [name for name, text in CASES["digits"].methods.items() if "steps=" in text]
    sizes = [10 * one for one in CASES["digits"].watched]
    drawing, axes = panels(len(sizes), len(names), (7.4, 2.1 * len(sizes)))
    rows = [row for row in KEPT.read() if row["source"] == "digits" and row["configuration"] == CASES["digits"].home]
    for line, k in enumerate(sizes):
        for column, name in enumerate(names):
            axis = axes[line * len(names) + column]
            own: dict[str, list[tuple[int, float]]] = defaultdict(list)
            for row in rows:
                if (row["method"], int(row["k"])) == (name, k):
                    own[row["set"]].append((int(row["steps"]), float(row["discrepancy"])))
            for points in own.values():
                axis.plot(*zip(*sorted(points), strict=True), "o-", ms=2, lw=0.6, alpha=0.7)
            axis.set_yscale("log")
            axis.minorticks_off()
            axis.tick_params(labelsize=6)
            axis.set_title(f"{name}, k = {k}", fontsize=7)
            if line == len(sizes) - 1:
                axis.set_xlabel("steps of distillation", fontsize=7)
        own_line = axes[line * len(names) : (line + 1) * len(names)]
        ends = [axis.get_ylim() for axis in own_line]
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        ticks = [one for one in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= one <= high]
        for axis in own_line:
            axis.set_yticks(ticks, [f"{one:g}" for one in ticks])
            axis.set_ylim(low, high)
        own_line[0].set_ylabel("A$^2$ at home", fontsize=7)
    save(drawing, RESULTS / "interchange_decline.png")


def page() -> str:
    found = {name: answered(name) for name in CASES if any(row["source"] == name for row in KEPT.read())}
    figure(found)
    falling(found["digits"])
    parts = "\n".join(
        PART.format(
            name=name, home=CASES[name].home, sets=len({row["set"] for row in one["rows"]}), tested=tested(name),
            away="; ".join(f"{what}: `{away}`" for what, away in CASES[name].away.items()), slopes=slopes(one),
            carried=carried(name, one), guidance=guided(one), sentence=one["sentence"], runs=one["runs"],
        )
        for name, one in found.items()
    )  # fmt: skip
    return TEMPLATE.format(
        parts=parts, said="\n\n".join(f"On {name}:\n\n{facts(name, one)}" for name, one in found.items()),
        doubts=NOT_CONFIRMED.format(
            watched=len({row["set"] for row in found["digits"]["rows"]}),
            fashion="has no steps on the way: rates are those of digits" if "fashion-mnist" in found else "was not run",
        ), robust=robust_sentence(found), declines=declines(found["digits"]),
        names=" and ".join(found), sizes=", ".join(str(10 * one) for one in CASES["digits"].per_class),
        points=len(SHARES) + 1, watched=len({row["set"] for row in found["digits"]["rows"]}),
    )  # fmt: skip


def facts(name: str, found: dict[str, Any]) -> str:
    """What a source's rows say, in sentences."""
    whole, scores = found["interchange"], found["left_out"]
    better = [method for method, one in scores.items() if one["discrepancy"] > one["k"]]
    passed, alone = [], []
    for k in (10 * one for one in CASES[name].per_class):
        one = answered(name, k)["interchange"]
        equal = [f"{test['first']} and {test['second']}" for test in one["gap_differences"] if test["equivalent"]]
        margin = 100 * one["gap_differences"][0]["margin"]
        pairs = len(one["gap_differences"])
        passed.append(f"{len(equal)} of {pairs} at k = {k} (margin {margin:.2g} points)")
        alone.append(f"{one['equal_slopes']['p']:.2g}")
    apart = [
        f"{method} {written(one, 100, 2)}"
        for method, one in whole["adjusted"].items()
        if one["low"] is not None and one["low"] * one["high"] > 0
    ]
    falling_methods = [
        f"{one['method']} at k = {one['k']} ({written(one['slope'], one['steps'], 2)})"
        for one in found["decline"]
        if "refusal" not in one and one["slope"]["high"] is not None and one["slope"]["high"] < 0
    ]
    lines = [
        f"Within a configuration and k, sets with a smaller A^2 leave a smaller gap: rank correlation "
        f"{written(found['rank_correlation'], 1, 2)}.",
        f"The other methods' rows foretell a method's gaps better by A^2 than by k alone for "
        f"{', '.join(better) or 'none'} ({len(better)} of {len(scores)}).",
        f"Pairs of methods shown equivalent at equal A^2: {', '.join(passed)}.",
        f"Equal slopes over all k: p = {whole['equal_slopes']['p']:.2g}, at each k alone: p = {', '.join(alone)}. "
        f"Equal adjusted gaps over all k: p = {whole['equal_intercepts']['p']:.2g}.",
        f"Adjusted gaps that are not the mean method's, points: {'; '.join(apart) or 'none'}.",
    ]
    if falling_methods:
        lines.append(
            f"Over all steps log A^2 fell, by its slope's 95 % interval, for {', '.join(falling_methods)}; for no "
            "other surrogate and k is that shown."
        )
    return "\n".join(f"- {line}" for line in lines)


NOT_CONFIRMED = """## What was not confirmed

- **Interchange.** It would need all pairs to pass, in slope and in gap. Where few do, a lack of rows and a difference
  between methods look alike: the column of smallest margins in the tables of tests says what these rows could show.
- A ranking of rates and floors: percentiles of a bootstrap over {watched} sets are too narrow, and a rate at an end of
  its grid (0.2 to 60 over the steps) says that the discrepancy does not decline as an exponential.
- Larger budgets: 40 to 100 steps are far below the papers' (bptt: 60 of 2000).
- The discrepancy was measured at every 25th step in float32, and of one training. k_eff along a set's own path is no
  count of samples (see [decomposition](decomposition.md)); "worth" is read off random sets' own paths.
- Fashion-MNIST {fashion}.

"""
PART = """## {name}

{runs} runs; {sets} sets a method and k. Home is `{home}`; {away}.

### Tests of equality, given the discrepancy

`gap = block(configuration, k) + f_m + b_m log A^2`, covariances clustered by set. "Equivalent": two one-sided tests at
5 %, slopes within 25 % of one another, gaps at equal A^2 within the margin, which is the larger of one point and the
standard deviation between trainings on one set. The last column is Spearman's within (configuration, k).

{tested}

Slopes and adjusted gaps (points, less the mean method's) over all k, and how well a method's gaps are foretold from the
*other* methods' rows (0 is its own mean):

{slopes}

### Does it carry? (gap away less gap at home, points of error, mean over k [95 %] over sets)

{carried}

### Which surrogate at which k

{sentence}

{guidance}
"""
TEMPLATE = """# Are surrogates interchangeable?

`python benchmarks/interchange.py --collect digits`, the same with `fashion-mnist`, and `--write`: eight methods on
{names}, k = {sizes}. A set is distilled for its home configuration and trained on under it and under others that
differ from it in the optimizer, the architecture or both. A^2 is that of one training, every 25th step measured, with
weights at the configuration's own mu; a gap is the mean of three trainings. Rows: [interchange.csv](interchange.csv).

## What was found

{said}

## Is trajectory matching less robust than distribution matching?

What mtt's sets lose on the way from home beyond what dm's lose, set by set, by what differs: {robust}.

{doubts}![Gap against discrepancy](interchange.png)

*Every point is one set under one configuration, gaps are means of three trainings; k grows from right to left.*

{parts}
## How fast, to what floor (digits, at home)

A^2 of {watched} sets at {points} numbers of steps. The slope is that of each set's own straight line through log A^2,
times the whole number of steps: -0.7 is a halving; Student's 95 % interval over sets. Rate and floor are those of an
exponential decline to a floor, with a bootstrap over sets.

{declines}

![The discrepancy along distillation](interchange_decline.png)

*A line is one set (n = {watched} a panel).*
"""
