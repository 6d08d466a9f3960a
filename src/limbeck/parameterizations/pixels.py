"""One stored sample is one training sample."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from limbeck.parameterizations import Parameterization, Tensors
from limbeck.samples import Domain, Samples


class Pixels(Parameterization):
    """Samples stored as they are trained on, in the source's prepared space; labels fixed or learned.

    With `labels=soft` each sample stores logits z (n, classes), and its label is softmax(z).
    """

    labels: Literal["hard", "soft"] = "hard"

    def fold(self, start: Samples, domain: Domain) -> Tensors:
        stored = {"pixels": start.x.clone()}
        if self.labels == "soft":
            # Starting at 90 % for the class itself keeps every logit where softmax still has a slope.
            certain = torch.nn.functional.one_hot(start.group, domain.classes).to(start.x.dtype)
            stored["logits"] = torch.log(0.9 * certain + 0.1 / domain.classes)
        return stored

    def unfold(self, tensors: Tensors, group: Tensor, domain: Domain) -> Samples:
        if self.labels == "soft":
            return Samples(tensors["pixels"], torch.softmax(tensors["logits"], dim=1), group)
        return Samples.hard(tensors["pixels"], group, domain.classes)
