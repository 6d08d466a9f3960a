"""One stored sample is one training sample."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from limbeck.parameterizations import Parameterization, Tensors
from limbeck.samples import Domain, Samples


class Pixels(Parameterization):
    """Samples stored as they are trained on, in the source's prepared space; labels fixed or learned.

    With `labels=soft` each sample stores logits z (n, classes), its label is softmax(z), and it starts from its own.
    """

    labels: Literal["hard", "soft"] = "hard"

    def fold(self, start: Samples, domain: Domain) -> Tensors:
        stored = {"pixels": start.x.clone()}
        if self.labels == "soft":
            # A certain label starts at 90 % for its class, which keeps every logit where softmax still has a slope.
            certain = start.y.amax(1, keepdim=True) == 1
            y = torch.where(certain, 0.9 * start.y + 0.1 / domain.classes, start.y)
            stored["logits"] = torch.log(y.clamp_min(1e-6))
        return stored

    def unfold(self, tensors: Tensors, group: Tensor, domain: Domain) -> Samples:
        if self.labels == "soft":
            return Samples(tensors["pixels"], torch.softmax(tensors["logits"], dim=1), group)
        return Samples.hard(tensors["pixels"], group, domain.classes)
