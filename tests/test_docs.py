"""What the documentation prints is true: its Python runs, its commands and options exist, its pages lead to pages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer

import faked
from limbeck.cli import answering, app, covering, making, measuring, reading, studying  # noqa: F401  (importing registers verbs)
from little import write_arrays

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "gpu.md"]


def block(page: str, language: str, number: int = 0) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return str(found[number])


def test_the_python_of_sources_runs_as_it_is_printed() -> None:
    random = np.random.default_rng(0)
    arrays = {f"x_{split}": random.random((40, 6, 6)) for split in ("train", "test")}
    names = {f"y_{split}": np.arange(40) % 2 for split in ("train", "test")}
    exec("import limbeck\n" + block("sources.md", "python"), {**arrays, **names})


def test_the_study_of_studies_runs_as_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell of the file, with quick stand-ins for the training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("limbeck.study.work.EXECUTE", faked.QUICK)
    write_arrays(tmp_path / "mine.npz", (40, 40, 40))
    Path("mine.toml").write_text(block("studies.md", "toml"))
    told: dict[str, list[object]] = {}
    exec(block("studies.md", "python"), told)
    assert len(told["rows"]) == 2 * 3 + 2 * 2 * 3 * 3 * 5  # references, and seeds on sets of each method and size


def commands() -> dict[str, set[str]]:
    """Every verb with its options."""
    found: dict[str, set[str]] = {}

    def enter(command: object, name: str) -> None:
        for key, inner in getattr(command, "commands", {}).items():
            enter(inner, f"{name} {key}".strip())
        found[name] = {option for part in command.params for option in part.opts}  # type: ignore[attr-defined]

    enter(typer.main.get_command(app), "")
    return found


def test_every_command_that_is_printed_exists_with_its_options() -> None:
    known = commands()
    for page in PAGES:
        text = page.read_text()
        printed = re.findall(r"`limbeck ([^`&|]+)", text)
        for console in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            printed += re.findall(r"^limbeck (.+)$", console, re.MULTILINE)
        for line in printed:
            words = line.split()
            verb = " ".join(words[:2]) if words[0] == "study" and len(words) > 1 else words[0]
            assert verb in known, f"{page.name}: limbeck {line}"
            odd = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", line)) - known[verb] - {"--help", "--version", "--debug"}
            assert not odd, f"{page.name}: limbeck {line}"


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_index_names_every_page() -> None:
    listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (ROOT / "docs" / "index.md").read_text()))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
