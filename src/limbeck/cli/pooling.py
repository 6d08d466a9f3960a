"""The configurations of a pool as the command line writes them: one by one, or as the centres of a family's cover."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.configuration import Configuration
from limbeck.errors import BadSetting, MissingData

if TYPE_CHECKING:
    from limbeck.sources import Source

_COVER = re.compile(r"^cover:(?P<count>\d+)\s+of\s+(?P<file>.+)$")


def pooled(texts: Sequence[str], source: Source) -> list[Configuration]:
    """Configurations from their texts; `cover:4 of FILE` stands for four centres that cover the family in a file.

    The centres come by farthest-point order of the declared settings' distance, within twice the least radius.
    """
    found: list[Configuration] = []
    for text in texts:
        match = _COVER.match(text.strip())
        if match:
            found += _centres(int(match["count"]), Path(match["file"].strip()), source)
        else:
            found.append(Configuration.parse(text))
    return found


def family(file: Path) -> list[Configuration]:
    """The `configurations` of a study file, or the lines of a text file; empty lines and # comments are passed over."""
    if not file.is_file():
        raise MissingData(f"there is no family of configurations at '{file}'. Give a study file or a line for each.")
    try:
        text = file.read_text(encoding="utf-8")
        lines = tomllib.loads(text)["configurations"] if file.suffix == ".toml" else text.splitlines()
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise BadSetting(f"'{file}' lists no configurations ({error}). Give a study file or a line for each.") from None
    return [Configuration.parse(line) for line in map(str.strip, lines) if line and not line.startswith("#")]


def _centres(count: int, file: Path, source: Source) -> list[Configuration]:
    from limbeck.laws.covers import cover_centres
    from limbeck.measures.distances.spec import Spec

    members = family(file)
    distances = Spec().matrix(members, source)
    return [members[place] for place in cover_centres(distances.value, count)]
