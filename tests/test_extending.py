"""What the documentation says of parts of one's own is run as it is printed, and code that was only read is not run."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from command import Command
from limbeck.distillation import distill
from limbeck.errors import NotTrusted, UnknownName
from limbeck.store import read_record, write_record
from limbeck.study import Study, StudyFolder
from limbeck.synthetic import SyntheticSet
from limbeck.trust import check_trusted, trust, trusting
from limbeck.variants import base, make, members, resolve_function

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
CONFIGURATION = "mlp(width=4, depth=1)/adamw/none/cosine(steps=2)"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def mine(limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's module and study file in the folder that commands run in."""
    *code, _ = blocks("python")
    (tmp_path / "mine.py").write_text("\n\n".join(code))
    (tmp_path / "mine.toml").write_text(blocks("toml")[0])
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield tmp_path
    sys.modules.pop("mine", None)


def test_the_page_runs_as_it_is_printed(mine: Path, limbeck: Command) -> None:
    (commands,) = blocks("console")
    said = []
    for line in commands.splitlines():
        ended = limbeck(*shlex.split(line)[1:])
        assert ended.code == 0, ended.err
        said.append(ended.out)
    assert "6 samples" in said[0]
    assert "mine:two_layers/adamw/mine:Jitter/cosine(steps=20)" in said[1]
    assert "mine:Outermost" in said[3]
    assert "Next runs, best first:" in said[3]
    status = limbeck("study", "status", "mine.toml", "--json").json
    assert (status["complete"], status["failures"]) == (True, [])


def test_its_parts_keep_the_promises_of_the_suites(mine: Path) -> None:
    """The page's own tests, in a run of their own as its reader has it."""
    (mine / "test_mine.py").write_text(blocks("python")[-1])
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "test_mine.py"]
    run = subprocess.run(words, cwd=mine, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", run.stdout)[0]) >= 30


def test_workers_find_code_beside_the_study(mine: Path, limbeck: Command) -> None:
    ended = limbeck("study", "run", "mine.toml", "--runner", "processes(workers=1)", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["complete"]
    assert ended.json["failures"] == []


def test_every_family_has_a_base_that_its_members_derive_from() -> None:
    families = re.findall(
        r"`([a-z.]+)`", PAGE.partition("The groups are `limbeck.` and a family:")[2].partition("Each")[0]
    )
    assert len(families) == 13
    for family in families:
        assert members(family), family
        assert getattr(importlib.import_module(f"limbeck.{family}"), base(family).__name__) is base(family)


def test_a_class_of_another_family_is_refused_by_the_name_of_the_right_one(mine: Path, limbeck: Command) -> None:
    said = limbeck.refused("distill", "digits", "mine:Jitter", "-k", 1)
    assert "'mine:Jitter' is no Method" in said
    assert "'mine:Spread' in 'mlp/mine:Spread' is no optimizer" in limbeck.refused(
        "distill", "digits", "random", "-k", 1, "-c", "mlp/mine:Spread"
    )


@pytest.mark.parametrize("verb", ["evaluate", "measure"])
def test_a_set_from_elsewhere_runs_no_code(limbeck: Command, tmp_path: Path, verb: str) -> None:
    assert limbeck("distill", "digits", "random", "-k", 1, "-c", CONFIGURATION, "-o", "set").code == 0
    record = read_record(tmp_path / "set" / "set.json")
    record["about"]["source"] = f"os:system(command='touch {tmp_path / 'trace'}')"
    write_record(tmp_path / "set" / "set.json", record)
    assert "'os:system' is code that a file names which was read" in limbeck.refused(verb, "set")
    record["about"] |= {"source": "digits", "configuration": "os:system/adamw"}
    write_record(tmp_path / "set" / "set.json", record)
    assert "'os:system' is code" in limbeck.refused(verb, "set")
    assert not (tmp_path / "trace").exists()


def test_a_studys_folder_from_elsewhere_runs_no_code(mine: Path, limbeck: Command) -> None:
    StudyFolder.open(Study.load("mine.toml"), "runs")
    for words in (("report",), ("study", "run"), ("study", "status"), ("coverage",), ("interchange",)):
        assert "is code that a file names which was read" in limbeck.refused(*words, "runs/mine"), words
    assert limbeck("study", "status", "mine.toml").code == 0


def test_a_set_imports_no_module_to_unfold_itself(
    limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a program: the module beside a set from elsewhere came with it."""
    assert limbeck("distill", "digits", "random", "-k", 1, "-c", CONFIGURATION, "-o", "set").code == 0
    (tmp_path / "theirs.py").write_text("import pathlib; pathlib.Path('trace').touch()")
    record = read_record(tmp_path / "set" / "set.json")
    record["about"]["parameterization"] = "theirs:Form"
    write_record(tmp_path / "set" / "set.json", record)
    assert "'theirs:Form' is code that a set is stored by" in limbeck.refused("evaluate", "set", "--source", "digits")
    with pytest.raises(NotTrusted, match="`import theirs` in your program"):
        SyntheticSet.load("set").samples()
    assert not (tmp_path / "trace").exists()


def test_a_set_is_unfolded_by_a_form_of_the_programs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    code = "from limbeck.parameterizations.pixels import Pixels\nclass Form(Pixels):\n    pass\n"
    (tmp_path / "forms_of_mine.py").write_text(code)
    made = distill("digits", "random", CONFIGURATION, 1)
    own = replace(made, parameterization="forms_of_mine:Form")
    with pytest.raises(NotTrusted):
        own.samples()
    importlib.import_module("forms_of_mine")
    assert own.samples().x.equal(made.samples().x)


def test_a_program_of_ones_own_is_trusted_whole_and_trust_ends_with_the_command() -> None:
    check_trusted("os:system")
    with trusting("digits", "mine:rings(n=3)"):
        check_trusted("mine:rings")
        with pytest.raises(NotTrusted, match="nothing that is read runs code"):
            check_trusted("os:system")
        trust("x/os:system")
        check_trusted("os:system")
    check_trusted("anything:at_all")


def test_the_folder_that_is_run_in_hides_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    (tmp_path / "colorsys.py").write_text("def mine(): pass")
    with pytest.raises(UnknownName, match="has no function 'mine'"):
        resolve_function("colorsys:mine")
    assert make("sources", "colorsys:rgb_to_hsv(r=1, g=2, b=3)").spec == "colorsys:rgb_to_hsv(r=1, g=2, b=3)"
