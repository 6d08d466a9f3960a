"""Stored samples are a few numbers each, decoded by directions that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.errors import BadData, NotApplicable
from limbeck.parameterizations import NOTHING, Labels, Parameterization, Tensors, folded_labels, unfolded_labels
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.streams import stream

WIDE = 4096  # features up to which the covariance of all samples is formed
FEW = 1024  # samples that stand for all where it is not
CHUNK = 4096  # samples that are held in float64 at a time


class Latent(Parameterization):
    """Codes z in the leading `dimension` principal directions B of the training samples: x = m + z B.

    m (features,) is the mean of the source's training samples and B (dimension, features) the orthonormal directions of
    their largest variance, of all classes together, computed in float64 and stored with the set. One more sample costs
    `dimension` numbers instead of `features`; the directions cost as much as `dimension` samples stored as they are. As
    B B^T = I, a step of plain descent on z is that step on x, projected: step sizes carry over from pixels, and with
    all directions nothing changes.

    Learning codes under a fixed decoder follows Cazenavette et al. (CVPR 2023) and Duan et al. (2023), whose decoders
    are deep generative models trained elsewhere; this one is linear and the source's own. Beyond 4096 features the
    directions are those of at most 1024 training samples.
    """

    content: ClassVar[str] = "codes"
    trial: ClassVar[Mapping[str, Any]] = {"dimension": 3}

    dimension: int = Field(32, gt=0)
    labels: Labels = "hard"

    def check(self, domain: Domain) -> None:
        features = torch.Size(domain.shape).numel()
        if self.dimension > features:
            raise NotApplicable(
                f"a sample of this source has {features} features, so it has no {self.dimension} directions. "
                f"Use a dimension of at most {features}; from there on, stored as they are, samples cost less."
            )

    def shared(self, source: Source) -> Tensors:
        x = source.train.x.flatten(1)  # (n, features)
        if x.shape[1] <= WIDE:
            mean, directions = _of_covariance(x, self.dimension)
        else:
            mean, directions = _of_few_samples(x, self.dimension)
        # Each direction is fixed up to its sign: the largest entry is made positive.
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        return {"mean": mean, "directions": directions * largest.sign()}

    def fold(self, start: Samples, domain: Domain, shared: Mapping[str, Tensor] = NOTHING) -> Tensors:
        mean, directions = (shared[name].to(start.x) for name in ("mean", "directions"))
        codes = (start.x.flatten(1) - mean) @ directions.T  # (stored, dimension)
        return {"codes": codes, **folded_labels(self.labels, start, domain)}

    def unfold(self, tensors: Mapping[str, Tensor], group: Tensor, domain: Domain) -> Samples:
        codes = tensors["codes"]
        x = torch.addmm(tensors["mean"], codes, tensors["directions"]).unflatten(1, domain.shape)
        return Samples(x, unfolded_labels(self.labels, tensors, group, domain, codes.dtype), group)


def _of_covariance(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean (features,) and leading directions (count, features), through the covariance of all samples."""
    mean = sum(part.double().sum(0) for part in x.split(CHUNK)) / len(x)
    covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for part in x.split(CHUNK):
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred)
    _, vectors = torch.linalg.eigh(covariance / len(x))  # rising
    return mean, vectors[:, -count:].flip(1).T


def _of_few_samples(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same through the inner products of samples, which are fewer than the features."""
    chosen = torch.randperm(len(x), generator=stream(0, "directions"))[:FEW]
    few = x[chosen].double()
    if count >= len(few):
        raise BadData(
            f"{len(few)} training samples have {len(few) - 1} directions at most; {count} were asked for. "
            f"Use a dimension of at most {len(few) - 1}, or more training samples."
        )
    mean = few.mean(0)
    centred = few - mean
    _, vectors = torch.linalg.eigh(centred @ centred.T)  # rising
    spanning = centred.T @ vectors[:, -count:].flip(1)  # (features, count), orthogonal up to rounding
    return mean, torch.linalg.qr(spanning)[0].T
