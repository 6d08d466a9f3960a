"""The package is light to import, and its functions stay what they are called."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import limbeck

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "scipy", "sklearn", "matplotlib", "jinja2", "pandas", "pyarrow", "numpy", "pydantic"}


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after running some code."""
    told = f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nprint(*{{n.split('.')[0] for n in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return set(run.stdout.splitlines()[-1].split())


def test_importing_limbeck_loads_nothing_heavy() -> None:
    assert not loaded_by("import limbeck") & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["plan", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    # Typer itself looks for pydantic; with nothing else heavy, help is there in a fifth of a second.
    code = f"sys.argv = ['limbeck', *{words}]; from limbeck.cli import main; main()"
    assert not loaded_by(code) & HEAVY - {"pydantic"}


def test_every_public_name_is_there_and_no_other() -> None:
    for name in limbeck.__all__:
        assert getattr(limbeck, name) is not None
    assert set(dir(limbeck)) == set(limbeck.__all__)
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        _ = limbeck.distil


def test_the_example_of_the_readme_runs_as_it_is_printed(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    code = [line for line in example.splitlines() if line.strip()]
    assert len(code) <= 10
    run = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    errors = eval(run.stdout.splitlines()[-1], {"__builtins__": {}})
    assert len(errors) == 2
    assert all(0 <= error <= 1 for error in errors)
    assert (tmp_path / "mine-dm-5" / "set.safetensors").exists()


def test_the_readme_names_every_verb_and_only_verbs_that_there_are() -> None:
    readme = (ROOT / "README.md").read_text()
    told = set(re.findall(r"`limbeck ((?:study )?[a-z]+)", readme))
    from limbeck.cli import answering, app, covering, making, measuring, reading, studying  # noqa: F401

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    verbs |= {f"study {c.name or c.callback.__name__}" for c in studying.study.registered_commands if c.callback}
    assert told <= verbs
    assert {verb for verb in verbs if not verb.startswith("study ")} <= told


def test_the_version_is_one_everywhere() -> None:
    """The newest release of the changelog, the citation's, a golden folder's; later on, a `.dev0`."""
    changelog, citation = (ROOT / "CHANGELOG.md").read_text(), (ROOT / "CITATION.cff").read_text()
    released, date = re.findall(r"^## \[(\d\S*)\] - (\S+)$", changelog, re.MULTILINE)[0]
    assert f"\nversion: {released}\n" in citation
    assert f"\ndate-released: {date}\n" in citation
    assert (ROOT / "tests" / "golden" / released).is_dir()
    ahead = limbeck.__version__.removesuffix(".dev0")
    assert ahead == released or (limbeck.__version__ != ahead and _numbers(ahead) > _numbers(released))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
