"""Preprocessing: the declared, invertible map from raw samples to what a network reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from limbeck.digest import digest, digest_array
from limbeck.errors import BadSetting, CorruptFile, nearest
from limbeck.sources._parts import Part

Kind = Literal["standardise", "zca", "none"]
ZCA_EPS = 0.1


@dataclass(frozen=True)
class Preprocessing:
    """How raw samples become what a network reads, fitted on training samples and never on others.

    With u = (raw - low) / (high - low), where (low, high) are the raw values shown as black and white:
    `none` is u; `standardise` is (u - mean) / std a channel (a feature, for vectors); `zca` is (u - mean) W over the
    flattened sample, W = U (L + eps I)^(-1/2) U^T with C = U L U^T the unbiased covariance and eps = 0.1.

    The digest identifies the map: for `zca` by what it was fitted on, since two linear algebra libraries give matrices
    that differ in the last bits; for the others by the numbers, rounded to 6 digits for the same reason.

    Sources: Krizhevsky 2009 (ZCA); Cazenavette et al. 2022 (regularisation 0.1, on images in [0, 1]).
    """

    kind: Kind
    limits: tuple[float, float] | None  # raw values of black and white; None for vectors, which are not shown
    parameters: Mapping[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    digest: str = ""

    def apply(self, raw: Tensor) -> Tensor:
        """Raw samples (n, *shape) to prepared ones, float32, of the same shape."""
        low, high = self.limits or (0.0, 1.0)
        unit = raw.to(torch.float32)
        if (low, high) != (0.0, 1.0):
            unit = (unit - low) / (high - low)
        if self.kind == "standardise":
            return (unit - self._at(raw, "mean")) / self._at(raw, "std")
        if self.kind == "zca":
            flat = unit.flatten(1) - self._at(raw, "mean")  # (n, features)
            return (flat @ self._at(raw, "whiten")).reshape(raw.shape)
        return unit

    def undo(self, x: Tensor) -> Tensor:
        """Prepared samples back to what they look like: images in [0, 1], vectors in their raw units."""
        unit = x.to(torch.float32)
        if self.kind == "standardise":
            unit = unit * self._at(x, "std") + self._at(x, "mean")
        elif self.kind == "zca":
            unit = (unit.flatten(1) @ self._at(x, "colour") + self._at(x, "mean")).reshape(x.shape)
        return unit if self.limits is None else unit.clamp(0.0, 1.0)

    def about(self) -> dict[str, Any]:
        """What travels with a synthetic set, and must be equal at its evaluation: kind, limits, digest.

        Where a few numbers say it all (the channels of images), they are there to read.
        """
        facts: dict[str, Any] = {"kind": self.kind, "digest": self.digest}
        if self.limits is not None:
            facts["limits"] = list(self.limits)
            if self.kind == "standardise":
                facts |= {name: _rounded(self.parameters[name].flatten().tolist()) for name in ("mean", "std")}
        return facts

    def tensors(self) -> dict[str, Tensor]:
        """The fitted parameters, to be saved beside `about()`."""
        return dict(self.parameters)

    @classmethod
    def restored(cls, about: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> Preprocessing:
        """Read back from `about()` and `tensors()`; standardised images need no tensors. Raises `CorruptFile`."""
        limits = tuple(about["limits"]) if about.get("limits") is not None else None
        held = dict(tensors or {})
        if not held and "mean" in about:
            held = {name: torch.tensor(about[name], dtype=torch.float32).reshape(-1, 1, 1) for name in ("mean", "std")}
        needed = {"none": set(), "standardise": {"mean", "std"}, "zca": {"mean", "whiten", "colour"}}
        if about.get("kind") not in needed or not needed[about["kind"]] <= held.keys():
            raise CorruptFile(
                f"preprocessing of kind {about.get('kind')!r} lacks its parameters. Prepare the data from its source."
            )
        return cls(about["kind"], limits, held, str(about.get("digest", "")))

    def _at(self, like: Tensor, name: str) -> Tensor:
        return self.parameters[name].to(like.device)


def fit(kind: str, raw: Part) -> Preprocessing:
    """Fit a preprocessing to raw training samples (n, *shape), uint8 or float; uint8 is read as fractions of 255.

    Raises `BadSetting` for an unknown kind.
    """
    if kind not in get_args(Kind):
        raise BadSetting(f"preprocessing '{kind}' is unknown. {nearest(kind, get_args(Kind))}")
    limits = _limits(raw) if len(raw.shape) == 4 else None
    if kind == "none":
        return Preprocessing("none", limits, {}, digest(["none", limits]))
    if kind == "standardise":
        mean, std = _moments(raw, limits)
        shape = (-1, 1, 1) if limits else (-1,)
        held = {"mean": torch.tensor(mean).reshape(shape), "std": torch.tensor(std).reshape(shape)}
        return Preprocessing("standardise", limits, held, digest(["standardise", limits, mean, std]))
    return Preprocessing("zca", limits, _whitening(raw, limits), digest(["zca", ZCA_EPS, limits, digest_array(raw)]))


def as_float(raw: np.ndarray[Any, Any]) -> Tensor:
    """Raw samples as a float32 tensor: uint8 as fractions of 255, floats as they are."""
    values = torch.from_numpy(raw.astype(np.float32))
    return values.div_(255.0) if raw.dtype == np.uint8 else values


def _limits(raw: Part) -> tuple[float, float]:
    """(0, 1) where all images lie in it; else their own smallest and largest value."""
    if raw.dtype == np.uint8:
        return 0.0, 1.0
    low = min(float(piece.min()) for piece in raw.pieces())
    high = max(float(piece.max()) for piece in raw.pieces())
    inside = low >= 0.0 and high <= 1.0
    return (0.0, 1.0) if inside or low == high else (low, high)


def _units(raw: Part, limits: tuple[float, float] | None) -> Iterator[np.ndarray[Any, Any]]:
    """Pieces of the samples between black 0 and white 1, float64."""
    low, high = limits or (0.0, 1.0)
    scale = 255.0 if raw.dtype == np.uint8 else 1.0
    for piece in raw.pieces():
        unit = piece.astype(np.float64)
        if scale != 1.0:
            unit /= scale
        if (low, high) != (0.0, 1.0):
            unit -= low
            unit /= high - low
        yield unit


def _moments(raw: Part, limits: tuple[float, float] | None) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a channel, or a feature. A constant one keeps its scale."""
    axes = (0, 2, 3) if limits else (0,)
    count = math.prod(raw.shape) // raw.shape[1]
    mean = np.sum([unit.sum(axes) for unit in _units(raw, limits)], axis=0) / count
    around = mean.reshape(1, -1, *([1] * (len(raw.shape) - 2)))
    variance = np.sum([np.square(unit - around).sum(axes) for unit in _units(raw, limits)], axis=0) / count
    std = np.sqrt(variance)
    return _rounded(mean.tolist()), _rounded(np.where(std > 1e-8, std, 1.0).tolist())


def _whitening(raw: Part, limits: tuple[float, float] | None) -> dict[str, Tensor]:
    """Mean, whitening matrix and its inverse ("colouring"), computed in float64."""
    mean = np.sum([unit.reshape(len(unit), -1).sum(0) for unit in _units(raw, limits)], axis=0) / len(raw)
    covariance = np.zeros((len(mean), len(mean)))
    for unit in _units(raw, limits):
        centred = unit.reshape(len(unit), -1) - mean
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / max(len(raw) - 1, 1))
    scale = np.sqrt(np.maximum(values, 0.0) + ZCA_EPS)
    made = {"mean": mean, "whiten": (vectors / scale) @ vectors.T, "colour": (vectors * scale) @ vectors.T}
    return {name: torch.from_numpy(value).to(torch.float32) for name, value in made.items()}


def _rounded(values: list[float]) -> list[float]:
    """6 significant digits: sums differ in the last bits between machines, their digest must not."""
    return [float(f"{value:.6g}") for value in values]
