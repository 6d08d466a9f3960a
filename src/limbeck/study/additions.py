"""Work beyond a study's file: sets, sizes and seeds that were found worth running, remembered in the study's folder.

    <study folder>/additions/<digest>.json

The file of the study stays as its user wrote it. An addition names a part of the same grid, with seeds derived in the
same way, so its cells are those that a larger study file would have had, and folders merge by copying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from limbeck.digest import digest
from limbeck.errors import BadData


@dataclass(frozen=True, order=True)
class Addition:
    """Trainings of some replicates under one configuration: on one set of a method, or on the full data.

    `method` and `configuration` have every setting written out, as cells have them; no method means the reference.
    """

    configuration: str
    replicates: tuple[int, ...]
    method: str = ""
    per_class: int = 0
    set: int = 0

    @property
    def name(self) -> str:
        """Of its file."""
        return digest(self.about())

    def about(self) -> dict[str, Any]:
        """For a record."""
        return {**asdict(self), "replicates": list(self.replicates)}

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Addition:
        """From a record. Raises `BadData` for one that says something else."""
        try:
            return cls(
                str(held["configuration"]),
                tuple(int(one) for one in held["replicates"]),
                str(held["method"]),
                int(held["per_class"]),
                int(held["set"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"an addition of the study can't be read ({error!r}). Delete its file.") from None
