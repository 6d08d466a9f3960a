"""Does choosing the next runs pay? Campaigns on planted laws that all spend the same, by how they choose.

Every campaign begins with the same pilot (3 values of k, 2 sets each) and then spends its budget, a new set costing
1 + k / 100, to find the k that a gap of 0.12 requires. At the end the law is fitted to all sets and its required k with
its profile-set interval is set against the truth, 225 samples.

    python benchmarks/planning.py --campaigns 200 --write
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from limbeck.laws import ScalingFit, fit_scaling
from limbeck.laws.planning import Candidate, Reading, choose, cloud, noise_of_new_set
from limbeck.streams import numpy_stream

RESULTS = Path(__file__).parents[1] / "docs" / "results"
KS = (10, 20, 50, 100, 200, 500)
PILOT = (10, 50, 200)
MOST = 12  # sets at one k


@dataclass(frozen=True)
class World:
    """`gap = floor + constant k^-exponent`; a set's mean over its seeds scatters with `sd`."""

    name: str
    floor: float = 0.08
    constant: float = 0.6
    exponent: float = 0.5
    sd: float = math.hypot(0.012, 0.015 / math.sqrt(3))
    references: int = 5
    reference_sd: float = 0.005
    target: float = 0.12
    budget: float = 40.0

    def gap(self, k: float) -> float:
        """The planted law."""
        return float(self.floor + self.constant * k**-self.exponent)

    @property
    def truth(self) -> float:
        """The required k."""
        return float((self.constant / (self.target - self.floor)) ** (1 / self.exponent))


WORLDS = (
    World("base"),
    World("exponent .8", exponent=0.8, constant=1.6),
    World("floor 0", floor=0.0, target=0.05),
)


@dataclass
class Campaign:
    """What was measured so far."""

    world: World
    random: np.random.Generator
    k: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.references = self.world.reference_sd * self.random.standard_normal(self.world.references)

    def measure(self, k: float) -> None:
        """One new set."""
        noise = self.world.sd * self.random.standard_normal() - self.references.mean()
        self.k.append(k)
        self.gap.append(self.world.gap(k) + noise)

    def fit(self) -> ScalingFit:
        """The law of all sets."""
        return fit_scaling(self.k, self.gap, list(range(len(self.k))), reference_errors=self.references)


Chooser = Callable[[Campaign, int], float]


def cost(k: float) -> float:
    """Of one new set."""
    return 1 + k / 100


def by_variance(share: float) -> Chooser:
    """The package's rule, with a share of runs drawn evenly."""

    def chooser(campaign: Campaign, seed: int) -> float:
        fit = campaign.fit()
        about = cloud(fit, campaign.world.target, seed=seed)
        predicted = about.gap(KS)
        sets = [
            Candidate(cost(k), (Reading(0, predicted[i], noise_of_new_set(fit, k, 1)),), MOST - campaign.k.count(k))
            for i, k in enumerate(KS)
        ]
        return float(KS[choose([about], sets, 1, seed=seed, uniform_share=share)[0].candidate])

    return chooser


def evenly(campaign: Campaign, seed: int) -> float:
    """Every k alike, at random."""
    return float(campaign.random.choice(KS))


def grid(campaign: Campaign, seed: int) -> float:
    """The k with the fewest sets, the smallest first: the usual grid."""
    return float(min(KS, key=lambda k: (campaign.k.count(k), k)))


def two_ends(campaign: Campaign, seed: int) -> float:
    """The smallest and the largest k in turn."""
    return float(KS[0] if len(campaign.k) % 2 else KS[-1])


def cheapest(campaign: Campaign, seed: int) -> float:
    """The smallest k only."""
    return float(KS[0])


RULES: dict[str, Chooser] = {
    "even": evenly,
    "grid": grid,
    "two ends": two_ends,
    "cheapest": cheapest,
    "variance reduction": by_variance(0.0),
    "variance reduction, a fifth even": by_variance(0.2),
}


@dataclass(frozen=True)
class Outcome:
    """One rule in one world; errors and widths in decades of required k."""

    world: str
    rule: str
    campaigns: int
    rmse: float
    mean_absolute: float
    median_absolute: float
    median_width: float
    bounded: float
    coverage: float
    sets: float
    milliseconds: float


def run(world: World, rule: str, number: int, seed: int) -> tuple[float, float, bool, int, float]:
    """Error, width, whether the interval holds the truth, sets measured, seconds of choosing."""
    campaign = Campaign(world, numpy_stream(seed, world.name, rule, number))
    for k in PILOT:
        campaign.measure(k)
        campaign.measure(k)
    begun = time.perf_counter()
    spent, step = 0.0, 0
    while True:
        k = RULES[rule](campaign, step)
        if spent + cost(k) > world.budget:
            break
        campaign.measure(k)
        spent, step = spent + cost(k), step + 1
    seconds = time.perf_counter() - begun
    need = campaign.fit().required_k(world.target)
    error = math.inf if need.estimate is None else abs(math.log10(need.estimate / world.truth))
    width = math.inf if need.high is None or not need.low else math.log10(need.high / need.low)
    return error, width, need.covers(world.truth), len(campaign.k), seconds


def measure(world: World, rule: str, campaigns: int, seed: int) -> Outcome:
    """Many campaigns. A refused answer counts as an error of two decades."""
    held = [run(world, rule, number, seed) for number in range(campaigns)]
    error = np.minimum([one[0] for one in held], 2.0)
    widths = np.array([one[1] for one in held])
    return Outcome(
        world.name, rule, campaigns, float(np.sqrt(np.mean(error**2))), float(error.mean()), float(np.median(error)),
        float(np.median(widths)), float(np.isfinite(widths).mean()), float(np.mean([one[2] for one in held])),
        float(np.mean([one[3] for one in held])), 1000 * float(np.mean([one[4] for one in held])),
    )  # fmt: skip


def table(outcomes: list[Outcome]) -> str:
    """Markdown, a line an outcome."""
    head = ("world", "rule", "RMSE", "MAE", "median error", "median width", "bounded", "coverage", "sets", "ms")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in outcomes:
        width = "open" if math.isinf(one.median_width) else f"{one.median_width:.3f}"
        lines.append(
            f"| {one.world} | {one.rule} | {one.rmse:.3f} | {one.mean_absolute:.3f} | {one.median_absolute:.3f} | "
            f"{width} | {one.bounded:.2f} | {one.coverage:.3f} | {one.sets:.1f} | {one.milliseconds:.0f} |"
        )
    return "\n".join(lines)


def write(outcomes: list[Outcome], arguments: argparse.Namespace) -> None:
    """The page and its numbers."""
    command = f"python benchmarks/planning.py --campaigns {arguments.campaigns} --seed {arguments.seed} --write"
    base = {one.rule: one for one in outcomes if one.world == "base"}
    ours, even = base["variance reduction, a fifth even"], base["even"]
    narrower = 1 - ours.median_width / even.median_width
    n, spread = arguments.campaigns, ours.rmse
    text = f"""# Does choosing the next runs pay?

`{command}`, {datetime.date.today().isoformat()}, n = {n} campaigns a line.

Every campaign begins with 2 sets at each of k = 10, 50, 200 and then spends {arguments.budget:g} on new sets, one at k
costing 1 + k / 100, to find the k that a target gap requires. Errors and widths are in decades of k (log10): the error
of the final estimate, and the width of its 95 % profile-set interval. A refusal counts as an error of 2.

In the base world (gap = .08 + .6 k^-1/2, target .12, truth 225) variance reduction with a fifth drawn evenly ends with
a median absolute error of {ours.median_absolute:.3f} and a mean one of {ours.mean_absolute:.3f} (wanted: .085; standard
error of the mean about {spread / math.sqrt(n):.3f}), against {even.median_absolute:.3f} and {even.mean_absolute:.3f} of
an even design. Its median interval is {100 * narrower:.0f} % narrower than the even design's (wanted: 25 %); intervals
with an upper end: {100 * ours.bounded:.0f} % against {100 * even.bounded:.0f} %.

{table(outcomes)}

"even" draws k at random; "grid" fills the level with the fewest sets; "ms" is the time of choosing and refitting in a
whole campaign. Tried on the way and not kept: only the gap at the median required k as the answer (smaller errors, but
wider intervals than an even design: an interval's upper end is decided beyond the required k), only log required k
itself, and the 0.97 quantile in place of the 0.9.
"""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "planning.md").write_text(text, encoding="utf-8")
    cells = [
        {**vars(one), "median_width": one.median_width if math.isfinite(one.median_width) else None} for one in outcomes
    ]
    record = {"command": command, "outcomes": cells}
    (RESULTS / "planning.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run, print, and write on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--worlds", nargs="*", default=[world.name for world in WORLDS])
    parser.add_argument("--rules", nargs="*", default=list(RULES))
    parser.add_argument("--budget", type=float, default=WORLDS[0].budget)
    parser.add_argument("--write", action="store_true", help="write docs/results/planning.md and .json")
    arguments = parser.parse_args()
    outcomes = []
    for world in (replace(one, budget=arguments.budget) for one in WORLDS if one.name in arguments.worlds):
        for rule in arguments.rules:
            outcomes.append(measure(world, rule, arguments.campaigns, arguments.seed))
            print(table(outcomes[-1:]).splitlines()[-1], flush=True)
    if arguments.write:
        write(outcomes, arguments)


if __name__ == "__main__":
    main()
