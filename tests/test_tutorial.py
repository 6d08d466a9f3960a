"""The tutorial's outputs are what its commands print, up to the numbers that another machine or another day has."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from command import Command

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "tutorial.md").read_text()
AGAIN = "run `python docs/tutorial.py`, and read whether the words of the page still suit its numbers"


def unnumbered(text: str) -> str:
    """The text without its numbers, the units of times and sizes, and the widths of columns that follow from them."""
    text = re.sub(r"\d[\d,.]*(?:e[+-]?\d+)?(?: (?:h|min|s|ms|bytes|kB|MB|GB)\b)*", "#", text)
    text = re.sub(r"-?#(?: #| to #)*", "#", text)
    return re.sub(r"[ \t]+", " ", re.sub(r"-{2,}", "--", text))


def renewed(page: str, folder: Path, limbeck: Command) -> str:
    """The page with what its commands print in this process, run in a folder."""

    def run(words: list[str], _: Path) -> str:
        if words[0] == "python":
            runpy.run_path(words[1])
            return ""
        ended = limbeck(*words[1:])
        assert ended.code == 0, ended.err
        return ended.out

    assert Path.cwd() == folder
    made: str = runpy.run_path(str(DOCS / "tutorial.py"))["renewed"](page, folder, run)
    return made


def test_the_tutorial_prints_what_its_commands_say(limbeck: Command, tmp_path: Path) -> None:
    """As far as the study; the rest is the slow test's."""
    begun = PAGE.partition("\n## 3.")[0]
    assert begun.count("```text") == 1
    assert unnumbered(renewed(begun, tmp_path, limbeck)) == unnumbered(begun), AGAIN


@pytest.mark.slow
def test_the_whole_tutorial_holds(limbeck: Command, tmp_path: Path) -> None:
    made = renewed(PAGE, tmp_path, limbeck)
    assert unnumbered(made) == unnumbered(PAGE), AGAIN
    checked = made.partition("## 5. Check it")[2]
    gaps = [float(line.split()[-2]) for line in re.findall(r"^k-means .+$", checked, re.MULTILINE)]
    assert len(gaps) == 3
    assert max(gaps) < 0.05  # "All three stay within the target"


def test_numbers_alone_are_let_differ() -> None:
    one = "9 cells: 1.5 s to 2 min 03 s, 34 MB [0.1, 1e-05]\n----  ---\n-0.2   a"
    assert unnumbered(one) == unnumbered(
        "12 cells: 20 ms, 3.4 GB [12, 1,300]\n-  --------\n0.31 a".replace("-  -", "--  -")
    )
    assert unnumbered("dm needs 12 samples") != unnumbered("k-means needs 12 samples")


def test_blocks_are_files_commands_or_their_outputs(tmp_path: Path) -> None:
    """A made-up page: a file is written, its commands run in turn, an output is replaced, a cut one stays as short."""
    said: list[Any] = []

    def run(words: list[str], folder: Path) -> str:
        said.append((words, os.listdir(folder)))
        return f"{words[-1]}\nand\nmore\n"

    make = runpy.run_path(str(DOCS / "tutorial.py"))["renewed"]
    page = '```toml\n# a.toml\nx = 1\n```\n```console\nlimbeck "x y"\nlimbeck z\n```\n```text\nold\n```\n'
    page += "```console\nlimbeck q\n```\n```text\nold\nold\n...\n```\n"
    made = make(page, tmp_path, run)
    assert said == [(["limbeck", words], ["a.toml"]) for words in ("x y", "z", "q")]
    assert "```text\nx y\nand\nmore\n\nz\nand\nmore\n```" in made
    assert made.endswith("```text\nq\nand\n...\n```\n")
