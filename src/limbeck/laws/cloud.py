"""Draws of the gaps that a table allows: a parametric bootstrap with Student's t, of laws that may bend."""

from __future__ import annotations

import numpy as np

from limbeck.laws.bend import decay
from limbeck.laws.bent_curves import fit_bent_curves
from limbeck.laws.levels import Floats
from limbeck.laws.scaling import ScalingFit
from limbeck.streams import numpy_stream

DRAWS = 200


def cloud(fit: ScalingFit, k: Floats, *, seed: int = 0, draws: int = DRAWS) -> Floats:
    """Gaps at k `(points,)` as refitted laws have them, `(draws, points)`: `y = law + sd t_df / sqrt(D)`.

    They are gaps to the reference as it was measured, whose error laws under one configuration share.
    """
    random = numpy_stream(seed, "cloud of laws")
    levels, df = fit.raised.levels, max(fit.profile.df, 1.0)
    best = fit_bent_curves(levels.mean[None], levels.k, levels.variance, df=df)
    law = np.array([best.gap(float(one))[0] for one in levels.k])
    scale = np.sqrt(df / random.chisquare(df, draws))[:, None]
    noise = scale * np.sqrt(levels.variance) * random.standard_normal((draws, len(levels.k)))
    drawn = fit_bent_curves(law + noise, levels.k, levels.variance, df=df)
    falls = decay(np.asarray(k, float), drawn.smallest_k, drawn.middle_k, drawn.exponent, drawn.bend)
    return np.asarray(drawn.floor[:, None] - fit.offset + drawn.amplitude[:, None] * falls)
