"""One stored sample is one training sample."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limbeck.parameterizations import NOTHING, Labels, Parameterization, Tensors, folded_labels, unfolded_labels
from limbeck.samples import Domain, Samples


class Pixels(Parameterization):
    """Samples stored as they are trained on, in the source's prepared space; labels fixed or learned.

    With `labels=soft` each sample stores logits z (n, classes), its label is softmax(z), and it starts from its own.
    """

    labels: Labels = "hard"

    def fold(self, start: Samples, domain: Domain, shared: Mapping[str, Tensor] = NOTHING) -> Tensors:
        return {"pixels": start.x.clone(), **folded_labels(self.labels, start, domain)}

    def unfold(self, tensors: Mapping[str, Tensor], group: Tensor, domain: Domain) -> Samples:
        x = tensors["pixels"]
        return Samples(x, unfolded_labels(self.labels, tensors, group, domain, x.dtype), group)
