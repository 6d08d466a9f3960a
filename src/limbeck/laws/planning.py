"""What to measure next: the runs that narrow the required k the most for what they cost.

The law's doubt is a cloud of laws (parametric bootstrap with Student's t). The answers wanted are gaps at two k: that
which the target now seems to require, where the gap is to first order as uncertain as log required k and never
infinite, and the one that nine draws in ten call enough, which bounds the interval from above. A run whose prediction
is p and whose noise is v lowers the variance of an answer t by `cov(t, p)^2 / (var p + v)`; the cloud is then
conditioned on the run as if made (Matheron's rule), and the next run of the batch is chosen. A fifth of all runs are
drawn evenly from all candidates, because the law that guides the others may be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from limbeck.laws.levels import Floats
from limbeck.laws.projection import many
from limbeck.laws.scaling import ScalingFit, required
from limbeck.streams import numpy_stream

DRAWS = 400
ENOUGH = (0.5, 0.9)  # shares of draws that call the two k of the answers enough
UNIFORM_SHARE = 0.2
REACH = 10  # the answer is sought up to this multiple of the largest k measured


@dataclass(frozen=True)
class Cloud:
    """Laws that the data allow, `(draws,)` each; `shift` is the reference's error, `answers` is what is wanted to know.

    An answer is a gap at one of `answer_k`, divided by the law's slope at the first: in decades of k.
    """

    smallest_k: float
    exponent: Floats
    floor: Floats
    amplitude: Floats
    shift: Floats
    answers: tuple[Floats, ...]
    answer_k: tuple[float, ...]

    def gap(self, k: Sequence[float] | Floats) -> Floats:
        """What each law predicts, `(k, draws)`, as a run would measure it: with the reference's error."""
        ratio = np.asarray(k, float)[:, None] / self.smallest_k
        return np.asarray(self.floor + self.amplitude * ratio**-self.exponent + self.shift)


def cloud(fit: ScalingFit, target: float, *, seed: int = 0, draws: int = DRAWS) -> Cloud:
    """Draws of laws about a fit, and the gaps that a target makes interesting.

    `y = law + sd t_df / sqrt(D)` refitted by variable projection; the k of the answers are the median and the 0.9
    quantile of the draws' required k, kept between the smallest k and ten times the largest.
    """
    random = numpy_stream(seed, "cloud of laws")
    levels, df = fit.levels, max(fit.profile.df, 1.0)
    law = fit.best.floor + fit.best.amplitude * (levels.k / fit.smallest_k) ** -fit.best.exponent
    scale = np.sqrt(df / random.chisquare(df, draws))[:, None]
    noise = scale * np.sqrt(levels.variance) * random.standard_normal((draws, len(levels.k)))
    shift = levels.shift_sd * random.standard_t(max(min(levels.shift_df, 1e6), 1), draws)
    # A run is measured against the reference as it is; the truth is that of a perfect one.
    exponent, floor, amplitude = many(levels, law + noise - shift[:, None], exponent=fit.profile.fixed_exponent)
    needs = np.clip(required(fit.smallest_k, target, exponent, floor, amplitude), fit.smallest_k, REACH * fit.largest_k)
    ks = tuple(float(np.quantile(needs, share)) for share in ENOUGH)
    excess = [amplitude * (k / fit.smallest_k) ** -exponent for k in ks]
    slope = max(math.log(10) * float(np.median(exponent * excess[0])), 1e-6)
    answers = tuple((floor + own) / slope for own in excess)
    return Cloud(fit.smallest_k, exponent, floor, amplitude, shift, answers, ks)


@dataclass(frozen=True)
class Reading:
    """What one run tells of one law: the prediction of each draw and the variance of the run's own noise."""

    law: int  # index among the clouds
    predicted: Floats  # (draws,)
    noise: float


@dataclass(frozen=True)
class Candidate:
    """Something that could be run: what it costs, what it tells, and how often it may still be chosen."""

    cost: float
    readings: tuple[Reading, ...]
    most: int = 1


@dataclass(frozen=True)
class Pick:
    """A candidate chosen: by how much it lowers the variance of the answers, in decades squared, or drawn evenly."""

    candidate: int
    gain: float
    even: bool


def choose(
    clouds: Sequence[Cloud],
    candidates: Sequence[Candidate],
    count: int,
    *,
    seed: int = 0,
    uniform_share: float = UNIFORM_SHARE,
) -> list[Pick]:
    """The next `count` runs, best first, each in the light of those before it; fewer where candidates run out.

    The score of a candidate is the summed `cov(t, p)^2 / (var p + v)` over the answers of every law that it tells of,
    by its cost.
    """
    random = numpy_stream(seed, "choice of runs")
    answers = [np.stack(cloud.answers) for cloud in clouds]  # (laws, answers, draws)
    told = [list(one.readings) for one in candidates]
    left = [one.most for one in candidates]
    picks: list[Pick] = []
    while len(picks) < count and any(most > 0 for most in left):
        free = [i for i, most in enumerate(left) if most > 0]
        gains = [sum(_gain(answers[reading.law], reading) for reading in told[i]) for i in free]
        even = bool(random.random() < uniform_share)
        scores = [gain / candidates[i].cost for gain, i in zip(gains, free, strict=True)]
        place = int(random.integers(len(free))) if even else int(np.argmax(scores))
        picks.append(Pick(free[place], gains[place], even))
        left[free[place]] -= 1
        for reading in list(told[free[place]]):
            _condition(reading, answers, told, random)
    return picks


def _gain(answers: Floats, reading: Reading) -> float:
    """By how much a run lowers the summed variance of a law's answers `(answers, draws)`."""
    p = reading.predicted - reading.predicted.mean()
    return float(np.sum((answers @ p / len(p)) ** 2) / (float(reading.predicted.var()) + reading.noise))


def _condition(seen: Reading, answers: list[Floats], told: list[list[Reading]], random: np.random.Generator) -> None:
    """Matheron's rule: every draw moves by its regression on what a run at its expected value would have told."""
    p = seen.predicted
    innovation = p.mean() - p - math.sqrt(seen.noise) * random.standard_normal(len(p))
    slope = (p - p.mean()) / (len(p) * (float(p.var()) + seen.noise))
    answers[seen.law] = answers[seen.law] + (answers[seen.law] @ slope)[:, None] * innovation
    for readings in told:
        for place, reading in enumerate(readings):
            if reading.law == seen.law:
                moved = reading.predicted + float(reading.predicted @ slope) * innovation
                readings[place] = replace(reading, predicted=moved)


def noise_of_new_set(fit: ScalingFit, k: float, seeds: int) -> float:
    """Variance of a new set's mean over its seeds, about the law: that of sets as they were measured."""
    own = fit.levels.components
    if own.set_sd is None or own.seed_sd is None:
        return fit.levels.set_sd**2 * float(fit.levels.relative_noise(k))
    return (own.set_sd**2 + own.seed_sd**2 / seeds) * float(fit.levels.relative_noise(k))


def noise_of_more_seeds(fit: ScalingFit, k: float, seeds: int, more: int = 1) -> float:
    """Noise of a run that would tell as much as `more` seeds of a set with `seeds`; infinite where seeds are silent.

    The set's mean goes from variance `s_set^2 + s_seed^2 / n` to `s_set^2 + s_seed^2 / (n + more)`: the difference of
    the two precisions is that of the run.
    """
    own = fit.levels.components
    if not own.seed_sd:
        return math.inf
    set_variance = 0.0 if own.set_sd is None else own.set_sd**2
    before, after = (set_variance + own.seed_sd**2 / n for n in (seeds, seeds + more))
    return float(fit.levels.relative_noise(k)) / (1 / after - 1 / before)
