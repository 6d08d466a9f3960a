"""The page of methods is that of the classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.cli.reading import list_variants

DOCS = Path(__file__).parents[1] / "docs"


def test_the_table_of_methods_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    list_variants("methods", as_json=False, markdown=True)
    printed = capsys.readouterr().out
    page = (DOCS / "methods.md").read_text()
    table = page[page.index("| name") :]
    assert table == printed, "run `limbeck list methods --markdown` and paste it into docs/methods.md"
    assert table.splitlines()[0] == "| name | surrogate | states | parameterization | paper | cost | summary |"
