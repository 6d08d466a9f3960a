"""Every method names the paper that it comes from, and the paper can be cited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from limbeck.methods import Method
from limbeck.variants import find, members

ENTRIES = dict(
    re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", (Path(__file__).parents[1] / "docs/references.bib").read_text(), re.M | re.S)
)


@pytest.mark.parametrize("name", sorted(members("methods")))
def test_a_methods_paper_has_an_entry(name: str) -> None:
    variant = find("methods", name)
    assert issubclass(variant, Method)
    if variant.paper != "-":
        year = re.search(r"year = \{(\d{4})\}", ENTRIES[variant.paper])
        assert year
        assert year[1] in variant.paper


def test_entries_are_whole_and_used() -> None:
    used = {find("methods", name).paper for name in members("methods")}  # type: ignore[attr-defined]
    used |= {"liu2023dream"}  # a setting of every matching method
    assert set(ENTRIES) <= used
    for entry in ENTRIES.values():
        assert all(f"  {field} = {{" in entry for field in ("author", "title", "year"))
