"""Is the exponent of a law the same for all networks, and for all data sets? The tables in docs/results, pooled.

For each method and data set its laws under four configurations are pooled (they rest on the same sets, which is allowed
for), with a test of one exponent for all. Then the data sets' means are compared.

    python benchmarks/exponents.py --write      docs/results/exponents.md (seconds)
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logit
from scipy.stats import chi2

from limbeck.errors import BadData
from limbeck.laws import Estimate, Family, ScalingFit, fit_levels, groups, pool_laws, read_rows
from limbeck.laws.projection import HIGHEST_EXPONENT, LOWEST_EXPONENT
from page import table, written

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
SOURCES = {"digits-scaling": "digits", "mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "r8": "news stories (R8)"}


class Measured(NamedTuple):
    """One method's laws on one data set."""

    source: str
    k: tuple[float, float]
    family: Family

    @property
    def exponent(self) -> Estimate:
        return self.family.parameters["exponent"].mean

    @property
    def differ_p(self) -> float:
        """The smaller p-value of the two tests of one exponent for all configurations."""
        return min(self.family.parameters["exponent"].equal_p, self.family.ancova_p)


def measured() -> dict[str, list[Measured]]:
    """Method -> its pooled laws, a data set each."""
    found: dict[str, list[Measured]] = {}
    for name, source in SOURCES.items():
        if not (RESULTS / f"{name}.csv").exists():
            continue
        laws: dict[str, list[ScalingFit]] = {}
        for group in groups(read_rows(RESULTS / f"{name}.csv")):
            if group.levels is not None:
                laws.setdefault(group.method.partition("(")[0], []).append(fit_levels(group.levels))
        for method, fits in laws.items():
            try:
                family = pool_laws(fits)
            except BadData:
                continue
            ends = min(fit.smallest_k for fit in fits), max(fit.largest_k for fit in fits)
            found.setdefault(method, []).append(Measured(source, ends, family))
    return {method: own for method, own in found.items() if len(own) > 1}


def alike(means: Sequence[Estimate]) -> float:
    """p-value of one mean exponent for all data sets: Cochran's Q of logits, standard errors from the intervals."""

    def unbounded(exponent: float | None) -> float:
        assert exponent is not None
        return float(logit((exponent - LOWEST_EXPONENT) / (HIGHEST_EXPONENT - LOWEST_EXPONENT)))

    at = np.array([unbounded(one.estimate) for one in means])
    error = np.array([(unbounded(one.high) - unbounded(one.low)) / 3.92 for one in means])
    weight = 1 / error**2
    return float(chi2.sf(weight @ (at - weight @ at / weight.sum()) ** 2, len(at) - 1))


def page(found: dict[str, list[Measured]]) -> str:
    families = [(method, one) for method, own in found.items() for one in own]
    lines = []
    for method, one in families:
        exponent = one.family.parameters["exponent"]
        lines.append([
            method, one.source, f"{one.k[0]:.0f} to {one.k[1]:.0f}", one.family.laws, f"{one.family.shared:.2f}",
            written(exponent.mean), written(exponent.new_law), f"{100 * exponent.i_squared:.0f} %",
            f"{exponent.equal_p:.2g}", f"{one.family.ancova_p:.2g}",
        ])  # fmt: skip
    heads = ["method", "data", "k", "laws", "shared noise", "mean exponent", "a new configuration's", "I2",
             "p, Q", "p, covariance"]  # fmt: skip
    p = {method: alike([one.exponent for one in own]) for method, own in found.items()}
    differ = [f"{method} on {one.source}" for method, one in families if one.differ_p < 0.05 / len(families)]
    apart = [method for method, value in p.items() if value < 0.05 / len(p)]
    between = table(["method", "data sets", "p"], [[one, len(found[one]), f"{value:.2g}"] for one, value in p.items()])
    return TEMPLATE.format(
        date=datetime.date.today().isoformat(), lines=table(heads, lines), n=len(lines), between=between,
        many=len(differ), differ=", ".join(differ) or "none", apart=", ".join(apart) or "none",
        halves=sum(one.exponent.covers(0.5) for _, one in families),
    )  # fmt: skip


TEMPLATE = """# Is the exponent the same for all networks, and for all data?

`python benchmarks/exponents.py --write`, {date}, from the rows of [digits-scaling](digits-scaling.md),
[mnist](mnist.md), [fashion-mnist](fashion-mnist.md) and [r8](r8.md): four configurations each, three or four sets a
method and k.

- Networks and optimizers: of {n} families of laws, one exponent for all configurations is rejected for {many}
  (5 % over {n} families by Bonferroni, the smaller of two p-values): {differ}.
- Data: one mean exponent for all data sets is rejected for {apart} (5 % by Bonferroni).
- 1/2 is inside the 95 % interval of the mean exponent in {halves} of {n} families.

"Mean exponent" is that of the random-effects model, "a new configuration's" where one more law's is expected. Floors
may be negative here, as laws held at zero can't be averaged: an exponent near 0.096, the end of the range, says that a
logarithm without a floor fits as well. "Shared noise" is the correlation between two configurations of what a set adds,
which intervals and tests allow for. I2 is the share of the spread of exponents that is no noise. The two p-values are
of one exponent for all four configurations: Cochran's Q, and the analysis of covariance with one noise.

{lines}

Between data sets, of the means above (Cochran's Q of logits, standard errors from the intervals, so a rough test):

{between}

## What was not confirmed

- **One exponent.** Where it is not rejected the intervals are wide: many exponents would do.
- **That ranges of k do not matter.** Exponents rise with k ([bend](bend.md)); the ranges here are alike but not equal,
  and a law whose floor is nearer looks steeper.
- Data of 8 and 10 classes, small networks, images of 28x28 or 8x8 and vectors.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/results/exponents.md")
    chosen = parser.parse_args()
    text = page(measured())
    print(text)
    if chosen.write:
        (RESULTS / "exponents.md").write_text(text)


if __name__ == "__main__":
    main()
