"""How often the scaling law's intervals hold the truth: planted laws, fresh noise, every scenario we fear.

Coverage of the floor, the exponent, the gap at a larger k and the k required for two gaps (0.04 and 0.02 above the
floor), nominal 95 %, for the profile set, the same with the exponent fixed at 1/2, a cluster bootstrap, and common
practice (`scipy.optimize.curve_fit` on all runs, normal intervals by the delta method).

    python benchmarks/law_coverage.py --datasets 400 --write

With `--python312 PATH`, a Python that has `simple-scaling-laws`, that package fits the first tables of each scenario.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from limbeck.errors import BadData
from limbeck.laws import Estimate, fit_scaling
from limbeck.streams import numpy_stream

RESULTS = Path(__file__).parents[1] / "docs" / "results"
QUANTITIES = ("floor", "exponent", "gap", "required_k(f+.04)", "required_k(f+.02)")
WANTED = (0.92, 0.99)


@dataclass(frozen=True)
class Scenario:
    """A planted law and a design: `gap = floor + constant k^-exponent`, sets, seeds and reference runs with noise."""

    name: str
    floor: float = 0.08
    constant: float = 0.6
    exponent: float = 0.5
    levels: tuple[int, ...] = (10, 20, 50, 100, 200, 500)
    sets: int = 3
    seeds: int = 3
    set_sd: float = 0.012
    seed_sd: float = 0.015
    references: int = 5
    reference_sd: float = 0.005
    at: float = 1000.0
    kind: str = "normal"
    new: bool = False

    def gap(self, k: np.ndarray) -> np.ndarray:
        """The planted law."""
        return self.floor + self.constant * np.asarray(k, float) ** -self.exponent

    def truths(self) -> tuple[float, ...]:
        """The five quantities."""
        needs = [(self.constant / excess) ** (1 / self.exponent) for excess in (0.04, 0.02)]
        return self.floor, self.exponent, float(self.gap(np.array(self.at))), *needs

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """k, gap, set id of every run, and the errors of the reference runs."""
        counts = (
            random.integers(1, 6, len(self.levels)) if self.kind == "unbalanced" else [self.sets] * len(self.levels)
        )
        ks, sets = [], []
        for level, count in zip(self.levels, counts, strict=True):
            ks += [level] * int(count)
            sets += list(range(int(count)))
        k = np.repeat(np.array(ks, float), self.seeds)
        relative = self.gap(k) / self.gap(np.array(50.0)) if self.kind == "proportional" else np.ones(len(k))
        noise = np.repeat(self._set_noise(random, len(ks)), self.seeds) + self.seed_sd * random.standard_normal(len(k))
        if self.kind == "shared seeds":
            noise += np.tile(0.01 * random.standard_normal(self.seeds), len(ks))
        references = self.reference_sd * random.standard_normal(self.references)
        return k, self.gap(k) + relative * noise - references.mean(), np.repeat(np.array(sets), self.seeds), references

    def _set_noise(self, random: np.random.Generator, n: int) -> np.ndarray:
        if self.kind == "heavy tails":
            return self.set_sd * random.standard_t(3, n) / math.sqrt(3)
        if self.kind == "skewed":
            return self.set_sd * (random.exponential(size=n) - 1)
        noise = self.set_sd * random.standard_normal(n)
        return noise + 0.1 * (random.random(n) < 0.05) if self.kind == "bad sets" else noise


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("base"),
        Scenario("one set per k", sets=1, at=2000),
        Scenario("floor 0", floor=0.0, at=2000),
        Scenario("exponent .35", exponent=0.35, at=2000),
        Scenario("noise proportional to gap", kind="proportional", at=2000),
        Scenario("k in 10, 20, 50", levels=(10, 20, 50), at=2000),
        Scenario("5 % bad sets", kind="bad sets", at=2000),
        Scenario("2 sets, 5 seeds, 5 levels", levels=(10, 20, 50, 100, 200), sets=2, seeds=5, at=2000),
        Scenario("heavy-tailed sets (t3)", kind="heavy tails", at=2000),
        Scenario("2 sets, 2 seeds", sets=2, seeds=2, at=2000),
        Scenario("5 sets, 5 seeds", sets=5, seeds=5, at=2000),
        Scenario("exponent 1", exponent=1.0, constant=4.0, at=2000, new=True),
        Scenario("1 to 5 sets a level", kind="unbalanced", at=2000, new=True),
        Scenario("2 noisy reference runs", references=2, reference_sd=0.01, at=2000, new=True),
        Scenario("skewed sets (exponential)", kind="skewed", at=2000, new=True),
        Scenario("9 levels, k 1 to 1000", levels=(1, 2, 5, 10, 20, 50, 100, 300, 1000), at=5000, floor=0.03, new=True),
        Scenario("quiet sets, large floor", floor=0.2, set_sd=0.003, seed_sd=0.005, at=2000, new=True),
        Scenario("slow decay, no floor", floor=0.0, exponent=0.25, at=2000, new=True),
    )
}
Fitted = tuple[Estimate, ...]
Fitter = Callable[[Scenario, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Fitted]


def profile(scenario: Scenario, k: np.ndarray, gap: np.ndarray, sets: np.ndarray, references: np.ndarray) -> Fitted:
    """The package's default."""
    fit = fit_scaling(k, gap, sets, reference_errors=references)
    needs = [fit.required_k(scenario.floor + excess) for excess in (0.04, 0.02)]
    return fit.floor, fit.exponent, fit.gap(scenario.at), *needs


def fixed(scenario: Scenario, k: np.ndarray, gap: np.ndarray, sets: np.ndarray, references: np.ndarray) -> Fitted:
    """The package's default with the exponent held at 1/2."""
    fit = fit_scaling(k, gap, sets, reference_errors=references, exponent=0.5)
    needs = [fit.required_k(scenario.floor + excess) for excess in (0.04, 0.02)]
    return fit.floor, fit.exponent, fit.gap(scenario.at), *needs


def bootstrap(scenario: Scenario, k: np.ndarray, gap: np.ndarray, sets: np.ndarray, references: np.ndarray) -> Fitted:
    """The package's cluster bootstrap; it refuses designs with fewer than three sets at any k."""
    fit = fit_scaling(k, gap, sets, reference_errors=references, interval="cluster_bootstrap")
    needs = [fit.required_k(scenario.floor + excess) for excess in (0.04, 0.02)]
    return fit.floor, fit.exponent, fit.gap(scenario.at), *needs


def common_practice(
    scenario: Scenario, k: np.ndarray, gap: np.ndarray, sets: np.ndarray, references: np.ndarray
) -> Fitted:
    """Least squares on all runs as if independent, normal intervals by the delta method (of log k for required k)."""

    def law(x: np.ndarray, floor: float, amplitude: float, exponent: float) -> np.ndarray:
        return floor + amplitude * (x / 10.0) ** -exponent

    bounds = ([0, 0, 0.08], [1, 10, 2.5])
    best, covariance = curve_fit(law, k, gap, p0=(max(gap.min(), 0.01), 0.2, 0.5), bounds=bounds, maxfev=5000)

    def delta(value: Callable[[np.ndarray], float]) -> tuple[float, float]:
        steps = 1e-5 * np.maximum(np.abs(best), 1e-2)
        slope = np.array([(value(best + s) - value(best - s)) / (2 * s.sum()) for s in np.diag(steps)])
        return value(best), 1.96 * math.sqrt(max(float(slope @ covariance @ slope), 0.0))

    def of(value: Callable[[np.ndarray], float]) -> Estimate:
        middle, reach = delta(value)
        return Estimate.of(middle, middle - reach, middle + reach)

    def need(target: float) -> Estimate:
        if best[0] >= target - 1e-4:
            return Estimate(None, math.inf, math.inf)
        middle, reach = delta(lambda p: math.log(10) + math.log(max(p[1], 1e-12) / (target - p[0])) / p[2])
        low, high = (math.exp(min(max(end, -50), 200)) for end in (middle - reach, middle + reach))
        return Estimate(math.exp(min(middle, 200)), low, high)

    needs = [need(scenario.floor + excess) for excess in (0.04, 0.02)]
    at = np.array(scenario.at)
    return of(lambda p: p[0]), of(lambda p: p[2]), of(lambda p: float(law(at, *p))), *needs


FITTERS: dict[str, Fitter] = {
    "profile set": profile,
    "profile set, exponent 1/2": fixed,
    "cluster bootstrap": bootstrap,
    "curve_fit, all runs": common_practice,
}


@dataclass(frozen=True)
class Cell:
    """One estimator in one scenario."""

    scenario: str
    estimator: str
    n: int
    coverage: tuple[float, ...]
    width: tuple[float, ...]  # median; required k in decades
    milliseconds: float

    @property
    def passes(self) -> bool:
        """Coverage within the wanted range everywhere, up to what n data sets can tell (3 standard errors)."""
        slack = [3 * math.sqrt(0.95 * 0.05 / self.n) if self.n < 400 else 0.0] * len(self.coverage)
        return all(WANTED[0] - s <= c <= WANTED[1] + s for c, s in zip(self.coverage, slack, strict=True))


def measure(scenario: Scenario, estimator: str, datasets: int, seed: int) -> Cell | None:
    """Coverage and widths over fresh data sets; None where the estimator refuses the design."""
    truths, hits, widths, spent = scenario.truths(), [], [], 0.0
    for index in range(datasets):
        drawn = scenario.draw(numpy_stream(seed, scenario.name, index))
        start = time.perf_counter()
        try:
            found = FITTERS[estimator](scenario, *drawn)
        except BadData:
            return None
        spent += time.perf_counter() - start
        hits.append([one.covers(truth) for one, truth in zip(found, truths, strict=True)])
        widths.append([_width(one, index >= 3) for index, one in enumerate(found)])
    coverage = tuple(float(c) for c in np.mean(hits, 0))
    width = tuple(float(w) for w in np.median(widths, 0))
    return Cell(scenario.name, estimator, datasets, coverage, width, 1000 * spent / datasets)


OTHERS = "simple-scaling-laws"


def measure_others(scenario: Scenario, python: str, datasets: int, seed: int) -> Cell:
    """The same for `simple-scaling-laws` (300 draws), which has intervals for three of the five quantities."""
    tables = []
    for index in range(datasets):
        k, gap, sets, _ = scenario.draw(numpy_stream(seed, scenario.name, index))
        tables.append({"k": k.tolist(), "gap": gap.tolist(), "set": [float(one) for one in sets], "at": scenario.at})
    script = str(Path(__file__).with_name("other_laws.py"))
    done = subprocess.run(
        [python, script], input=json.dumps(tables), capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"}
    )
    found = json.loads(done.stdout)
    truths = scenario.truths()
    parts = [[Estimate.of(None, *one[name]) for one in found] for name in ("floor", "exponent", "gap")]
    coverage = [float(np.mean([e.covers(truth) for e in held])) for held, truth in zip(parts, truths, strict=False)]
    width = [float(np.median([e.width for e in held])) for held in parts]
    seconds = float(np.mean([one["seconds"] for one in found]))
    nothing = (math.nan, math.nan)
    return Cell(scenario.name, OTHERS, datasets, (*coverage, *nothing), (*width, *nothing), 1000 * seconds)


def _width(one: Estimate, in_decades: bool) -> float:
    if not in_decades:
        return one.width
    if one.high is None or one.low is None or not math.isfinite(one.low):
        return math.inf
    return math.log10(one.high / one.low)


def table(cells: list[Cell]) -> str:
    """Markdown: coverage (median width), a line for each scenario and estimator."""
    lines = [
        f"| scenario | estimator | {' | '.join(QUANTITIES)} | ms/fit |",
        "|---|---|" + "---|" * (len(QUANTITIES) + 1),
    ]
    for cell in cells:
        new = "*" if SCENARIOS[cell.scenario].new else ""
        marks = [
            "none"
            if math.isnan(c)
            else (f"{c:.3f}" if WANTED[0] <= c <= WANTED[1] else f"**{c:.3f}**") + f" ({_short(w)})"
            for c, w in zip(cell.coverage, cell.width, strict=True)
        ]
        lines.append(f"| {cell.scenario}{new} | {cell.estimator} | {' | '.join(marks)} | {cell.milliseconds:.1f} |")
    return "\n".join(lines)


def _short(width: float) -> str:
    return "open" if math.isinf(width) else f"{width:.3g}"


def write(cells: list[Cell], arguments: argparse.Namespace) -> None:
    """The page and its numbers."""
    command = f"python benchmarks/law_coverage.py --datasets {arguments.datasets} --seed {arguments.seed} --write"
    if arguments.python312:
        command = command.replace(" --write", f" --python312 python3.12 --others {arguments.others} --write")
    ours = [cell for cell in cells if cell.estimator == "profile set"]
    inside = sum(WANTED[0] <= c <= WANTED[1] for cell in ours for c in cell.coverage)
    every = [c for cell in ours for c in cell.coverage]
    text = f"""# How often the scaling law's intervals hold the truth

`{command}`, {datetime.date.today().isoformat()}, n = {arguments.datasets} data sets a line, nominal level 95 %.

Of the {len(every)} coverages of the profile set (the default), {inside} lie within [{WANTED[0]}, {WANTED[1]}]; the
smallest is {min(every):.3f}, the largest {max(every):.3f}. The standard error of a coverage of .95 at this n is
{math.sqrt(0.95 * 0.05 / arguments.datasets):.3f}.

Cells: coverage (median width; for required k in decades, "open" where the median interval has no end). Bold: outside
of that range. Scenarios marked * were added by this benchmark. Unless a scenario says otherwise: floor .08,
gap = .08 + .6 k^-1/2, k in 10, 20, 50, 100, 200, 500, three distilled sets (sd .012) with three seeds each (sd .015),
five reference runs (sd .005). The gap is predicted at twice to forty times the largest k. The line with the exponent
held at 1/2 is right only where the planted exponent is 1/2, and its exponent column then says nothing.

The cluster bootstrap refuses designs with fewer than three sets at any k: those lines are missing on purpose.
`simple-scaling-laws` (0.2.0, 300 draws, in a Python 3.12 of its own) fitted the first {arguments.others} tables of each
scenario; it has no required k and is not told of the reference's noise. In the line of common practice an estimate of
the floor above the target counts as a miss, as it would be read as "never".

Some coverages lie above .95 by design: where sets are not replicated the scatter about the law, with few degrees of
freedom, is the only measure of noise; a required k near a floor has an interval that is open to infinity; and with two
reference runs their noise is known with one degree of freedom. An earlier run of this benchmark (seed 20261124,
n = 400) had two cells at .993, "noise proportional to gap" and "k in 10, 20, 50", for required k: with 2000 fresh
tables (seed 4242) they are .987 and .988. What lay above .99 was the sampling error of 400 tables.

{table(cells)}
"""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "law_coverage.md").write_text(text, encoding="utf-8")
    record = {
        "command": command,
        "quantities": QUANTITIES,
        "cells": [
            {
                **vars(cell),
                "coverage": [None if math.isnan(c) else c for c in cell.coverage],
                "width": [w if math.isfinite(w) else None for w in cell.width],
            }
            for cell in cells
        ],
    }
    (RESULTS / "law_coverage.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run, print, and write on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), help="names; all by default")
    parser.add_argument("--estimators", nargs="*", default=list(FITTERS))
    parser.add_argument("--python312", default="", help="a Python with simple-scaling-laws")
    parser.add_argument("--others", type=int, default=20, help="tables a scenario for simple-scaling-laws")
    parser.add_argument("--write", action="store_true", help="write docs/results/law_coverage.md and .json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", OptimizeWarning)
    cells = []
    for name in arguments.scenarios:
        for estimator in arguments.estimators:
            cell = measure(SCENARIOS[name], estimator, arguments.datasets, arguments.seed)
            if cell:
                cells.append(cell)
                print(table([cell]).splitlines()[-1], flush=True)
        if arguments.python312:
            cells.append(measure_others(SCENARIOS[name], arguments.python312, arguments.others, arguments.seed))
            print(table(cells[-1:]).splitlines()[-1], flush=True)
    if arguments.write:
        write(cells, arguments)


if __name__ == "__main__":
    main()
