"""A network as pure functions of one flat parameter vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from limbeck.architectures import ACTIVATIONS
from limbeck.ensemble import Ensemble
from limbeck.errors import NotApplicable
from limbeck.first_block import FirstBlock
from limbeck.streams import borrowed_global

Buffers = dict[str, Tensor]

PIECE_BYTES = 8 * 2**20  # of the largest map: a few maps of this size fit the second and third level caches
PIECE_ELSEWHERE = 4096


class Network:
    """A module as pure functions of one flat parameter vector and its buffers."""

    def __init__(
        self, build: Callable[[], nn.Module], dtype: torch.dtype = torch.float32, sample_dimensions: int = 3
    ) -> None:
        self._build = build
        self.dtype = dtype
        with borrowed_global(0, "structure"):
            self.module = build().to(dtype)
        named = list(self.module.named_parameters())
        self.shapes = {name: parameter.shape for name, parameter in named}
        self._sizes = [parameter.numel() for _, parameter in named]
        linear = [part for part in self.module.modules() if isinstance(part, nn.Linear)]
        self._head = linear[-1] if linear else None
        self._places = _places(self.module)
        self._ensemble = Ensemble.of(self.module)
        self._first_block = FirstBlock.of(self.module)
        self._sample_dimensions = sample_dimensions
        self._largest: dict[tuple[torch.Size, bool], int] = {}

    def initial(self, seed: int) -> tuple[Tensor, Buffers]:
        """A fresh initialisation by the module's own rule: parameters (p,) and buffers."""
        with borrowed_global(seed, "network"):
            fresh = self._build().to(self.dtype)
        vector = torch.cat([parameter.detach().reshape(-1) for parameter in fresh.parameters()])
        return vector, {name: buffer.detach().clone() for name, buffer in fresh.named_buffers()}

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Named parameters as views of a vector (p,), or of several (networks, p)."""
        pieces = torch.split(vector, self._sizes, dim=-1)
        lead = vector.shape[:-1]
        named = zip(self.shapes.items(), pieces, strict=True)
        return {name: piece.view(*lead, *shape) for (name, shape), piece in named}

    def hidden_weights(self) -> list[str]:
        """Names of the weight tensors below the last linear layer, without those of norms.

        Raises `NotApplicable` where there is none.
        """
        norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
        outside = [part for part in self.module.modules() if isinstance(part, norms) or part is self._head]
        left_out = {id(parameter) for part in outside for parameter in part.parameters(recurse=False)}
        named = self.module.named_parameters()
        names = [name for name, parameter in named if parameter.dim() > 1 and id(parameter) not in left_out]
        if not names:
            raise NotApplicable("this network has no hidden layer, so no hidden weights. Use one that has.")
        return names

    @property
    def feature_size(self) -> int:
        """The length of the features. Raises `NotApplicable` where the network has no linear layer."""
        return self._linear().in_features

    def _linear(self) -> nn.Linear:
        if self._head is None:
            raise NotApplicable("this network has no linear layer, so it has no features. Use a gradient method.")
        return self._head

    def logits(self, vector: Tensor, buffers: Buffers, x: Tensor, training: bool = False) -> Tensor:
        """Logits (n, classes). In training mode, running statistics in `buffers` are updated in place."""
        return self._called(self._quickest(x), vector, buffers, x, training)

    def _quickest(self, x: Tensor) -> nn.Module:
        """The module, or the same function in fewer passes where that is quicker for such samples."""
        return self._first_block if self._first_block and self._first_block.pays(x) else self.module

    def _called(self, module: nn.Module, vector: Tensor, buffers: Buffers, x: Tensor, training: bool = False) -> Tensor:
        if self.module.training != training:
            self.module.train(training)
        with self._lent(self.unflatten(vector), buffers):
            logits: Tensor = module(x)
        return logits

    @contextmanager
    def _lent(self, *tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """The module with given parameters and buffers in the place of its own, as `torch.func.functional_call` has it.

        That looks every place up by its name at each call, which takes longer than a small network's arithmetic.
        """
        own = []
        try:
            for named in tensors:
                for name, tensor in named.items():
                    for held, key in self._places[name]:
                        own.append((held, key, held[key]))
                        held[key] = tensor
            yield
        finally:
            for held, key, before in reversed(own):
                held[key] = before

    def stacked_logits(self, vectors: Tensor, buffers: Buffers, x: Tensor, training: bool = False) -> Tensor:
        """Logits (networks, n, classes) of networks (networks, p) with stacked buffers.

        x is (n, *shape), which all share, or (networks, n, *shape). The layers are called side by side where they are
        all known to `Ensemble`, and else under `vmap`.
        """
        shared = x.dim() == 1 + self._sample_dimensions
        if self._ensemble:
            return self._ensemble.logits(self.unflatten(vectors), buffers, x, shared, training)
        forward = vmap(
            lambda v, b, z: self.logits(v, b, z, training), (0, 0, None if shared else 0), randomness="different"
        )
        return forward(vectors, buffers, x)

    def features_and_logits(
        self, vector: Tensor, buffers: Buffers, x: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The input of the last linear layer (n, features), and the logits.

        Raises `NotApplicable` where the network has no linear layer.
        """
        seen: list[Tensor] = []
        hook = self._linear().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits = self.logits(vector, buffers, x, training)
        finally:
            hook.remove()
        return seen[-1], logits

    def piece(self, x: Tensor) -> int:
        """How many of the samples (n, *shape) to pass at once where nothing asks for all of them together.

        On a CPU, as many as keep the largest map of the network in a cache; larger ones are slower a sample, and every
        one of them is fetched from the system and given back. Elsewhere, as many as there is memory for.
        """
        if x.device.type != "cpu":
            return PIECE_ELSEWHERE
        return max(1, PIECE_BYTES // (self.largest_map(x) * x.element_size()))

    def largest_map(self, x: Tensor) -> int:
        """Numbers in the largest output of any layer for one of the samples (n, *shape)."""
        module = self._quickest(x)
        key = (x.shape[1:], module is self.module)
        if key not in self._largest:
            self._largest[key] = self._measured_map(module, x[:1].detach())
        return self._largest[key]

    @property
    def is_known(self) -> bool:
        """Whether several are called side by side without `vmap`."""
        return self._ensemble is not None

    @torch.no_grad()
    def _measured_map(self, module: nn.Module, sample: Tensor) -> int:
        seen = [sample.numel()]

        def note(layer: nn.Module, inputs: Any, output: Any) -> None:
            seen.append(output.numel() if isinstance(output, Tensor) else 0)

        hooks = [layer.register_forward_hook(note) for layer in self.module.modules()]
        try:
            self.module.eval()
            module(sample)
        finally:
            for hook in hooks:
                hook.remove()
        return max(seen)

    def activations(self, vector: Tensor, buffers: Buffers, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of the activation functions, each (n, ...), in the order of the forward pass, and the logits.

        Raises `NotApplicable` where the network has no module of an activation function.
        """
        seen: list[Tensor] = []
        kinds = tuple(type(build()) for build in ACTIVATIONS.values())
        layers = [part for part in self.module.modules() if isinstance(part, kinds)]
        hooks = [layer.register_forward_hook(lambda _, inputs, output: seen.append(output)) for layer in layers]
        try:
            logits = self._called(self.module, vector, buffers, x)
        finally:
            for hook in hooks:
                hook.remove()
        if not seen:
            raise NotApplicable("this network has no layer of activations to look at. Use one that has.")
        return seen, logits

    def features_and_activations(self, vector: Tensor, buffers: Buffers, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The input of the last linear layer (n, features), and the outputs of the activation functions.

        Raises `NotApplicable` where the network has no linear layer, or no module of an activation function.
        """
        seen: list[Tensor] = []
        hook = self._linear().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            layers, _ = self.activations(vector, buffers, x)
        finally:
            hook.remove()
        return seen[-1], layers


def copied(buffers: Buffers) -> Buffers:
    """Buffers of their own memory, which a training may change."""
    return {name: buffer.clone() for name, buffer in buffers.items()}


def _places(module: nn.Module) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """Where a module holds each parameter and buffer, by the name of the first; several places where it is shared."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    names = {id(tensor): name for name, tensor in tensors}
    found: dict[str, list[tuple[dict[str, Any], str]]] = {name: [] for name, _ in tensors}
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for key, tensor in held.items():
                if tensor is not None:
                    found[names[id(tensor)]].append((held, key))
    return found
