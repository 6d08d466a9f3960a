"""The page of a coverage study: how the samples needed grow with the diversity of its configurations.

Reads the rows of a finished study, measures four distances between its configurations, fits the law with each, and
writes docs/results/NAME.md, .json and .svg; with --runs it also writes the rows as .csv. What was done and what was not
confirmed are prose, in studies/NAME.page.md; the tables between are those of coverage.tables.md.

    limbeck study run studies/coverage-digits.toml
    python studies/coverage_page.py studies/coverage-digits.toml --runs runs/coverage-digits --write
    python studies/coverage_page.py studies/coverage-digits.toml --write    from the rows and distances that are there
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from limbeck.laws import read_rows
from limbeck.laws.coverage_answer import coverage_answer
from limbeck.laws.profiles import read_all, risk_profile
from limbeck.measures.split_seeds import DistanceMatrix
from limbeck.plots.marks import COLOURS, SHAPES, marks
from limbeck.sources import load_source
from limbeck.study import Study, StudyFolder, table
from limbeck.variants import make

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "results"
COLUMNS = ["method", "configuration", "k", "set", "seed", "error", "gap"]
MEASURED = ("function", "kernel", "spec")


def rows_and_distances(
    study: Study, arguments: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, DistanceMatrix]]:
    """The rows of the study, and all distances: measured anew with --runs or --measure, else those that are there."""
    path = RESULTS / f"{study.name}.csv"
    if arguments.runs:
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(table(StudyFolder(arguments.runs)))
    rows = read_rows(path)
    kept = RESULTS / f"{study.name}.json"
    distances = {"risk-profile": risk_profile(read_all(rows))}
    if arguments.runs or arguments.measure or not kept.exists():
        source = load_source(study.source)
        for text in MEASURED:
            distances[text] = make("measures.distances", text).matrix(study.evaluated, source, seed=study.seed)
    else:
        held = json.loads(kept.read_text())["distances"]
        distances |= {text: DistanceMatrix.read(held[text]) for text in MEASURED}
    return rows, distances


def answers(rows: list[dict[str, Any]], distances: dict[str, DistanceMatrix], gap: float) -> dict[str, dict[str, Any]]:
    """The law's answer with each distance in turn defining H; the first validates all of them."""
    found = {}
    for first in ("function", "kernel", "risk-profile", "spec"):
        others = [other for kind, other in distances.items() if kind != first]
        found[first] = coverage_answer(rows, gap, [distances[first], *others])
        print(first, found[first]["sentence"], flush=True)
    return found


def short(method: str) -> str:
    return method.partition("(")[0]


def figure(answer: dict[str, Any], gap: float, path: Path) -> None:
    """H(r); the worst gap against k; required k against H and against log M."""
    drawn = marks(one["method"] for one in answer["methods"])
    sheet = Figure(figsize=(7.0, 5.6), layout="constrained")
    (entropy, worst), (against_h, against_m) = sheet.subplots(2, 2)
    covers = answer["family"]["curve"]["covers"]
    radii = [one["radius"] for one in covers]
    entropy.step(radii, [np.log(len(one["centres"])) for one in covers], where="post", color="#0b66a6", lw=1.3)
    entropy.axvline(answer["family"]["radius"], color="#b8481d", lw=0.8, ls="--")
    entropy.axvline(answer["distances"][0]["noise"], color="#66707a", lw=0.8, ls=":")
    entropy.axhline(answer["family"]["log_m"], color="#66707a", lw=0.8)
    entropy.set(xscale="log", xlabel="radius r (Hellinger distance)", ylabel="H(r) = log N(r), nats")
    entropy.xaxis.set_major_locator(LogLocator(subs=(1, 2, 4, 7)))
    entropy.xaxis.set_major_formatter(FuncFormatter(lambda radius, _: f"{radius:g}"))
    entropy.xaxis.set_minor_formatter(NullFormatter())
    entropy.set_title("a  diversity; dashed: r used, dotted: noise, line: log M", fontsize=7, loc="left")
    for one in answer["methods"]:
        colour, shape = COLOURS[drawn[one["method"]].colour][0], SHAPES[drawn[one["method"]].shape]
        lines, name = one["whole_family"]["worst"], short(one["method"])
        k = [line["k"] for line in lines]
        worst.plot(k, [100 * line["split"] for line in lines], shape + "-", color=colour, ms=3.5, lw=1.1, label=name)
        worst.plot(k, [100 * line["naive"] for line in lines], color=colour, lw=0.8, ls=":")
        worst.plot(k, [100 * line["excess"] for line in lines], color=colour, lw=0.8, ls="--")
        for axes, measure in ((against_h, "entropy"), (against_m, "size")):
            families = [family for family in one["families"] if not family["censored"]]
            x = np.array([family[measure] for family in families], float)
            x = np.log(x) if measure == "size" else x
            y = [family["required_k"]["estimate"] for family in families]
            axes.plot(x, y, shape, color=colour, ms=2.6, alpha=0.6, mew=0, label=name)
            need = one["needs"]["H" if measure == "entropy" else "log M"]
            if "slope" in need:
                ends = np.array([0.0, x.max()])
                axes.plot(ends, need["intercept"] + need["slope"]["estimate"] * ends, color=colour, lw=1.1)
    worst.set(
        xscale="log",
        yscale="log",
        xlabel="samples in the set, k",
        ylabel=f"worst gap of {len(answer['configurations'])} (points)",
    )
    worst.set_title("b  solid: split seeds, dotted: naive, dashed: over floors", fontsize=7, loc="left")
    worst.legend(fontsize=7, frameon=False)
    against_h.set(xlabel="H of the family (nats)", ylabel=f"k for a worst gap of {100 * gap:g} points")
    against_h.set_title("c  required k against diversity, a point a family", fontsize=7, loc="left")
    against_m.set(xlabel="log M (members of the family)", ylabel=f"k for a worst gap of {100 * gap:g} points")
    against_m.set_title("d  required k against number, the same families", fontsize=7, loc="left")
    for axes in (entropy, worst, against_h, against_m):
        axes.tick_params(labelsize=7)
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
        axes.spines[["top", "right"]].set_visible(False)
    n = f"n = {len(answer['family']['families'])} families of {len(answer['configurations'])} configurations"
    sheet.supxlabel(n, fontsize=7)
    with rc_context({"svg.hashsalt": "limbeck"}):
        sheet.savefig(path, metadata={"Date": None})


def text(estimate: dict[str, Any], digits: int = 3) -> str:
    """An estimate with its interval."""

    def written(value: float | None, gone: str) -> str:
        return gone if value is None else f"{value:.0f}" if abs(value) >= 10 else f"{value:.{digits}g}"

    return f"{written(estimate['estimate'], '-')} [{written(estimate['low'], '...')}, {written(estimate['high'], '∞')}]"


def explained(one: dict[str, Any], measure: str, key: str = "explained") -> float:
    return float(next(held[key] for held in one["measures"] if held["measure"] == measure))


def page(study: Study, found: dict[str, dict[str, Any]], commands: tuple[str, str]) -> str:
    """docs/results/NAME.md: the study's prose with the tables in its place."""
    main = found["function"]
    family = main["family"]
    held = "\n".join(
        f"| {one['kind']} | {one['mantel']['r']:.2f} ({one['mantel']['p_value']:.3f}) | "
        + (
            f"{one['partial_mantel']['r']:.2f} ({one['partial_mantel']['p_value']:.3f})"
            if one["partial_mantel"]
            else "-"
        )
        + f" | {one['lipschitz']['value']:.2f} | {100 * one['lipschitz']['held_out']:.1f} % | "
        f"{100 * one['lipschitz']['slack']:.1f} | {100 * one['triangles']['share']:.0f} % |"
        for one in main["distances"]
    )
    laws = "\n".join(
        f"| {kind} | {short(one['method'])} | {np.exp(answer['family']['entropy']):.0f} | {explained(one, 'H'):.2f} | "
        f"{explained(one, 'log M'):.2f} | {explained(one, 'log Vendi'):.2f} | {explained(one, 'width^2'):.2f} | "
        f"{explained(one, 'H', 'held_out'):.2f} | {explained(one, 'log M', 'held_out'):.2f} | "
        f"{text(one['law']['c1'], 2)} | {one['law']['permutation_p']:.3f} |"
        for kind, answer in found.items()
        for one in answer["methods"]
    )
    needs = "\n".join(
        f"| {short(one['method'])} | {text(one['whole_family'], 2)} | {text(one['needs']['H']['slope'], 2)} | "
        f"{text(one['needs']['log M']['slope'], 2)} | {one['needs']['H']['curvature_p']:.2f} | "
        f"{text(one['needs']['H']['gamma'], 2)} | {one['needs']['slopes']['near_duplicates']['slope']:.1f} | "
        f"{one['needs']['slopes']['distinct']['slope']:.1f} |"
        for one in main["methods"]
    )
    worst = "\n".join(
        f"| {short(one['method'])} | {line['k']:.0f} | {100 * line['naive']:.1f} | {100 * line['split']:.1f} | "
        f"{100 * line['shrunk']:.1f} | {100 * line['tail']:.1f} | {100 * line['excess']:.1f} | "
        f"{line['set_by'].rpartition('/')[0]} |"
        for one in main["methods"]
        for line in one["whole_family"]["worst"]
    )
    sensitivity = "\n".join(
        f"| {short(one['method'])} | {line['radius']:.3f} | {np.exp(line['entropy']):.0f} | {line['explained']:.2f} | "
        f"{text(line['c1'], 2)} | {line['permutation_p']:.3f} |"
        for one in main["methods"]
        for line in one["sensitivity"]
    )
    exponents = ", ".join(
        f"{short(one['method'])} {one['free_law']['exponent']:.2f} (R2 {one['free_law']['explained']:.2f} against "
        f"{one['law']['explained']:.2f} with 1/2)"
        for one in main["methods"]
    )
    null = main["null"]
    shares = {name: [100 * explained(one, name) for one in main["methods"]] for name in ("H", "log M")}
    said = "; ".join(f"{short(one['method'])} needs {text(one['whole_family'], 2)} samples" for one in main["methods"])
    prose, tables = (
        (HERE / name).read_text(encoding="utf-8") for name in (f"{study.name}.page.md", "coverage.tables.md")
    )
    return prose.replace("{tables}\n", tables).format(
        command=commands[0], analysis=commands[1], date=datetime.date.today().isoformat(),
        held=held, laws=laws, needs=needs, worst=worst,
        sensitivity=sensitivity, exponents=exponents, short=said, r=family["radius"],
        noise=main["distances"][0]["noise"], distinct=round(float(np.exp(family["entropy"]))),
        bound=family["bound_radius"]["radius"], bound_n=round(float(np.exp(family["bound_radius"]["entropy"]))),
        dimension=family["curve"]["dimension"], vendi=family["vendi"], width=family["width"]["width"],
        sudakov=family["width"]["sudakov"], dudley=family["width"]["dudley"], families=len(family["families"]),
        low_h=min(shares["H"]), high_h=max(shares["H"]), low_m=min(shares["log M"]), high_m=max(shares["log M"]),
        null=null["median"], null_low=null["low"], null_high=null["high"], gap=100 * study.target_gap,
        members=len(main["configurations"]),
    )  # fmt: skip


def main() -> None:
    """Analyse, and write on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study's file, such as studies/coverage-digits.toml")
    parser.add_argument(
        "--runs", type=Path, help="the folder of the finished study; by default the rows that are there"
    )
    parser.add_argument("--measure", action="store_true", help="measure distances on networks again (about 1 min)")
    parser.add_argument("--write", action="store_true", help="write docs/results/NAME.*")
    arguments = parser.parse_args()
    study = Study.load(arguments.study)
    rows, distances = rows_and_distances(study, arguments)
    found = answers(rows, distances, study.target_gap)
    if arguments.write:
        laws = {
            kind: [
                {key: one[key] for key in ("method", "law", "free_law", "measures", "needs")}
                for one in answer["methods"]
            ]
            for kind, answer in found.items()
        }
        record = {"distances": {kind: one.to_dict() for kind, one in distances.items()}, "laws": laws}
        record["answer"] = {key: value for key, value in found["function"].items() if key != "configurations"}
        (RESULTS / f"{study.name}.json").write_text(json.dumps(_rounded(record)) + "\n")
        figure(found["function"], study.target_gap, RESULTS / f"{study.name}.svg")
        analysis = f"python studies/coverage_page.py studies/{study.name}.toml"
        whole = f"limbeck study run studies/{study.name}.toml && {analysis} --runs runs/{study.name} --write"
        (RESULTS / f"{study.name}.md").write_text(page(study, found, (whole, f"{analysis} --write")))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
