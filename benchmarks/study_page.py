"""Write a finished study down as a short page: who beats whom, the laws, what they foretold, what was not confirmed.

    python benchmarks/study_page.py studies/fashion-mnist.toml --folder runs/fashion-mnist --write

puts `<study>.md`, `<study>.csv` and `<study>.png` into docs/results; without a folder the rows are those of the CSV
there, and the page is written anew from them. Two methods are compared at one k and
configuration by the means of their sets: Welch's 95 % interval of the difference, the variance of a set's mean pooled
over configurations at the same method and k (three sets alone say little of it); significance is Holm-adjusted.
"""

from __future__ import annotations

import argparse
import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy.stats import t
from statsmodels.stats.multitest import multipletests

from limbeck.laws import answer, read_rows
from limbeck.planner import plan
from limbeck.plots import law_figure
from limbeck.sources import load_source
from limbeck.study import Study, StudyFolder, table, table_csv

Row = Mapping[str, Any]
BASELINES = ("random", "k-means")
RESULTS = Path(__file__).parent.parent / "docs" / "results"


def interval(estimate: Mapping[str, Any], scale: float = 1.0, digits: int = 3) -> str:
    """`0.12 [0.1, 0.15]`; an open end is an infinity sign, a refusal a dash."""
    if estimate["estimate"] is None:
        return "-"
    ends = ["∞" if estimate[end] is None else f"{scale * estimate[end]:.{digits}g}" for end in ("low", "high")]
    return f"{scale * estimate['estimate']:.{digits}g} [{', '.join(ends)}]"


def set_means(rows: Sequence[Row]) -> dict[tuple[str, str, int], list[float]]:
    """(method, configuration, k) -> the mean gap of each distilled set."""
    held: dict[tuple[str, str, int, int], list[float]] = defaultdict(list)
    for row in rows:
        if row["method"] != "reference":
            held[row["method"], row["configuration"], row["k"], row["set"]].append(row["gap"])
    means: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for (method, configuration, k, _), gaps in held.items():
        means[method, configuration, k].append(fmean(gaps))
    return means


def spreads(means: Mapping[tuple[str, str, int], Sequence[float]]) -> dict[tuple[str, int], tuple[float, int]]:
    """(method, k) -> the variance of a set's mean gap, pooled over configurations, and its degrees of freedom."""
    squares: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (method, _, k), own in means.items():
        squares[method, k][0] += float(np.var(own)) * len(own)
        squares[method, k][1] += len(own) - 1
    return {key: (total / df, int(df)) for key, (total, df) in squares.items() if df}


def comparisons(means: Mapping[tuple[str, str, int], Sequence[float]], baseline: str) -> list[dict[str, Any]]:
    """Every distilled method against a baseline at each configuration and k, in points of gap; negative is better."""
    found, pooled = [], spreads(means)
    for (method, configuration, k), own in means.items():
        other = means.get((baseline, configuration, k), ())
        if method in BASELINES or not other or (method, k) not in pooled or (baseline, k) not in pooled:
            continue
        terms = [
            (pooled[name, k][0] / len(held), pooled[name, k][1]) for name, held in ((method, own), (baseline, other))
        ]
        error = sum(v for v, _ in terms) ** 0.5
        df = error**4 / sum(v**2 / df for v, df in terms)  # Welch and Satterthwaite
        difference, half = fmean(own) - fmean(other), error * t.ppf(0.975, df)
        line = {"method": method, "configuration": configuration, "k": k, "difference": difference}
        line |= {"low": difference - half, "high": difference + half, "p": 2 * float(t.sf(abs(difference) / error, df))}
        found.append(line)
    if found:
        adjusted = multipletests([line["p"] for line in found], method="holm")[1]
        for line, p in zip(found, adjusted, strict=True):
            line["sure"] = bool(p < 0.05)
    return found


def comparison_table(found: Sequence[Mapping[str, Any]], baseline: str) -> list[str]:
    """A line a method and configuration, a column a k."""
    ks = sorted({line["k"] for line in found})
    lines = [f"| against {baseline}, points | {' | '.join(f'k = {k}' for k in ks)} |", "|---|" + "---|" * len(ks)]
    cells = {(line["method"], line["configuration"], line["k"]): line for line in found}
    for method, configuration in dict.fromkeys((line["method"], line["configuration"]) for line in found):
        row = []
        for k in ks:
            line = cells[method, configuration, k]
            text = f"{100 * line['difference']:+.1f} [{100 * line['low']:+.1f}, {100 * line['high']:+.1f}]"
            row.append(f"**{text}**" if line["sure"] else text)
        lines.append(f"| {method.partition('(')[0]} under `{configuration}` | {' | '.join(row)} |")
    return lines


def gap_table(means: Mapping[tuple[str, str, int], Sequence[float]]) -> list[str]:
    """Mean gap and sd over sets, in points."""
    ks = sorted({k for _, _, k in means})
    lines = [f"| gap, points (sd over sets) | {' | '.join(f'k = {k}' for k in ks)} |", "|---|" + "---|" * len(ks)]
    for configuration, method in product(
        dict.fromkeys(c for _, c, _ in means), dict.fromkeys(method for method, _, _ in means)
    ):
        row = []
        for k in ks:
            own = means[method, configuration, k]
            row.append(
                f"{100 * fmean(own):.1f} ({100 * stdev(own):.1f})" if len(own) > 1 else f"{100 * fmean(own):.1f}"
            )
        lines.append(f"| {method.partition('(')[0]} under `{configuration}` | {' | '.join(row)} |")
    return lines


def law_table(fits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Floor, exponent, required k of each law, and how far the law without the largest k missed it."""
    lines = [
        "| law | floor, points | exponent | required k | gap at the largest k, foretold without it | measured |",
        "|---|---|---|---|---|---|",
    ]
    for fit in fits:
        left = (fit.get("diagnostics") or {}).get("leave_largest_out")
        foretold = interval(left["predicted"], 100) if left else "-"
        measured = f"{100 * left['measured']:.3g} ({'inside' if left['inside'] else 'outside'})" if left else "-"
        need = fit["required_k"][0]
        lines.append(
            f"| {fit['method'].partition('(')[0]} under `{fit['configuration']}` | {interval(fit['floor'], 100)} | "
            f"{interval(fit['exponent'], digits=2)} | {interval(need)} | {foretold} | {measured} |"
        )
    return lines


def findings(fits: Sequence[Mapping[str, Any]], against: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """What was confirmed and what was not, counted."""
    left = [d["leave_largest_out"] for fit in fits if (d := fit.get("diagnostics")) and d.get("leave_largest_out")]
    straight = [one["straight"] for one in left]
    exponents = [fit["exponent"]["estimate"] for fit in fits if fit["exponent"]["estimate"] is not None]
    codes = [{note["code"] for note in fit["notes"]} for fit in fits]
    said = []
    for baseline, found in against.items():
        for method in dict.fromkeys(line["method"] for line in found):
            own = [line for line in found if line["method"] == method]
            better = sum(line["sure"] and line["difference"] < 0 for line in own)
            worse = sum(line["sure"] and line["difference"] > 0 for line in own)
            name = method.partition("(")[0]
            said.append(
                f"- {name} is better than {baseline} in {better} of {len(own)} cells, worse in {worse}, and not told "
                f"apart in {len(own) - better - worse} (Holm-adjusted 5 %)."
            )
    said.append(
        f"- Exponents: median {np.median(exponents):.2f}, from {min(exponents):.2f} to {max(exponents):.2f} over "
        f"{len(exponents)} laws; {sum('exponent_below_bound' in code for code in codes)} are significantly below the "
        "bound's 1/2 over the k measured."
    )
    said.append(
        "- Foretelling the largest k from the others, the exponent allowed to change with k ([bend.md](bend.md)): "
        f"{how_foretold(left)}; by a straight law: {how_foretold(straight)}."
    )
    said.append(
        f"- Not confirmed: {sum('lack_of_fit' in code for code in codes)} of {len(fits)} laws misfit their levels by "
        f"more than sets scatter, and the floor is not seen at the largest k in "
        f"{sum('floor_not_seen' in code for code in codes)}."
    )
    return said


def how_foretold(left: Sequence[Mapping[str, Any]]) -> str:
    """How often a left-out level was inside of its interval, by how much it was missed, and to which side."""
    errors = [100 * one["error"] for one in left]
    return (
        f"inside the 95 % interval in {sum(one['inside'] for one in left)} of {len(left)} laws, root mean square error "
        f"{root_mean_square(errors):.2f} points, too high in {sum(error < 0 for error in errors)}"
    )


def root_mean_square(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def other_laws(rows: Sequence[Row], fits: Sequence[Mapping[str, Any]], samples: int) -> list[str]:
    """What other laws than floor plus power say of the same rows, and of the largest k without it."""
    largest = max(row["k"] for row in rows if row["method"] != "reference")
    kept = [row for row in rows if row["k"] != largest]
    measured = {
        (fit["method"], fit["configuration"]): left["measured"]
        for fit in fits
        if (left := (fit.get("diagnostics") or {}).get("leave_largest_out"))
    }
    errors, inside = [], 0
    for fit in answer(kept, at=[largest])["fits"]:
        if (name := (fit["method"], fit["configuration"])) in measured and fit["alternatives"]:
            foretold = fit["alternatives"]["averaged"][0]
            errors.append(100 * (measured[name] - foretold["estimate"]))
            inside += foretold["low"] <= measured[name] <= foretold["high"]
    weights: dict[str, list[float]] = defaultdict(list)
    for fit in fits:
        for law in (fit["alternatives"] or {"laws": []})["laws"]:
            weights[law["name"]].append(law["weight"])
    ranked = sorted(weights, key=lambda name: -sum(weights[name]))
    corrected = [
        {**row, "k": round(1000 / (1 / row["k"] - 1 / samples)) if row["k"] and row["k"] < samples else row["k"]}
        for row in rows
    ]
    left = [
        one["straight"]
        for fit in answer(corrected)["fits"]
        if (one := (fit.get("diagnostics") or {}).get("leave_largest_out"))
    ]
    return [
        "- Laws weighed by AICc, mean Akaike weight: "
        + ", ".join(f"{name} {sum(weights[name]) / len(fits):.2f}" for name in ranked)
        + ".",
        f"- Averaged over these laws, the largest k foretold from the others is inside in {inside} of {len(errors)}, "
        f"root mean square error {root_mean_square(errors):.2f} points.",
        f"- With 1/k - 1/n in place of 1/k (n = {samples:,} real samples: what the fluctuation of random subsets "
        f"follows), a straight law: {how_foretold(left)}.",
    ]


def page(study: Study, rows: Sequence[Row]) -> str:
    """The page in Markdown."""
    stem = study.name
    means = set_means(rows)
    fits = answer(rows, [study.target_gap])["fits"]
    against = {baseline: comparisons(means, baseline) for baseline in BASELINES}
    references = defaultdict(list)
    for row in rows:
        if row["method"] == "reference":
            references[row["configuration"]].append(row["error"])
    spent = sum(row["cost_seconds"] for row in rows)
    return "\n".join(
        [
            f"# {study.name}: gaps, laws and who beats whom",
            "",
            plan(map(dict, rows), gap=study.target_gap).sentence,
            "",
            f"![gap against k, a panel a configuration]({stem}.png)",
            "",
            f"{len(rows)} trainings: {study.sets} sets a method and k, {study.seeds} seed(s) a set and configuration, "
            f"{study.reference_seeds} full-data references a configuration; {spent / 60:.0f} minutes of one core. Sets "
            f"were distilled under `{study.distilled.spec}`. Test error after the last step; no choice was made on "
            f"test data. Every training is a line of [{stem}.csv]({stem}.csv).",
            "",
            "## What was found",
            "",
            *findings(fits, against),
            *other_laws(rows, fits, len(load_source(study.source).train)),
            "",
            "Random selection follows the same form of law: a fitted curve is no evidence of distillation, the "
            "difference to `random` and `k-means` is.",
            "",
            "## Differences",
            "",
            "Distilled minus baseline, points of gap [95 % Welch interval, the variance of a set's mean pooled over "
            "configurations]; negative is better; bold: significant at 5 % after Holm's correction over the table.",
            "",
            *(line for baseline, found in against.items() for line in [*comparison_table(found, baseline), ""]),
            "## Gaps",
            "",
            *gap_table(means),
            "",
            "Full-data reference error, points (mean over its seeds): "
            + "; ".join(f"`{name}` {100 * fmean(held):.1f}" for name, held in references.items())
            + ".",
            "",
            "## Laws",
            "",
            f"Required k is for a gap of {100 * study.target_gap:g} points. Intervals: profile sets, 95 %; those of "
            "required k and of what is foretold allow for a bend, floor and exponent are a straight law's.",
            "",
            *law_table(fits),
            "",
            "## How to repeat it",
            "",
            f"`limbeck study run studies/{stem}.toml`, then `python benchmarks/study_page.py studies/{stem}.toml "
            f"--folder runs/{stem} --write`. Page of {datetime.date.today()}; torch on a CPU, one thread.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study's file")
    parser.add_argument("--folder", type=Path, help="the folder of its run; otherwise its CSV in docs/results is read")
    parser.add_argument("--write", action="store_true", help="write into docs/results")
    chosen = parser.parse_args()
    study = Study.load(chosen.study)
    kept = RESULTS / f"{study.name}.csv"
    rows = table(StudyFolder(chosen.folder)) if chosen.folder else numbers(read_rows(kept))
    text = page(study, rows)
    if not chosen.write:
        print(text)
        return
    (RESULTS / f"{study.name}.md").write_text(text)
    if chosen.folder:
        kept.write_text(table_csv(rows))
    fits = answer(rows, [study.target_gap])["fits"]
    law_figure(fits, rows, RESULTS / f"{study.name}.png", gap=study.target_gap)


def numbers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of a CSV file with their numbers as numbers, and nothing as None."""
    texts = ("method", "configuration", "source")
    whole = ("k", "per_class", "set", "seed", "flops", "bytes", "training_seed")
    found = []
    for row in rows:
        own: dict[str, Any] = {name: value or None for name, value in row.items()}
        own |= {name: float(value) for name, value in own.items() if value and name not in texts}
        found.append(own | {name: int(float(value)) for name in whole if (value := row.get(name))})
    return found


if __name__ == "__main__":
    main()
