"""What a gap is made of: residual, matching, update, curvature and generalisation, and a bound checked step by step.

For any update theta' = theta - rate d / P, with the curvature beta_t measured along the step, in the norm of P:

    L(theta') - L* = (1 - rate mu_t)(L(theta) - L*) + (rate / 2) |d - g_D|^2 - (rate / 2)(1 - rate beta_t) |d|^2

with mu_t = |g_D|^2 / (2 (L - L*)). Leaving out the last term where it lowers the loss (rate beta_t <= 1, the descent
lemma) gives a recursion whose solution bounds the excess loss after T steps. Nothing is assumed but that rates and
losses are what they were: momentum, mini-batches, decoupled decay and AdamW's metric are part of d and P.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.laws.contraction import Contraction, contraction
from limbeck.laws.first_order import FirstOrder, first_order
from limbeck.laws.notes import Note, PathCode
from limbeck.measures.passage import Floats, Measured, Passage


@dataclass(frozen=True)
class Recursion:
    """The bound on L_D(theta_t) - L* before each measured step and at the end, and what it is made of at the end.

    `matching` is what |g_S - g_D|^2 contributes; `update` is the rest of |d - g_D|^2 (momentum's lag, mini-batches,
    decay), which is negative where momentum averages the mismatch away; `curvature` is what steps with
    rate * beta_t > 1 add.
    """

    bound: Floats  # (m + 1,)
    excess: Floats  # (m + 1,) measured
    residual: float
    matching: float
    update: float
    curvature: float
    longest: float  # largest rate * beta_t

    @property
    def slack(self) -> Floats:
        """Bound minus measured excess, (m + 1,): never negative beyond rounding where every step was measured."""
        return self.bound - self.excess

    @property
    def tightness(self) -> float:
        """Bound / excess at the end; 1 is exact."""
        return float(self.bound[-1] / self.excess[-1]) if self.excess[-1] > 0 else math.inf


def recursion(passage: Passage, optimum: float, final_loss: float, mu: float | None = None) -> Recursion:
    """Run the recursion with the path's own mu_t, or with one `mu` for all states.

    A passage of every `span`-th step stands for the steps between: then the bound is an interpolation, not a proof.
    """
    factor, entering, later = passage.accumulation(passage.mu(optimum) if mu is None else mu)
    entering = entering / 2
    curved = np.clip(passage.rate * passage.curvature - 1, 0, None) * passage.direction
    bound = [passage.loss[0] - optimum]
    for own_factor, added in zip(factor, entering * (passage.error + curved), strict=True):
        bound.append(own_factor * bound[-1] + added)
    return Recursion(
        bound=np.array(bound),
        excess=np.append(passage.loss, final_loss) - optimum,
        residual=float(np.prod(factor) * bound[0]),
        matching=float(later @ (entering * passage.mismatch)),
        update=float(later @ (entering * (passage.error - passage.mismatch))),
        curvature=float(later @ (entering * curved)),
        longest=float((passage.rate * passage.curvature).max()),
    )


@dataclass(frozen=True)
class Decomposition:
    """One set's gap in loss under one configuration, and its parts, in the loss's unit.

    gap = (L_D(theta^S) - L_D(theta^D)) + generalisation <= residual + matching + update + curvature + generalisation.
    `fluctuation` is what the matching term would be, in expectation, for k random samples at the same states.
    """

    method: str
    configuration: str
    samples: int
    gap_loss: float
    gap_error: float
    excess: float  # L_D(theta^S_T) - L*
    residual: float
    matching: float
    update: float
    curvature: float
    fluctuation: float | None
    generalisation: float  # (R - L_D) at theta^S less the same at theta^D
    set_residual: float  # L_S(theta^S_T) less the lowest L_S that was found
    reference_residual: float  # L_D(theta^D_T) - L*
    bound: float
    tightness: float
    global_tightness: float  # with the path's smallest mu throughout
    smallest_slack: float
    violations: int
    first_order: FirstOrder  # on |L_D(theta^S_T) - L_D(theta^D_T)|, with the path's smallest mu and largest |g_D|
    discrepancy: float  # A_a(S)^2, weights at the median mu
    effective_samples: float | None
    effective_balanced: float | None
    longest_step: float  # largest rate * beta along the path's own steps
    smoothness: float
    pl: Contraction
    advice: tuple[str, ...]
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that do not exist are None."""
        held = dict(vars(self)) | {
            "first_order": self.first_order.to_dict(),
            "pl": self.pl.to_dict(),
            "advice": list(self.advice),
        }
        held |= {"notes": [note.to_dict() for note in self.notes]}
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in held.items()}


def decompose(measured: Measured) -> Decomposition:
    """Put the parts of one measured gap together, with what to do about the largest."""
    passage, full, low = measured.passage, measured.full, measured.full.optimum.value
    pl = contraction(passage, full.optimum)
    own = recursion(passage, low, measured.final_loss)
    overall = recursion(passage, low, measured.final_loss, mu=pl.smallest)
    known = bool(np.isfinite(passage.variance).all())
    fluctuation = _fluctuation(passage, low) if known else None
    scale = max(abs(float(own.excess[0])), 1e-12)
    notes = list(pl.notes)
    if not passage.exact:
        every = int(passage.span.max())
        notes.append(Note(PathCode.path_sampled, f"Every {every}th step was measured: the bound interpolates between."))
    if own.longest > 1:
        notes.append(
            Note(
                PathCode.edge_of_stability,
                f"The longest step is {own.longest:.2g} / beta: beyond 1 the descent lemma is paid for by the "
                f"curvature term{', beyond 2 training is at the edge of stability' if own.longest > 2 else ''}.",
            )
        )
    parts = {
        "residual": own.residual, "matching": own.matching, "update": own.update, "curvature": own.curvature,
        "generalisation": (measured.test_loss - measured.final_loss) - (full.test_loss - full.loss),
        "set_residual": measured.final_loss_set - measured.set_optimum.value,
        "reference_residual": full.loss - low,
    }  # fmt: skip
    return Decomposition(
        method=measured.method,
        configuration=measured.configuration,
        samples=passage.samples,
        gap_loss=measured.test_loss - full.test_loss,
        gap_error=measured.test_error - full.test_error,
        excess=float(own.excess[-1]),
        **parts,
        fluctuation=fluctuation,
        bound=float(own.bound[-1]),
        tightness=own.tightness,
        global_tightness=overall.tightness,
        smallest_slack=float(own.slack.min()),
        violations=int((own.slack < -1e-9 * scale).sum()),
        first_order=first_order(passage, pl.smallest, measured.final_loss - full.loss),
        discrepancy=passage.discrepancy(pl.median),
        effective_samples=passage.effective_samples(pl.median) if known else None,
        effective_balanced=passage.effective_samples(pl.median, balanced=True) if known else None,
        longest_step=own.longest,
        smoothness=measured.smoothness,
        pl=pl,
        advice=_advice(parts, fluctuation, own.longest),
        notes=tuple(notes),
    )


def _fluctuation(passage: Passage, optimum: float) -> float:
    _, entering, later = passage.accumulation(passage.mu(optimum))
    random = passage.variance * (1 / passage.samples - 1 / passage.population)
    return float(later @ (entering / 2 * random))


def _advice(parts: dict[str, float], fluctuation: float | None, longest: float) -> tuple[str, ...]:
    """What lowers the largest part, the largest first; parts below a tenth of it are not worth a word."""
    words = {
        "residual": "train longer: the start is not forgotten yet",
        "set_residual": "train longer: the set itself is not learned yet",
        "reference_residual": "give the full-data reference more steps: it is not trained to its end",
        "curvature": f"lower the learning rate: the longest step is {longest:.2g} / beta",
        "update": "lower momentum or take larger batches: the update strays from the set's own gradient",
        "generalisation": "more real data or augmentation: the rest is the training set's own gap to the test set",
    }
    if fluctuation is not None and parts["matching"] > fluctuation:
        words["matching"] = "change the surrogate: as many random samples would match the gradients better"
    else:
        words["matching"] = "raise k or distil longer: the set matches better than random samples, but not enough"
    largest = max(parts[name] for name in words)
    ranked = sorted(words, key=lambda name: -parts[name])
    return tuple(words[name] for name in ranked if largest > 0 and parts[name] > 0.1 * largest)
