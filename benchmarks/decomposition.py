"""How tight are the bounds on a distilled set's excess loss, and does PL hold where training goes?

Digits and Fashion-MNIST, SGD and AdamW. Every step of every run is measured in float64: the recursion is checked, not
interpolated. A row is one set under one configuration and seed, appended as it ends: run the same command again to go
on. A seed is of the set and of the training on it.

    python benchmarks/decomposition.py --collect     rows to docs/results/decomposition.csv (1.4 core-minutes a seed)
    python benchmarks/decomposition.py --write       the page and the figure from the rows (seconds)
"""

from __future__ import annotations

import argparse
from collections import Counter
from math import log10
from pathlib import Path
from statistics import fmean, median
from typing import Any

from kept_rows import KeptRows
from page import mean, mean_over_sets, panels, save, table, written

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
DIGITS = {
    "gradient descent": "mlp(width=32)/sgd(lr=0.2, momentum=0.0)/none/constant(steps=100, batch=2000)",
    "momentum": "mlp(width=32)/sgd(lr=0.05)/none/cosine(steps=100)",
    "adamw": "mlp(width=32)/adamw(lr=3e-3)/none/cosine(steps=100)",
    "convnet, momentum": "convnet(width=8, depth=2)/sgd(lr=0.05)/none/cosine(steps=100)",
    "convnet, adamw": "convnet(width=8, depth=2)/adamw(lr=5e-3)/none/cosine(steps=100)",
}
FASHION = {"fashion, momentum": DIGITS["momentum"], "fashion, adamw": DIGITS["adamw"]}
SETS = [("random", 1), ("random", 10), ("dm(steps=100)", 1), ("dm(steps=100)", 10), ("all", 0)]
HOME = "convnet(width=8, depth=2)/sgd(lr=0.05)/none/cosine(steps=150)"
SEEDS = {"mlp": 5, "convnet": 2}
"""How many seeds each network is measured with: a step of the perceptron costs a tenth of the ConvNet's."""
FIELDS = [
    "source", "case", "configuration", "method", "k", "seed", "gap_error", "gap_loss", "excess", "bound", "tightness",
    "global_tightness", "residual", "matching", "update", "curvature", "fluctuation", "generalisation", "set_residual",
    "reference_residual", "violations", "smallest_slack", "longest_step", "smoothness", "effective_samples",
    "effective_balanced", "mu_min", "mu_q05", "mu_median", "low_share", "slope", "slope_low", "slope_high",
    "first_measured", "first_bound", "first_random", "first_steepness", "first_mu",
]  # fmt: skip
KEPT = KeptRows(RESULTS / "decomposition.csv", FIELDS)


def collect() -> None:
    import torch

    from limbeck.measures.decomposition import full_data
    from limbeck.sources import load_source

    torch.set_num_threads(1)
    done = {(r["case"], r["method"], int(r["k"]) * (r["method"] != "all"), int(r["seed"])) for r in KEPT.read()}
    for seed in range(max(SEEDS.values())):
        for spec, cases in (("digits", DIGITS), ("fashion-mnist(train_limit=2000)", FASHION)):
            source = load_source(spec)
            for case, configuration in cases.items():
                if seed >= SEEDS[configuration.split("(")[0]]:
                    continue
                left = [one for one in SETS if (case, one[0].split("(")[0], 10 * one[1], seed) not in done]
                full = full_data(source, configuration, seed) if left else None
                for method, per_class in left:
                    made = everything(source) if method == "all" else distilled(source, method, per_class, seed)
                    KEPT.append(row(made, source, case, configuration, seed, full, method.split("(")[0]))


def row(made: Any, source: Any, case: str, configuration: str, seed: int, full: Any, method: str) -> list[Any]:
    """One measured run as the columns of a row."""
    from limbeck.laws.decomposition import decompose
    from limbeck.measures.decomposition import measure

    found = decompose(measure(made, source, configuration, seed, full=full)).to_dict()
    pl, first = found["pl"], found["first_order"]
    found |= {"mu_min": pl["smallest"], "mu_q05": pl["q05"], "mu_median": pl["median"], "low_share": pl["low_share"]}
    found |= {"slope": pl["slope"]["estimate"], "slope_low": pl["slope"]["low"], "slope_high": pl["slope"]["high"]}
    found |= {f"first_{name}": first[name] for name in ("measured", "bound", "random", "steepness", "mu")}
    found |= {"source": source.name, "case": case, "method": method, "k": made.k, "seed": seed}
    return [found[name] for name in FIELDS]


def distilled(source: Any, method: str, per_class: int, seed: int) -> Any:
    from limbeck.distillation import distill

    return distill(source, method, HOME, per_class, seed=seed, candidates=1)


def everything(source: Any) -> Any:
    """The training samples themselves as a set: what the constants are on the full data's own path."""
    from limbeck.synthetic import SyntheticSet

    about = source.preprocessing.about()
    return SyntheticSet({"pixels": source.train.x}, source.train.group, "pixels", source.domain, about, "all")


def middle(own: list[dict[str, str]], name: str) -> str:
    """Median [smallest, largest] of a column."""
    values = [float(row[name]) for row in own if row[name]]
    return f"{median(values):.3g} [{min(values):.3g}, {max(values):.3g}]" if values else "–"


def by_case() -> dict[str, list[dict[str, str]]]:
    held: dict[str, list[dict[str, str]]] = {}
    for one in KEPT.read():
        held.setdefault(one["case"], []).append(one)
    return held


def bounds() -> str:
    """The recursion with the path's own mu_t and with its smallest."""
    lines = []
    for case, own in by_case().items():
        failed = sum(int(one["violations"]) for one in own)
        cells = [middle(own, name) for name in ("excess", "bound", "tightness", "global_tightness")]
        lines.append([case, len(own), *cells, failed, f"{middle(own, 'longest_step')} / beta"])
    heads = ["training", "n", "excess", "bound", "bound / excess", "with smallest mu", "violations", "longest step"]
    return table(heads, lines)


def firsts() -> str:
    """First-order bounds at both k, and the powers of k with which both bounds fall, seed by seed."""
    lines = []
    for case, everything_of in by_case().items():
        own = [one for one in everything_of if one["first_bound"]]
        for method in ("random", "dm"):
            at = {k: [one for one in own if (one["method"], one["k"]) == (method, k)] for k in ("10", "100")}
            both = [one for one in own if one["method"] == method]
            cells = [middle([one | {"ratio": first_ratio(one)} for one in at[k]], "ratio") for k in at]
            powers = [mean(falls(at, name)) for name in ("first_bound", "matching", "first_measured")]
            lines.append([case, method, len(both), f"{sum(map(held, both))} of {len(both)}", *cells, *powers])
    heads = ["training", "sets", "n", "held", "bound / measured, k = 10", "k = 100", "power of k, first-order bound",
             "matching", "measured difference"]  # fmt: skip
    return table(heads, lines)


def first_ratio(one: dict[str, str]) -> str:
    return str(float(one["first_bound"]) / float(one["first_measured"]))


def held(one: dict[str, str]) -> bool:
    """Whether the first-order bound held in a run."""
    return float(first_ratio(one)) >= 1


def falls(at: dict[str, list[dict[str, str]]], name: str) -> list[float]:
    """log10 of a column at k = 100 less that at k = 10, of each seed."""
    small, large = ({one["seed"]: float(one[name]) for one in at[k]} for k in ("10", "100"))
    return [log10(large[seed] / small[seed]) for seed in small if seed in large]


def contractions() -> str:
    """PL along the path: on sets, and on all data with the mean over seeds."""
    lines = []
    for case, own in by_case().items():
        for path, some in (("on sets", [one for one in own if one["method"] != "all"]),
                           ("on all data", [one for one in own if one["method"] == "all"])):  # fmt: skip
            cells = [middle(some, name) for name in ("mu_min", "mu_median", "low_share", "slope")]
            over = mean([float(one["slope"]) for one in some]) if path == "on all data" else "–"
            lines.append([case, f"{path}, n = {len(some)}", *cells, over])
    heads = ["training", "path", "mu, smallest", "mu, median", "share below median / 1000",
             "slope of log grad^2 on log excess", "its mean over seeds"]  # fmt: skip
    return table(heads, lines)


def parts() -> str:
    """What the bounds are made of: means over seeds."""
    names = ["residual", "matching", "fluctuation", "update", "curvature", "generalisation", "gap_loss"]
    lines = []
    for case, own in by_case().items():
        for method, k in dict.fromkeys((one["method"], one["k"]) for one in own):
            some = [one for one in own if (one["method"], one["k"]) == (method, k)]
            values = [f"{fmean(float(one[name]) for one in some):.3g}" for name in names]
            gap = mean([100 * float(one["gap_error"]) for one in some])
            worth = f"{fmean(float(one['effective_balanced']) for one in some):.3g}"
            lines.append([case, method, k, *values, gap, worth])
    heads = ["training", "set", "k", "residual", "matching", "same k at random", "update", "curvature",
             "generalisation", "gap in loss", "gap, points", "k_eff balanced"]  # fmt: skip
    return table(heads, lines)


def figure() -> None:
    """Both bounds against what they bound; every run, a colour a training."""
    drawing, axes = panels(1, 2, (7.4, 3.6))
    pairs = [("excess", "bound", "excess loss"), ("first_measured", "first_bound", "difference of losses")]
    for axis, (x, y, label) in zip(axes, pairs, strict=True):
        for place, (case, own) in enumerate(by_case().items()):
            some = [one for one in own if one["method"] != "all" and one[y]]
            axis.plot([float(one[x]) for one in some], [float(one[y]) for one in some], "os^Dv<>"[place], ms=3.5,
                      alpha=0.7, label=case)  # fmt: skip
        axis.set(xscale="log", yscale="log")
        ends = axis.get_xlim()
        axis.plot(ends, ends, "k-", lw=0.8)
        axis.set(xlabel=f"measured {label} (nats)", ylabel="bound on it (nats)")
    axes[0].legend(fontsize=6.5)
    axes[0].set_title("second order, with the path's own mu", fontsize=8)
    axes[1].set_title("first order, with the path's smallest mu", fontsize=8)
    save(drawing, RESULTS / "decomposition.png")


def full_paths() -> dict[str, Any]:
    """The slope of log |grad|^2 on log excess on the full data's own path, mean over seeds with its interval."""
    held = {case: [float(one["slope"]) for one in own if one["method"] == "all"] for case, own in by_case().items()}
    return {case: mean_over_sets(own) for case, own in held.items() if own}


def facts() -> dict[str, str]:
    """The numbers that the prose quotes."""
    rows = KEPT.read()
    sets = [one for one in rows if one["method"] != "all"]
    known = [one for one in sets if one["first_bound"]]
    ratios = [float(first_ratio(one)) for one in known]
    slopes = full_paths()
    seeds = {case: len({one["seed"] for one in own}) for case, own in by_case().items()}
    share = [float(one["matching"]) / float(one["bound"]) for one in sets]
    most = [one for one, part in zip(sets, share, strict=True) if part < 0.85]
    return {
        "runs": str(len(rows)),
        "sets": str(len(sets)),
        "seeds": str(len({one["seed"] for one in rows})),
        "violations": str(sum(int(one["violations"]) for one in rows)),
        "tight": middle(sets, "tightness"),
        "loose": middle(sets, "global_tightness"),
        "matched": str(sum(one >= 0.85 for one in share)),
        "unmatched": "; ".join(f"{case} ({count})" for case, count in Counter(one["case"] for one in most).items()),
        "first_held": str(sum(map(held, known))),
        "first_count": str(len(known)),
        "spread": "these seeds: " + "; ".join(f"{case} {count}" for case, count in seeds.items()),
        "first_range": f"{min(ratios):.2g} to {max(ratios):.2g} (median {median(ratios):.2g})",
        "slopes": middle(sets, "slope"),
        "paths": "; ".join(f"{case} {written(own, 1, 2)}" for case, own in slopes.items()),
        "excluded": "; ".join(case for case, own in slopes.items() if own.low is not None and not own.covers(1.0)),
        "low": f"{max(float(one['low_share']) for one in rows):.2g}",
    }


SAID = """## What was found

- The second-order bound was passed at {violations} states of {runs} runs, under SGD, momentum and AdamW alike.
  With the path's own mu_t it is {tight} times the measured excess on the {sets} runs on sets; with the path's smallest
  mu throughout {loose}: a bound that used one constant would say little.
- Matching is what a set's gap is made of: 85 % of the bound or more in {matched} of {sets} runs on sets. The others,
  where residual or update count: {unmatched}.
- mu_t was positive at every visited state; the share of states below a thousandth of its path's median was at most
  {low}. In that sense PL holds on the visited paths. AdamW's mu is in its own norm and can't be compared with SGD's.
- The first-order bound held in {first_held} of {first_count} runs on sets where it was measured, {first_range} times
  the measured difference: with one mu for the whole path it foretells no gap.

## What was not confirmed

- **PL as a law of the path.** One constant would make log |grad|^2 rise with slope 1 on log (L - L*). On paths of sets
  the slope was {slopes}. On the full data's own paths (mean over seeds): {paths}.
  A constant mu is excluded by 95 % intervals for {excluded}; where an interval holds 1 it is not shown, but possible.
- That either bound foretells anything: mu_t and beta_t are measured along the run that is bounded.
- k_eff as a count of samples: the identity holds at fixed states, and these are states that a set itself led to.
  Compare k_eff of methods at one k; do not read it as k.
- Beyond {spread}; sets of two methods; Fashion-MNIST with 2000 training samples
  and a perceptron.

"""
TEMPLATE = """# How tight are the bounds, and does PL hold where training goes?

`python benchmarks/decomposition.py --collect && python benchmarks/decomposition.py --write`: {runs} runs on digits
(1293 training samples; multi-layer perceptron and ConvNet) and Fashion-MNIST (2000 training samples; perceptron), SGD
and AdamW; sets of random samples and of dm, k = 10 and 100, and all samples; up to {seeds} seeds, each of a set and of
the training on it. Every step is measured in float64. Rows: [decomposition.csv](decomposition.csv).

{said}
![Bounds against what they bound](decomposition.png)

*Every point is one training on a set (n = {sets}); on the line a bound is exact.*

## The second-order bound (median [smallest, largest] over runs)

The recursion with the path's own mu_t, and with the smallest mu of the path at every state. A violation is a state
whose measured excess is above the bound by more than rounding (1e-9 of the first excess).

{bounds}

## The first-order bound

|L_D(theta^S) - L_D(theta^D)| against G sum |d - g_D|, each forgotten at 1 - rate mu, with the path's largest gradient
for G and its smallest mu (see [measure](../measure.md)). It asks the update map to contract, which nothing here makes
it do. The last columns: with which power of k the bound, the matching term of the second-order one, and the measured
difference fell from 10 to 100 samples (mean [95 %] over seeds); the theory has -1/2 and -1 at fixed states.

{firsts}

## Polyak-Lojasiewicz along the visited path

Median [smallest, largest] over runs; on all data also the mean over seeds with Student's 95 % interval. PL with one
constant is a slope of 1.

{contractions}

## The parts, in units of loss (means over seeds)

residual + matching + update + curvature = bound on the excess training loss; generalisation is added for the gap in
loss.

{parts}
"""


def page() -> str:
    figure()
    told = facts()
    tables = {"bounds": bounds(), "firsts": firsts(), "contractions": contractions(), "parts": parts()}
    return TEMPLATE.format(**told, **tables, said=SAID.format(**told))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.collect:
        collect()
    if chosen.write:
        (RESULTS / "decomposition.md").write_text(page())
