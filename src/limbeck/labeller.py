"""A network that a set carries, so that every view of its samples is labelled anew wherever it is trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from limbeck.architectures import Architecture
from limbeck.errors import BadData, BadSetting, CorruptFile, UnknownName
from limbeck.network import Buffers, Network
from limbeck.samples import Domain, Samples
from limbeck.spelling import parse
from limbeck.trust import check_chosen
from limbeck.variants import make

PREFIX = "labeller."
SETTINGS = "labeller_settings"


@dataclass(frozen=True, eq=False)
class Labeller:
    """Labels y(x) = softmax(f(x) / `temperature`) of any view x (n, *shape), f a trained network in evaluation mode.

    Stored as tensors: f's parameters and buffers under `labeller.` and the names that torch gives them, and a JSON text
    of its architecture and temperature in bytes. The architecture is a text of limbeck's own; reading one runs no code.
    """

    architecture: Architecture
    domain: Domain
    temperature: float
    vector: Tensor  # (p,)
    buffers: Buffers

    def __call__(self, x: Tensor) -> Tensor:
        """Labels (n, classes) of a view, differentiable in it."""
        parts = torch.split(x, self.network.piece(x))
        logits = [self.network.logits(self.vector, self.buffers, part) for part in parts]
        return torch.softmax(torch.cat(logits) / self.temperature, 1)

    def to(self, device: torch.device | str | None, dtype: torch.dtype | None) -> Labeller:
        """The same network on a device and in a floating type."""
        vector = self.vector.to(device, dtype)
        if vector is self.vector:
            return self
        placed = {n: t.to(device, dtype if t.is_floating_point() else None) for n, t in self.buffers.items()}
        return replace(self, vector=vector, buffers=placed)

    def flops(self, samples: int) -> int:
        """Floating-point operations of labelling so many samples."""
        return self.architecture.flops(self.domain) * samples

    @cached_property
    def network(self) -> Network:
        """The architecture's functions, without numbers of their own."""
        network = Network(lambda: self.architecture.build(self.domain), self.vector.dtype, len(self.domain.shape))
        network.module.to(self.vector.device)
        return network

    def about(self) -> dict[str, Any]:
        """What it is, in plain values."""
        return {"architecture": self.architecture.full_spec, "temperature": self.temperature}

    def state(self) -> dict[str, Tensor]:
        """Its parameters and buffers by torch's names, each in memory of its own."""
        held = {**self.network.unflatten(self.vector), **self.buffers}
        return {name: tensor.clone() for name, tensor in held.items()}

    def tensors(self) -> dict[str, Tensor]:
        """What a set stores of it."""
        settings = torch.tensor(list(json.dumps(self.about()).encode()), dtype=torch.uint8)
        return {**{PREFIX + name: tensor for name, tensor in self.state().items()}, SETTINGS: settings}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], domain: Domain) -> Labeller | None:
        """The labeller among the stored tensors of a set, if there is one.

        Raises `CorruptFile` for settings that can't be read, `BadData` for numbers that are not those of such a network
        for such samples, and `NotTrusted` for an architecture that is code of a module which you did not name.
        """
        held = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
        if SETTINGS not in tensors and not held:
            return None
        architecture, temperature = _settings(tensors)
        dtype = next((tensor.dtype for tensor in held.values() if tensor.is_floating_point()), torch.float32)
        own = cls(architecture, domain, temperature, torch.empty(0, dtype=dtype), {})
        shapes = {**own.network.shapes, **{name: buffer.shape for name, buffer in own.network.module.named_buffers()}}
        odd = [name for name in shapes.keys() | held.keys() if name not in held or held[name].shape != shapes.get(name)]
        if odd or not all(bool(torch.isfinite(tensor).all()) for tensor in held.values()):
            sizes = "x".join(map(str, domain.shape))
            wrong = f"'{min(odd)}' is missing or misshapen" if odd else "some of its numbers are not finite"
            raise BadData(
                f"the labeller of this set is no {architecture.spec} of {sizes} samples and {domain.classes} classes: "
                f"{wrong}. Restore the set from a copy, or distil it again."
            )
        vector = torch.cat([held[name].reshape(-1) for name in own.network.shapes]).to(dtype)
        return replace(own, vector=vector, buffers={n: t for n, t in held.items() if n not in own.network.shapes})


def _settings(tensors: Mapping[str, Tensor]) -> tuple[Architecture, float]:
    try:
        said = json.loads(bytes(tensors[SETTINGS].tolist()))
        text, temperature = str(said["architecture"]), float(said["temperature"])
        if not 0 < temperature < math.inf:
            raise ValueError(f"a temperature of {temperature}")
        check_chosen(parse(text)[0])
        return make("architectures", text), temperature
    except (ValueError, TypeError, KeyError, BadSetting, UnknownName) as error:
        raise CorruptFile(
            f"the settings of this set's labeller can't be read ({error}). Restore the set from a copy."
        ) from None


def labelled(samples: Samples, tensors: Mapping[str, Tensor], domain: Domain) -> Samples:
    """Samples as the labeller among a set's tensors labels them, or as they are where there is none."""
    labeller = Labeller.read(tensors, domain)
    if labeller is None:
        return samples
    placed = labeller.to(samples.x.device, samples.x.dtype)
    return replace(samples, y=placed(samples.x), labeller=placed)
