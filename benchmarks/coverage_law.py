"""Does the coverage law's machinery tell the truth? Planted worlds, where the answer is known.

Identical configurations must not be called different (the naive maximum calls them so nearly always); in families of
near-duplicates log M must mislead and H must not; planted diversity must be found; exact covers must be smallest.

    python benchmarks/coverage_law.py --worlds 40 --write
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.laws.coverage import fit_coverage
from limbeck.laws.coverage_pool import Pool, line, own_floors
from limbeck.laws.covers import cover, farthest_order, greedy_cover, packing
from limbeck.laws.needs import family_needs, needs_against, slopes_apart
from limbeck.laws.nulls import worst_of_noise
from limbeck.laws.subfamilies import Family, masks, stratified
from limbeck.laws.worst import worst_gaps
from limbeck.testing.worlds import World

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RADIUS, TARGET = 0.6, 0.12
PLANTED = World(clusters=24, copies=8)
IDENTICAL = World(clusters=32, copies=1, identical=True, seed_sd=0.015)


def identical(worlds: int, seed: int) -> dict[str, Any]:
    """Slope of the worst gap on sqrt(log M) where all configurations are the same, naive and split.

    Significance is a one-sided t-test of the slopes at the six values of k, which are independent trainings; the noise
    that references share between them is what makes its size larger than it says.
    """
    random = np.random.default_rng(seed)
    sizes = np.repeat([2, 4, 8, 16, 32], 12)
    found: dict[str, list[tuple[float, bool]]] = {"naive": [], "split": [], "shrunk": []}
    for world in range(worlds):
        runs, _, _ = IDENTICAL.draw(seed + world)
        m = len(runs.names)
        families = [Family("random", tuple(int(i) for i in random.choice(m, size, replace=False))) for size in sizes]
        worst = worst_gaps(runs, masks(families, m))
        x = np.sqrt(np.log(sizes))
        for name, values in (("naive", worst.naive), ("split", worst.mean), ("shrunk", worst.shrunk)):
            slopes = np.array([line(x, values[:, level])[1] for level in range(values.shape[1])])
            t = slopes.mean() / (slopes.std(ddof=1) / math.sqrt(len(slopes)))
            found[name].append((float(slopes.mean()), bool(t > 2.015)))  # one-sided 5 % of t with 5 degrees of freedom
    return {
        name: {"slope": float(np.mean([s for s, _ in held])), "significant": float(np.mean([p for _, p in held]))}
        for name, held in found.items()
    }


def planted(worlds: int, permutations: int, seed: int) -> list[dict[str, Any]]:
    """The law and the growth of required k in worlds of near-duplicate clusters, distances measured with error."""
    found = []
    for world in range(worlds):
        begun = time.process_time()
        runs, d, _ = PLANTED.draw(seed + world)
        families = tuple(stratified(d, [2, 4, 8, 16, 32, 64], each=16, radius=RADIUS, seed=seed + world))
        pool = Pool(runs, d, families, RADIUS)
        fit = fit_coverage(pool, permutations=permutations, halves=False, seed=seed + world)
        needs = family_needs(runs, pool.masks, TARGET)
        floors = own_floors(runs, 0.5)
        growth = needs_against(pool, floors, needs, fit.measured["H"], True)
        same = np.array([family.size == 32 for family in families])
        found.append(
            {
                "p": fit.permutation_p,
                "explained": {one.measure: one.explained for one in fit.fits},
                "needs_explained": {name: _explained(needs.bounded, values) for name, values in fit.measured.items()},
                "rank_at_32": _rank(needs.bounded[same], fit.measured["H"][same]),
                "gamma": growth.gamma.to_dict(),
                "gamma_holds_1": growth.gamma.covers(1.0),
                "curvature_p": growth.curvature_p,
                "slopes": slopes_apart(needs, fit.measured["log M"], fit.measured["H"]),
                "apart": apart(pool, seed + world),
                "seconds": time.process_time() - begun,
            }
        )
        print(f"world {world}: p {fit.permutation_p:.3f}, R2 {found[-1]['explained']}", flush=True)
    return found


def apart(pool: Pool, seed: int) -> dict[str, float]:
    """Required k per unit of log M in families of two clusters only, and in families of one member a cluster."""
    random = np.random.default_rng(seed)
    m, copies = len(pool.runs.names), PLANTED.copies
    families: dict[str, list[Family]] = {"duplicates": [], "distinct": []}
    for size in np.repeat([2, 4, 8, 16], 12):
        two = random.choice(PLANTED.clusters, 2, replace=False)
        members = np.concatenate([cluster * copies + random.permutation(copies)[: size // 2] for cluster in two])
        families["duplicates"].append(Family("two clusters", tuple(int(one) for one in members)))
        many = random.choice(PLANTED.clusters, size, replace=False) * copies + random.integers(0, copies, size)
        families["distinct"].append(Family("one a cluster", tuple(int(one) for one in many)))
    found = {}
    for name, drawn in families.items():
        needs = family_needs(pool.runs, masks(drawn, m), TARGET)
        found[name] = line(np.log([float(one.size) for one in drawn]), needs.bounded)[1]
    return found


def needed(worlds: int, seed: int) -> list[dict[str, float]]:
    """How often the interval of what a family needs holds the truth, where laws are straight and where they bend.

    The truth is that of 400 sets without noise at 40 values of k, line by line between them.
    """
    ks = tuple(int(k) for k in np.unique(np.geomspace(10, 500, 40).round()))
    members = [(0, 2), (0, 3, 4, 6, 9, 11), tuple(range(12))]
    families = masks([Family("planted", one) for one in members], 12)
    found = []
    for bend, target in ((0.0, 0.12), (0.4, 0.1), (0.8, 0.08), (-0.2, 0.12)):
        planted = World(clusters=6, copies=2, floor=0.0, bend=bend)
        held, widths = [], []
        for world in range(worlds):
            runs, _, _ = planted.draw(seed + world)
            exact, _, _ = replace(planted, levels=ks, sets=400, seed_sd=1e-9).draw(seed + world)
            needs = family_needs(runs, families, target)
            for row, mask in enumerate(families):
                worst = exact.gap[mask].max(0).mean(1)  # (levels,)
                truth = math.exp(float(np.interp(-target, -worst, np.log(exact.k))))
                held.append(needs.low[row] <= truth <= needs.high[row])
                widths.append(math.log10(needs.high[row] / needs.low[row]))
        found.append(
            {"bend": bend, "target": target, "families": len(held), "coverage": float(np.mean(held)),
             "width": float(np.median(widths))}
        )  # fmt: skip
    return found


def shuffled(worlds: int, permutations: int, seed: int) -> float:
    """How often the permutation test calls distances of shuffled labels significant at 5 %."""
    rejected = []
    for world in range(worlds):
        runs, d, _ = World(clusters=10, copies=4).draw(seed + world)
        order = np.random.default_rng(seed + world).permutation(len(d))
        d = d[np.ix_(order, order)]
        families = tuple(stratified(d, [2, 4, 8, 16], each=8, radius=RADIUS, seed=seed + world))
        fit = fit_coverage(Pool(runs, d, families, RADIUS), permutations=permutations, halves=False)
        rejected.append(fit.permutation_p <= 0.05)
    return float(np.mean(rejected))


def exact(cases: int, seed: int) -> dict[str, Any]:
    """Covers of random point sets against exhaustive search, and the sizes that cheaper ways reach at 96 points."""
    random = np.random.default_rng(seed)
    agree = enclosed = 0
    for _ in range(cases):
        n, radius = int(random.integers(2, 11)), float(random.uniform(0.2, 2.0))
        d = _distances(random, n, 2)
        brute = next(
            c for c in range(1, n + 1) if any((d[list(s)].min(0) <= radius).all() for s in combinations(range(n), c))
        )
        held = cover(d, radius)
        agree += len(held.centres) == brute
        enclosed += len(packing(d, 2 * radius)) <= brute <= len(farthest_order(d).centres(radius))
    sizes, seconds = [], []
    for _ in range(20):
        d = _distances(random, 96, 4)
        begun = time.perf_counter()
        smallest = len(cover(d, 1.6).centres)
        seconds.append(time.perf_counter() - begun)
        sizes.append((smallest, len(greedy_cover(d, 1.6)), len(farthest_order(d).centres(1.6))))
    means = np.mean(sizes, axis=0)
    return {
        "cases": cases,
        "agree": agree,
        "enclosed": enclosed,
        "mean_size": {"exact": float(means[0]), "greedy": float(means[1]), "farthest-point": float(means[2])},
        "milliseconds": 1000 * float(np.median(seconds)),
    }


def _distances(random: np.random.Generator, n: int, dims: int) -> np.ndarray:
    x = random.standard_normal((n, dims))
    return np.linalg.norm(x[:, None] - x[None], axis=2)


def _explained(k: np.ndarray, values: np.ndarray) -> float:
    b0, b1 = line(values, k)
    return float(1 - np.sum((k - b0 - b1 * values) ** 2) / np.sum((k - k.mean()) ** 2))


def _rank(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def write(found: dict[str, Any], arguments: argparse.Namespace) -> None:
    """docs/results/coverage_law.md and .json."""
    command = f"python benchmarks/coverage_law.py --worlds {arguments.worlds} --seed {arguments.seed} --write"
    worlds, null = found["planted"], found["null"]
    lines = [
        f"| {name} | {np.median([w['explained'][name] for w in worlds]):.3f} | "
        f"{np.median([w['needs_explained'][name] for w in worlds]):.3f} |"
        for name in worlds[0]["explained"]
    ]
    same = "\n".join(
        f"| {name} | {held['slope']:.4f} | {100 * held['significant']:.0f} % |"
        for name, held in found["identical"].items()
    )
    slopes = {
        part: [w["slopes"][part]["slope"] for w in worlds if w["slopes"][part]["slope"] is not None]
        for part in ("near_duplicates", "distinct")
    }
    needs = "\n".join(
        f"| {one['bend']:+.1f} | {one['target']:g} | {one['coverage']:.3f} | {one['width']:.2f} |"
        for one in found["needed"]
    )
    within, across = (np.median([w["apart"][name] for w in worlds]) for name in ("duplicates", "distinct"))
    n, covers = len(worlds), found["exact"]
    text = f"""# Does the coverage law's machinery tell the truth?

`{command}`, {datetime.date.today().isoformat()}. Planted worlds: every number here has a known answer.

**Identical configurations.** {found["identical_worlds"]} worlds of 32 configurations that are all the same; worst gap
of random subsets of 2 to 32 of them against sqrt(log M), slope averaged over six values of k, t-test over them (5 %).

| worst gap | slope | called significant |
|---|---|---|
{same}

Pure noise, no training at all: the worst of 24 normal numbers against log M has R2 {null["median"]:.3f}
({null["low"]:.3f} to {null["high"]:.3f}). A straight line in that plot is no evidence of anything.

**Near-duplicates.** {n} worlds of 24 clusters x 8 near-duplicates, distances measured with an error of 0.05; families
of 2 to 64 members, 16 of each size, spread over the diversities that size can have. Median R2 over worlds, of the
amplitude of the worst gap linear in the root of a measure, and of required k (gap {TARGET}) linear in the measure:

| measure | worst gap | required k |
|---|---|---|
{chr(10).join(lines)}

- The permutation test of H beyond log M rejects in {100 * np.mean([w["p"] <= 0.05 for w in worlds]):.0f} % of worlds
  (power), and in {100 * found["shuffled"]:.0f} % of {found["shuffled_worlds"]} worlds with shuffled labels (size).
- At 32 members, where log M is constant, the rank correlation of required k with H is
  {np.median([w["rank_at_32"] for w in worlds]):.2f} (median).
- Required k per unit of log M, families of 2 to 16 members: {within:.1f} where all are of two clusters,
  {across:.1f} where each is of a cluster of its own (medians). Were log M the measure,
  they would be equal. The quarters of least and of
  largest H of each size, which is all that a pool without known clusters allows, do not show it
  ({np.median(slopes["near_duplicates"]):.1f} and {np.median(slopes["distinct"]):.1f}): there H rises with the size
  in both.
- The exponent gamma of `k = b0 + b1 H^gamma`: its interval holds the law's 1 in
  {100 * np.mean([w["gamma_holds_1"] for w in worlds]):.0f} % of worlds; curvature is called significant in
  {100 * np.mean([w["curvature_p"] <= 0.05 for w in worlds]):.0f} %.
- A world takes {np.median([w["seconds"] for w in worlds]):.1f} s of one core.

**What a family needs.** {found["needed"][0]["families"]} families a line, of 2, 6 and 12 configurations with three
sets each, whose exponent is 1/2 at the middle k and changes by the bend a decade: how often the 95 % interval of
required k holds the truth, and its median width in decades.

| bend | gap | coverage | width |
|---|---|---|---|
{needs}

**Covers.** {covers["agree"]} of {covers["cases"]} random point sets (2 to 10 points) have the cover that exhaustive
search finds, and {covers["enclosed"]} lie between their packing and their farthest-point cover. At 96 points in four
dimensions: exact {covers["mean_size"]["exact"]:.1f}, greedy {covers["mean_size"]["greedy"]:.1f}, farthest-point
{covers["mean_size"]["farthest-point"]:.1f} centres on average, {covers["milliseconds"]:.0f} ms for the exact one.
"""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "coverage_law.md").write_text(text, encoding="utf-8")
    (RESULTS / "coverage_law.json").write_text(json.dumps({"command": command, **found}, indent=1) + "\n")


def main() -> None:
    """Run, print, and write on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--write", action="store_true", help="write docs/results/coverage_law.md and .json")
    arguments = parser.parse_args()
    nothing = 3 * arguments.worlds
    found = {
        "identical_worlds": nothing,
        "identical": identical(nothing, arguments.seed),
        "planted": planted(arguments.worlds, arguments.permutations, arguments.seed),
        "needed": needed(5 * arguments.worlds, arguments.seed),
        "shuffled_worlds": nothing,
        "shuffled": shuffled(nothing, 99, arguments.seed),
        "exact": exact(300, arguments.seed),
        "null": worst_of_noise().to_dict(),
    }
    print(json.dumps({key: value for key, value in found.items() if key != "planted"}, indent=1))
    if arguments.write:
        write(found, arguments)


if __name__ == "__main__":
    main()
