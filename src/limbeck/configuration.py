"""A configuration is an update operator (architecture, optimizer, augmentation, schedule) and where it is judged.

Written compactly, `convnet(width=32)/adamw(lr=1e-3)/siamese/cosine(steps=300)`; parts left out take their defaults. A
fifth part is the domain that the trained network is tested in, such as `blur(sd=1.5)`; without one it is the source's.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from limbeck.digest import digest
from limbeck.errors import BadSetting, UnknownName, nearest
from limbeck.spelling import parse, split_outside_brackets
from limbeck.variants import Variant, make, members, own_class

if TYPE_CHECKING:
    from limbeck.architectures import Architecture
    from limbeck.samples import Domain

PARTS = {"architectures": "", "optimizers": "sgd", "augmentations": "none", "schedules": "cosine", "domains": "clean"}


class Configuration:
    """The update operator of a training: what is trained, by which rule, on which views, for how long.

    Equal configurations have equal digests. Training length is part of it: a gap that comes from too few steps is the
    configuration's own (its optimisation residual), and shows as its floor. A distribution shift is part of it too: the
    reference is tested in the same domain.
    """

    def __init__(self, architecture: Any, optimizer: Any, augmentation: Any, schedule: Any, domain: Any = None) -> None:
        self.architecture = architecture
        self.optimizer = optimizer
        self.augmentation = augmentation
        self.schedule = schedule
        self.domain = make("domains", PARTS["domains"]) if domain is None else domain

    @classmethod
    def parse(cls, text: str | Configuration) -> Configuration:
        """Read `architecture[/optimizer][/augmentation][/schedule][/domain]`; all but the first in any order.

        Raises `UnknownName` or `BadSetting`, naming the nearest valid word.
        """
        if isinstance(text, Configuration):
            return text
        parts = split_outside_brackets(text, "/")
        if not parts:
            raise BadSetting("a configuration is empty. Write at least an architecture, such as 'convnet(width=32)'.")
        rest = [family for family in PARTS if family != "architectures"]
        first, _ = parse(parts[0])
        if ":" not in first and first not in members("architectures") and any(_has(family, first) for family in rest):
            raise UnknownName(f"'{first}' is no architecture. The architecture comes first, as in 'mlp/{first}'.")
        chosen: dict[str, Variant] = {"architectures": make("architectures", parts[0])}
        for part in parts[1:]:
            name, _ = parse(part)
            family = next((family for family in rest if _has(family, name)), None)
            if family is None:
                known = {name for family in rest for name in members(family)}
                raise UnknownName(
                    f"'{name}' in '{text}' is no optimizer, augmentation, schedule or domain. {nearest(name, known)}"
                )
            if family in chosen:
                raise BadSetting(f"'{text}' names two {family}: '{chosen[family].spec}' and '{part}'. Keep one.")
            chosen[family] = make(family, part)
        return cls(*(chosen.get(family) or make(family, default) for family, default in PARTS.items()))

    @property
    def parts(self) -> tuple[Any, Any, Any, Any, Any]:
        """Architecture, optimizer, augmentation, schedule and domain."""
        return self.architecture, self.optimizer, self.augmentation, self.schedule, self.domain

    @property
    def _named(self) -> tuple[Any, ...]:
        """The parts that are written: a domain only where it is a shift, so that texts and digests without one last."""
        return self.parts[:-1] if self.domain.spec == PARTS["domains"] else self.parts

    @cached_property
    def spec(self) -> str:
        """The shortest text that reads back as this configuration."""
        return "/".join(part.spec for part in self._named)

    @cached_property
    def full_spec(self) -> str:
        """The configuration with every setting written out, defaults included."""
        return "/".join(part.full_spec for part in self._named)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every setting, defaults included."""
        return digest([part.full_spec for part in self._named])

    def flops(self, domain: Domain, samples: int) -> int:
        """Floating-point operations of one training on `samples` samples: 3 forward passes a sample and step."""
        steps: int = self.schedule.steps
        return 3 * _forward_flops(self.architecture, domain) * min(samples, int(self.schedule.batch)) * steps

    def replace(self, **parts: Any) -> Configuration:
        """A copy with some of `architecture`, `optimizer`, `augmentation`, `schedule`, `domain` replaced."""
        own = {"architecture": self.architecture, "optimizer": self.optimizer}
        own |= {"augmentation": self.augmentation, "schedule": self.schedule, "domain": self.domain}
        return Configuration(**(own | parts))

    def with_step_size(self, step_size: float | None) -> Configuration:
        """The configuration for a set that learned this step size, or none.

        It trains with that step size where its optimizer asks for the learned one, `sgd(rate=learned)`; any other
        stays as it is. Raises `Diverged` for a learned one of 0 or below.
        """
        optimizer = self.optimizer.with_step_size(step_size)
        return self if optimizer is self.optimizer else self.replace(optimizer=optimizer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return self.spec

    def __repr__(self) -> str:
        return f"Configuration.parse({self.spec!r})"


def _has(family: str, name: str) -> bool:
    """Whether a family has a variant of this name, one of the user's own included."""
    return name in members(family) or (":" in name and own_class(family, name) is not None)


@lru_cache(maxsize=1024)
def _forward_flops(architecture: Architecture, domain: Domain) -> int:
    """Of one sample: building a network to count them takes a good part of a second, and a grid asks often."""
    return architecture.flops(domain)
