"""No shift."""

from __future__ import annotations

from limbeck.domains import EvaluationDomain
from limbeck.samples import Domain, Samples


class Clean(EvaluationDomain):
    """The held-out samples as they are."""

    def apply(self, samples: Samples, domain: Domain) -> Samples:
        return samples
