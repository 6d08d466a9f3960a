"""Draws of the laws that a table allows: a parametric bootstrap with Student's t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.laws.levels import Floats
from limbeck.laws.projection import many
from limbeck.laws.scaling import ScalingFit
from limbeck.streams import numpy_stream

DRAWS = 400


@dataclass(frozen=True)
class Cloud:
    """Laws that the data allow, `(draws,)` each; `shift` is the reference's error."""

    smallest_k: float
    exponent: Floats
    floor: Floats
    amplitude: Floats
    shift: Floats

    def gap(self, k: Sequence[float] | Floats) -> Floats:
        """What each law predicts, `(k, draws)`, as a run would measure it: with the reference's error."""
        ratio = np.asarray(k, float)[:, None] / self.smallest_k
        return np.asarray(self.floor + self.amplitude * ratio**-self.exponent + self.shift)


def cloud(fit: ScalingFit, *, seed: int = 0, draws: int = DRAWS) -> Cloud:
    """Draws of laws about a fit: `y = law + sd t_df / sqrt(D)`, refitted by variable projection."""
    random = numpy_stream(seed, "cloud of laws")
    levels, df = fit.levels, max(fit.profile.df, 1.0)
    law = fit.best.floor + fit.best.amplitude * (levels.k / fit.smallest_k) ** -fit.best.exponent
    scale = np.sqrt(df / random.chisquare(df, draws))[:, None]
    noise = scale * np.sqrt(levels.variance) * random.standard_normal((draws, len(levels.k)))
    shift = levels.shift_sd * random.standard_t(max(min(levels.shift_df, 1e6), 1), draws)
    # A run is measured against the reference as it is; the truth is that of a perfect one.
    exponent, floor, amplitude = many(levels, law + noise - shift[:, None], exponent=fit.profile.fixed_exponent)
    return Cloud(fit.smallest_k, exponent, floor, amplitude, shift)
