"""How often the scaling law's intervals hold the truth: planted laws, fresh noise, every scenario we fear.

Coverage of the floor, the exponent, the gap at a larger k and the k required for two gaps (0.04 and 0.02 above the
floor), nominal 95 %, for the profile set, the same with the exponent fixed at 1/2, a cluster bootstrap, and common
practice (`scipy.optimize.curve_fit` on all runs, normal intervals by the delta method).

    python benchmarks/law_coverage.py --write                                  400 tables a scenario, all estimators
    python benchmarks/law_coverage.py --datasets 2000 --seed 4242 --estimators "profile set" --write
    python benchmarks/law_coverage.py --datasets 500 --seed 4243 --estimators "profile set" "as answered" --write
    python benchmarks/law_coverage.py --datasets 50 --estimators "profile set" --python312 PATH --write

"As answered" has gaps and required k of laws that may bend, as `limbeck laws` and `plan` give them. The last, with a
Python that has `simple-scaling-laws`, fits that package to the same tables. With `--write` every cell is kept in
docs/results/law_coverage.json as it is done, beside those of other runs; the page is written from all.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from law_coverage_page import ANSWERED, OTHERS, QUANTITIES, Cell, line, page
from limbeck.errors import BadData
from limbeck.laws import Estimate, fit_scaling, required_k
from limbeck.streams import numpy_stream
from planted_laws import SCENARIOS, Scenario

RESULTS = Path(__file__).parents[1] / "docs" / "results"
KEPT = RESULTS / "law_coverage.json"
Fitted = tuple[Estimate, ...]
Fitter = Callable[[Scenario, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Fitted]


def profile(scenario: Scenario, k: np.ndarray, gap: np.ndarray, sets: np.ndarray, references: np.ndarray) -> Fitted:
    """The package's default."""
    fit = fit_scaling(k, gap, sets, reference_errors=references)
    needs = [fit.required_k(scenario.floor + excess) for excess in (0.04, 0.02)]
    return fit.floor, fit.exponent, fit.gap(scenario.at), *needs


def answered(scenario: Scenario, k: np.ndarray, gap: np.ndarray, sets: np.ndarray, references: np.ndarray) -> Fitted:
    """What `limbeck laws` says: floor and exponent of the straight law, gaps and required k of one that may bend."""
    fit = fit_scaling(k, gap, sets, reference_errors=references)
    needs = [required_k(fit, scenario.floor + excess).k for excess in (0.04, 0.02)]
    return fit.floor, fit.exponent, fit.foretold.gap(scenario.at), *needs


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
    ANSWERED: answered,
    "profile set, exponent 1/2": fixed,
    "cluster bootstrap": bootstrap,
    "curve_fit, all runs": common_practice,
}


def measure(scenario: Scenario, estimator: str, datasets: int, seed: int) -> Cell | None:
    """Coverage and widths over fresh data sets; None where the estimator refuses the design."""
    truths, hits, widths, spent = scenario.truths(), [], [], 0.0
    for index in range(datasets):
        drawn = scenario.draw(numpy_stream(seed, scenario.name, index))
        start = time.process_time()
        try:
            found = FITTERS[estimator](scenario, *drawn)
        except BadData:
            return None
        spent += time.process_time() - start
        hits.append([one.covers(truth) for one, truth in zip(found, truths, strict=True)])
        widths.append([_width(one, index >= 3) for index, one in enumerate(found)])
    coverage = tuple(float(c) for c in np.mean(hits, 0))
    width = tuple(float(w) for w in np.median(widths, 0))
    return Cell(scenario.name, estimator, datasets, seed, coverage, width, 1000 * spent / datasets)


def measure_others(scenario: Scenario, python: str, datasets: int, seed: int) -> Cell:
    """The same for `simple-scaling-laws` (300 draws), which has intervals for three of the five quantities."""
    tables = []
    for index in range(datasets):
        k, gap, sets, _ = scenario.draw(numpy_stream(seed, scenario.name, index))
        tables.append({"k": k.tolist(), "gap": gap.tolist(), "set": [float(one) for one in sets], "at": scenario.at})
    script = str(Path(__file__).with_name("other_laws.py"))
    own = {"PATH": "/usr/bin"} | {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [python, script], input=json.dumps(tables), capture_output=True, text=True, check=True, env=own
    )
    found = json.loads(done.stdout)
    truths = scenario.truths()
    parts = [[Estimate.of(None, *one[name]) for one in found] for name in ("floor", "exponent", "gap")]
    coverage = [float(np.mean([e.covers(truth) for e in held])) for held, truth in zip(parts, truths, strict=False)]
    width = [float(np.median([e.width for e in held])) for held in parts]
    seconds = float(np.mean([one["seconds"] for one in found]))
    nothing = (math.nan, math.nan)
    return Cell(scenario.name, OTHERS, datasets, seed, (*coverage, *nothing), (*width, *nothing), 1000 * seconds)


def _width(one: Estimate, in_decades: bool) -> float:
    if not in_decades:
        return one.width
    if one.high is None or one.low is None or not math.isfinite(one.low):
        return math.inf
    return math.log10(one.high / one.low)


def kept() -> list[Cell]:
    """The cells of all runs so far."""
    return [Cell.read(one) for one in json.loads(KEPT.read_text())["cells"]] if KEPT.exists() else []


def keep(cell: Cell) -> None:
    """Add a cell to those of all runs, in place of an earlier one of the same tables."""
    cells = [one for one in kept() if one.key != cell.key]
    cells.append(replace(cell, date=datetime.date.today().isoformat()))
    held: dict[str, Any] = {"quantities": QUANTITIES, "cells": [one.to_dict() for one in cells]}
    KEPT.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run, print, and write on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), help="names; all by default")
    parser.add_argument("--estimators", nargs="*", default=[name for name in FITTERS if name != ANSWERED])
    parser.add_argument("--python312", default="", help="a Python with simple-scaling-laws")
    parser.add_argument("--write", action="store_true", help="keep the cells, and write docs/results/law_coverage.md")
    parser.add_argument("--page", action="store_true", help="write the page from the cells that are kept, and stop")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", OptimizeWarning)
    for name in [] if arguments.page else arguments.scenarios:
        scenario, n, seed = SCENARIOS[name], arguments.datasets, arguments.seed
        cells = [measure(scenario, estimator, n, seed) for estimator in arguments.estimators]
        if arguments.python312:
            cells.append(measure_others(scenario, arguments.python312, n, seed))
        for cell in filter(None, cells):
            print(line(cell), flush=True)
            if arguments.write:
                keep(cell)
    if arguments.write or arguments.page:
        (RESULTS / "law_coverage.md").write_text(page(kept()), encoding="utf-8")


if __name__ == "__main__":
    main()
