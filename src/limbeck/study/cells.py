"""A cell is one pure unit of a study, with an id that says all that its result depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.errors import BadSetting
from limbeck.variants import make

KINDS = ("reference", "expert", "distill", "evaluate")


@dataclass(frozen=True)
class Cell:
    """One unit of work: its kind, all that determines its result, and the cells whose results it reads.

    `id` is the SHA-256 of kind and payload, so equal work has one id in every study, order and shard. `cost` is a guess
    in floating-point operations that only orders the work and foretells its time; it is no part of the id.
    """

    kind: str
    payload: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    cost: float = field(default=1.0, compare=False)

    @cached_property
    def id(self) -> str:
        return digest([self.kind, self.payload])

    @classmethod
    def read(cls, text: str) -> Cell:
        """From JSON."""
        held = json.loads(text)
        return cls(held["kind"], held["payload"], tuple(held["needs"]), held["cost"])

    def json(self) -> str:
        """As JSON, to be sent elsewhere."""
        return json.dumps({"kind": self.kind, "payload": self.payload, "needs": self.needs, "cost": self.cost})

    @property
    def title(self) -> str:
        """The cell in a line, for progress and messages."""
        held = self.payload
        words = [self.kind]
        if "method" in held:
            words += [short_method(held["method"]), f"{held['per_class']} per class, set {held['set']},"]
        if "number" in held:
            words += [f"{held['number']},"]
        return " ".join([*words, short_configuration(held["configuration"])])


@cache
def short_method(full: str) -> str:
    """A method as a user would write it, from its text with every setting."""
    return str(make("methods", full).spec)


@cache
def short_configuration(full: str) -> str:
    """A configuration as a user would write it, from its text with every setting."""
    return Configuration.parse(full).spec


def shard(cells: Sequence[Cell], part: str) -> list[Cell]:
    """The cells of shard `i/n` (1 <= i <= n), with all that they need, in the given order.

    A training goes where its set is made, so shards on separate disks share nothing but experts, which every shard
    that needs them makes for itself (equal bytes). The shards of a study cover it.

    Raises `BadSetting` for another form.
    """
    index, _, count = part.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise BadSetting(f"shard '{part}' can't be read. Write i/n with 1 <= i <= n, such as 2/8.")
    made = {cell.id: cell for cell in cells}
    kept: set[str] = set()
    for cell in cells:
        anchor = next((need for need in cell.needs if made[need].kind == "distill"), cell.id)
        if cell.kind != "expert" and int(anchor[:16], 16) % int(count) == int(index) - 1:
            kept |= {cell.id, *cell.needs, *(need for own in cell.needs for need in made[own].needs)}
    return [cell for cell in cells if cell.id in kept]
