"""Draws of the laws that a table allows: a parametric bootstrap with Student's t, of laws that may bend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from limbeck.laws.bend import BentLaws
from limbeck.laws.bent_curves import fit_bent_curves
from limbeck.laws.scaling import ScalingFit
from limbeck.streams import numpy_stream

DRAWS = 200


def cloud(fit: ScalingFit, *, seed: int = 0, draws: int = DRAWS) -> BentLaws:
    """Laws refitted to `y = law + sd t_df / sqrt(D)`, as many as there are draws.

    They are of gaps to the reference as it was measured, whose error laws under one configuration share.
    """
    random = numpy_stream(seed, "cloud of laws")
    levels, df = fit.raised.levels, max(fit.profile.df, 1.0)
    law = fit_bent_curves(levels.mean[None], levels.k, levels.variance, df=df).gaps(levels.k)
    scale = np.sqrt(df / random.chisquare(df, draws))[:, None]
    noise = scale * np.sqrt(levels.variance) * random.standard_normal((draws, len(levels.k)))
    drawn = fit_bent_curves(law + noise, levels.k, levels.variance, df=df)
    return replace(drawn, floor=drawn.floor - fit.offset)
