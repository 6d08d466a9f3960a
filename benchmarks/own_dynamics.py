"""Two recipes whose states follow a configuration's own training, optimizer and schedule included.

Published recipes fix the optimizer that they walk with, so a pool of configurations varies the architecture alone. Here
the configuration is left as it is. The set is moved by Adam: surrogates differ in scale from one network to the next,
and a plain step that suits one member of a pool throws the set out of range at another.
"""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.configuration import Configuration
from limbeck.methods.bptt import BPTT
from limbeck.methods.dm import DM
from limbeck.optimizers import Optimizer
from limbeck.optimizers.adam import Adam
from limbeck.samples import Domain
from limbeck.states.real_path import RealPath


class OwnPath(DM):
    """DM's means of features along the path of training on the real data, 4 batches a step, a new network after 30."""

    lr_pixels: float = 0.03

    def states(self, per_class: int) -> RealPath:  # type: ignore[override]
        return RealPath(renew=30, passes=4)

    def optimizers(self) -> Mapping[str, Optimizer]:
        return {self.content: Adam(lr=self.lr_pixels)}


class OwnOutcome(BPTT):
    """BPTT through the configuration's own optimizer and the beginning of its schedule."""

    lr_pixels: float = 0.03

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return configuration
