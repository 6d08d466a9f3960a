"""Classes in other proportions than in training."""

from __future__ import annotations

import torch
from pydantic import Field

from limbeck.domains import EvaluationDomain
from limbeck.samples import Domain, Samples
from limbeck.streams import stream


class Imbalance(EvaluationDomain):
    """Label shift: class c keeps a share `ratio^(-c / (classes - 1))` of its samples (at least one), drawn once.

    The first class is `ratio` times as frequent as the last; `reverse` turns that round. The long-tailed form is that
    of Cui et al. 2019.
    """

    ratio: float = Field(10.0, ge=1)
    reverse: bool = False
    seed: int = 0

    def shown(self, samples: Samples, domain: Domain) -> Samples:
        return samples  # other proportions change no sample

    def apply(self, samples: Samples, domain: Domain) -> Samples:
        kept = []
        for label in range(domain.classes):
            own = torch.nonzero(samples.group.cpu() == label).flatten()
            place = domain.classes - 1 - label if self.reverse else label
            share = self.ratio ** (-place / max(domain.classes - 1, 1))
            order = torch.randperm(len(own), generator=stream(self.seed, "domain imbalance", label))
            kept.append(own[order[: max(1, round(share * len(own)))]])
        index = torch.cat(kept).sort().values
        return samples[index.to(samples.x.device)]
