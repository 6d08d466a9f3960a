"""The page of the API is that of the code, and what it shows says what it is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import limbeck
import limbeck.laws

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "api.py"))


def test_the_page_of_the_api_is_up_to_date(made: dict[str, Any]) -> None:
    assert (DOCS / "api.md").read_text() == made["page"](), "run `python docs/api.py`"


def test_every_public_name_stands_on_it() -> None:
    shown = set(re.findall(r"^### limbeck\.(?:[\w.]+\.)?(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE))
    assert {name for name in limbeck.__all__ if name != "__version__"} <= shown
    assert set(limbeck.laws.__all__) <= shown


def test_a_page_shows_signatures_fields_and_members_as_they_are_written(made: dict[str, Any]) -> None:
    """On names whose text is known: a function, a dataclass with remarks, a property and a class method."""
    page = made["page"]()
    assert "\nwith_gaps(rows: Sequence[Row]) -> list[Row]\n" in page
    assert "| `y` | `Tensor` |  | (n, classes), rows sum to 1 |" in page
    assert "- `.k -> int`\n  The number of stored samples, all classes together.\n" in page
    assert "- `.load(folder: Path | str, name: str = 'set') -> SyntheticSet`\n" in page
    assert "self" not in re.findall(r"[\w]+(?=[,:)])", page)
