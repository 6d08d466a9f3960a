"""Does choosing the next runs pay? Campaigns on planted laws that all spend the same, by how they choose.

Every campaign begins with the same pilot (3 values of k, 2 sets each) and then spends its budget, a new set costing
1 + k / 100, to find the k that a gap of 0.12 requires; a rule chooses among the k that it can still pay for. The n-th
set at a k is the same under every rule, so rules are compared campaign by campaign. At the end the law is fitted to all
sets and its required k with its profile-set interval, the law being allowed to bend (decision 0055), is set against the
truth, 225 samples in the base world; what a straight law says of the same sets stands beside.

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
from functools import cached_property
from pathlib import Path

import numpy as np

from limbeck.laws import Estimate, ScalingFit, fit_scaling
from limbeck.laws.bend import BentLaws
from limbeck.laws.outlook import Outlook, outlook
from limbeck.laws.planning import UNIFORM_SHARE, Candidate, choose, new_set
from limbeck.streams import derive, numpy_stream

RESULTS = Path(__file__).parents[1] / "docs" / "results"
KS = (10, 20, 50, 100, 200, 500)
PILOT = (10, 50, 200)
MOST = 12  # sets at one k
OPEN = 3.0  # decades that an open interval counts for
MARK = "## The table"


@dataclass(frozen=True)
class World:
    """`gap = floor + constant k^-exponent`; a set's mean over its seeds scatters with `sd`.

    With a `bend` the exponent is that at the middle k and the excess that at the smallest.
    """

    name: str
    floor: float = 0.08
    constant: float = 0.6
    exponent: float = 0.5
    sd: float = math.hypot(0.012, 0.015 / math.sqrt(3))
    references: int = 5
    reference_sd: float = 0.005
    target: float = 0.12
    budget: float = 40.0
    bend: float = 0.0

    def laws(self, count: int = 1) -> BentLaws:
        """The planted law, so many times."""
        excess = self.constant * KS[0] ** -self.exponent
        exponent, bend, floor, amplitude = (np.full(count, x) for x in (self.exponent, self.bend, self.floor, excess))
        return BentLaws(exponent, bend, floor, amplitude, KS[0], math.sqrt(KS[0] * KS[-1]))

    def gap(self, k: float) -> float:
        """The planted gap."""
        return float(self.laws().gap(k)[0])

    @cached_property
    def truth(self) -> float:
        """The required k."""
        return float(self.laws().required_k(self.target)[0])


WORLDS = (
    World("base"),
    World("exponent .8", exponent=0.8, constant=1.6),
    World("floor 0", floor=0.0, target=0.05),
    World("bend .4", floor=0.02, bend=0.4, target=0.08),
)


@dataclass
class Campaign:
    """What was measured so far, and what is left of the budget."""

    world: World
    seed: int
    k: list[int] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left = self.world.budget
        self.random = numpy_stream(self.seed, "rule")
        reference = numpy_stream(self.seed, "reference").standard_normal(self.world.references)
        self.references = self.world.reference_sd * reference

    def measure(self, k: int) -> None:
        """One new set; the n-th at a k is the same under every rule."""
        own = numpy_stream(self.seed, "set", k, self.k.count(k)).standard_normal()
        self.k.append(k)
        self.gap.append(self.world.gap(k) + self.world.sd * own - float(self.references.mean()))

    @property
    def payable(self) -> list[int]:
        """Values of k that the rest of the budget pays for."""
        return [k for k in KS if cost(k) <= self.left + 1e-9]

    def fit(self) -> ScalingFit:
        """The law of all sets."""
        return fit_scaling(self.k, self.gap, list(range(len(self.k))), reference_errors=self.references)


Chooser = Callable[[Campaign], int]


def cost(k: float) -> float:
    """Of one new set."""
    return 1 + k / 100


def by_outlook(share: float, *, told: bool = False) -> Chooser:
    """The package's rule, with a share of runs drawn evenly; `told` lets it know the true law while it chooses."""

    def chooser(campaign: Campaign) -> int:
        fit, ks = campaign.fit(), [k for k in campaign.payable if campaign.k.count(k) < MOST] or campaign.payable
        seed = derive(campaign.seed, "choice", len(campaign.k))
        about = outlook(fit, campaign.world.target, seed=seed)
        if told:
            about = _told(about, campaign.world)
        sets = [Candidate(cost(k), (new_set(0, fit, k, 1),), max(MOST - campaign.k.count(k), 1)) for k in ks]
        return ks[choose([about], sets, 1, seed=seed, uniform_share=share)[0].candidate]

    return chooser


def _told(about: Outlook, world: World) -> Outlook:
    """A law that bends can't be told: the rule takes laws for straight."""
    one = np.ones(2)
    exponent, floor, amplitude = world.exponent * one, world.floor * one, world.laws().amplitude * one
    told = replace(about, means=about.means[:2], exponent=exponent, floor=floor, amplitude=amplitude)
    return about if world.bend else told


def evenly(campaign: Campaign) -> int:
    """Every k alike, at random."""
    return int(campaign.random.choice(campaign.payable))


def grid(campaign: Campaign) -> int:
    """The k with the fewest sets, the smallest first: the usual grid."""
    return min(campaign.payable, key=lambda k: (campaign.k.count(k), k))


def two_ends(campaign: Campaign) -> int:
    """The smallest and the largest k in turn."""
    return campaign.payable[0 if len(campaign.k) % 2 else -1]


def cheapest(campaign: Campaign) -> int:
    """The smallest k only."""
    return KS[0]


def largest(campaign: Campaign) -> int:
    """The largest k that can be paid for."""
    return campaign.payable[-1]


RULES: dict[str, Chooser] = {
    "even": evenly,
    "grid": grid,
    "two ends": two_ends,
    "cheapest": cheapest,
    "largest": largest,
    "look-ahead": by_outlook(0.0),
    "look-ahead, a tenth even": by_outlook(UNIFORM_SHARE),
    "look-ahead, told the law": by_outlook(0.0, told=True),
}


@dataclass(frozen=True)
class Answer:
    """What one estimator said at the end of one campaign, in decades of required k."""

    error: float
    width: float
    holds: bool

    @classmethod
    def of(cls, need: Estimate, truth: float) -> Answer:
        """A refusal counts as an error of two decades."""
        error = 2.0 if need.estimate is None else min(abs(math.log10(need.estimate / truth)), 2.0)
        width = math.inf if need.high is None or not need.low else math.log10(need.high / need.low)
        return cls(error, width, need.covers(truth))


@dataclass(frozen=True)
class Ending:
    """One campaign at its end."""

    bent: Answer  # of the law that may bend: what a user is told
    straight: Answer
    sets: int
    milliseconds: float  # of processor time: choosing and refitting


def run(world: World, rule: str, number: int, seed: int) -> Ending:
    """One campaign."""
    campaign = Campaign(world, derive(seed, world.name, number))
    for k in PILOT:
        campaign.measure(k)
        campaign.measure(k)
    begun = time.process_time()
    while campaign.payable:
        k = RULES[rule](campaign)
        campaign.measure(k)
        campaign.left -= cost(k)
    spent = 1000 * (time.process_time() - begun)
    fit = campaign.fit()
    bent, straight = (Answer.of(law.required_k(world.target), world.truth) for law in (fit.foretold, fit))
    return Ending(bent, straight, len(campaign.k), spent)


@dataclass(frozen=True)
class Outcome:
    """One rule in one world; errors and widths in decades of required k."""

    world: str
    rule: str
    campaigns: int
    rmse: float
    mean_absolute: float
    mean_absolute_error: float  # standard error of the mean
    median_absolute: float
    median_width: float
    bounded: float
    coverage: float
    narrower: float  # 1 - the geometric mean of the width over that of the even design in the same campaign
    narrower_error: float
    straight_absolute: float
    straight_width: float
    straight_coverage: float
    straight_narrower: float
    straight_narrower_error: float
    sets: float
    milliseconds: float


def measure(world: World, rule: str, held: list[Ending], even: list[Ending]) -> Outcome:
    """Many campaigns."""
    bent, straight = ([getattr(one, form) for one in held] for form in ("bent", "straight"))
    error = np.array([one.error for one in bent])
    narrower, narrower_error = _narrower(bent, [one.bent for one in even])
    of_straight, of_straight_error = _narrower(straight, [one.straight for one in even])
    widths = np.array([one.width for one in bent])
    return Outcome(
        world.name, rule, len(held), float(np.sqrt(np.mean(error**2))), float(error.mean()),
        float(error.std(ddof=1) / math.sqrt(len(held))), float(np.median(error)), float(np.median(widths)),
        float(np.isfinite(widths).mean()), float(np.mean([one.holds for one in bent])), narrower, narrower_error,
        float(np.mean([one.error for one in straight])), float(np.median([one.width for one in straight])),
        float(np.mean([one.holds for one in straight])), of_straight, of_straight_error,
        float(np.mean([one.sets for one in held])), float(np.mean([one.milliseconds for one in held])),
    )  # fmt: skip


def _narrower(own: list[Answer], even: list[Answer]) -> tuple[float, float]:
    """1 less the geometric mean of the ratio of widths, campaign by campaign, and its standard error.

    An open interval counts as `OPEN` decades.
    """
    widths, others = (np.array([one.width for one in ones]) for ones in (own, even))
    ratio = np.log(np.minimum(widths, OPEN) / np.minimum(others, OPEN))
    geometric = math.exp(float(ratio.mean()))
    return 1 - geometric, geometric * float(ratio.std(ddof=1)) / math.sqrt(len(own))


def table(outcomes: list[Outcome]) -> str:
    """Markdown, a line an outcome."""
    head = (
        "world", "rule", "RMSE", "MAE", "median error", "median width", "bounded", "coverage", "narrower than even",
        "MAE of a straight law", "its width", "its coverage", "its narrower than even", "sets", "ms",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in outcomes:
        width, other = ("open" if math.isinf(w) else f"{w:.3f}" for w in (one.median_width, one.straight_width))
        lines.append(
            f"| {one.world} | {one.rule} | {one.rmse:.3f} | {one.mean_absolute:.3f} ± {one.mean_absolute_error:.3f} | "
            f"{one.median_absolute:.3f} | {width} | {one.bounded:.2f} | {one.coverage:.3f} | "
            f"{100 * one.narrower:.0f} ± {100 * one.narrower_error:.0f} % | {one.straight_absolute:.3f} | {other} | "
            f"{one.straight_coverage:.3f} | {100 * one.straight_narrower:.0f} ± "
            f"{100 * one.straight_narrower_error:.0f} % | {one.sets:.1f} | {one.milliseconds:.0f} |"
        )
    return "\n".join(lines)


def write(outcomes: list[Outcome], arguments: argparse.Namespace) -> None:
    """The table at the end of the page, and its numbers; what they mean is written by hand above it."""
    command = f"python benchmarks/planning.py --campaigns {arguments.campaigns} --seed {arguments.seed} --write"
    page = RESULTS / "planning.md"
    said = page.read_text(encoding="utf-8").partition(MARK)[0] if page.exists() else ""
    about = f"`{command}`, {datetime.date.today().isoformat()}, n = {arguments.campaigns} campaigns a line."
    page.write_text(f"{said}{MARK}\n\n{about}\n\n{table(outcomes)}\n", encoding="utf-8")
    record = {"command": command, "outcomes": [_plain(one) for one in outcomes]}
    (RESULTS / "planning.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _plain(one: Outcome) -> dict[str, object]:
    return {name: None if value == math.inf else value for name, value in vars(one).items()}


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
        even: list[Ending] = []
        for rule in dict.fromkeys(["even", *arguments.rules]):
            held = [run(world, rule, number, arguments.seed) for number in range(arguments.campaigns)]
            even = even or held
            outcomes.append(measure(world, rule, held, even))
            print(table(outcomes[-1:]).splitlines()[-1], flush=True)
    if arguments.write:
        write(outcomes, arguments)


if __name__ == "__main__":
    main()
