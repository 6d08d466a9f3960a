"""What a newcomer does wrong is answered in a sentence: which word, which file, which of their own functions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from command import Command
from limbeck.architectures import TRIED
from limbeck.cli.printing import print_table
from limbeck.cli.progress import spinner
from limbeck.errors import own_frames, plainly
from limbeck.samples import Domain
from limbeck.study import StudyFolder
from limbeck.variants import make, members, plugged_modules

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "0.1.0"
MLP = "mlp(width=4, depth=1)/adamw/none/cosine(steps=2)"
OWN = """\
import numpy as np
from torch import nn


def helper(x):
    raise ValueError("the table has\\n no third column")


def source():
    return helper(np.zeros((30, 4)))


class Flat(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(64, classes)

    def forward(self, x):
        return self.layer(x)


def unflattened(shape, classes):
    return Flat(classes)


def too_few(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes - 1))


def of_doubles(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).double()


class Untrainable(Flat):
    def forward(self, x):
        if self.training:
            raise RuntimeError("no more of these")
        return super().forward(x.flatten(1))


def fails_later(shape, classes):
    return Untrainable(classes)
"""


@pytest.fixture
def own(limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command line in a folder with a module of the user's own."""
    (tmp_path / "own_code.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield limbeck
    sys.modules.pop("own_code", None)
    TRIED.clear()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("distill", "digits", "dm", "-k", "0"), "'--per-class' / '-k' must be at least 1. `limbeck distill --help`"),
        (("distill", "digits", "dm", "-k", "ten"), "'--per-class' / '-k' must be a whole number."),
        (("distill", "digits", "dm", "--seconds", "0"), "'--seconds' must be at least 0.1."),
        (("distill", "digits"), "METHOD is missing: a method, such as dm or"),
        (("distill",), "SOURCE is missing: a source, such as digits"),
        (("study", "run"), "STUDY is missing: a study's TOML file or its folder. `limbeck study run --help`"),
        (("import", "x.pt", "out"), "--source is missing: what it was distilled from"),
        (("distil", "digits"), "There is no command 'distil'. Did you mean 'distill'"),
        (
            ("distill", "digits", "dm", "--step", "3"),
            "There is no option --step. Did you mean --help, --seed, --steps?",
        ),
        (("evaluate", "set", "--seeds", "0"), "'--seeds' must be at least 1."),
        (("laws", "rows.csv", "--gap", "x"), "'--gap' must be a number."),
        (("distill", "digits", "dm(steps=0)"), "dm: steps=0 is refused: it must be above 0."),
        (("distill", "digits", "dm(batch=odd)"), "batch='odd' is refused: it must be 'random' or 'representative'."),
        (("evaluate", str(GOLDEN / "study")), "holds no set but a study, whose results `limbeck study table` shows."),
        (("evaluate", str(GOLDEN / "rows.csv")), "rows.csv is no folder. Give the folder that"),
        (("show", "."), "holds no set. Give the folder that"),
        (
            ("report", str(GOLDEN / "rows.csv")),
            "is a table, and no study. `limbeck plan` and `limbeck laws` read tables.",
        ),
        (("study", "run", str(GOLDEN / "rows.csv")), "is a table, and no study."),
    ],
)
def test_a_mistake_is_named(limbeck: Command, words: tuple[str, ...], said: str) -> None:
    assert said in limbeck.refused(*words)
    assert said in limbeck.refused(*words, "--json")  # standard output stays empty


@pytest.mark.parametrize("words", [(), ("study",)])
def test_a_command_without_words_gets_its_help(limbeck: Command, words: tuple[str, ...]) -> None:
    ended = limbeck(*words)
    assert (ended.code, ended.out) == (2, "")
    assert "needs more words" in ended.err
    assert "Commands:" in ended.err


def test_a_function_of_ones_own_that_fails_is_shown_with_its_lines(own: Command) -> None:
    ended = own("distill", "own_code:source", "random", "-k", 1, "--json")
    assert (ended.code, ended.out) == (2, "")
    first, *lines, last = ended.err.splitlines()
    assert first.endswith("(own_code.py, line 6, in helper): ValueError: the table has no third column")
    assert [line.strip() for line in lines] == [
        "own_code.py, line 10, in source: return helper(np.zeros((30, 4)))",
        r'own_code.py, line 6, in helper: raise ValueError("the table has\n no third column")',
    ]
    assert "--debug" in last
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("place", [0, -1])
def test_debug_shows_the_whole_traceback_wherever_it_stands(own: Command, place: int) -> None:
    words = ["distill", "own_code:source", "random", "-k", "1"]
    words.insert(place if place == 0 else len(words), "--debug")
    ended = own(*words)
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.err
    assert "distill" in ended.err
    assert "limbeck: your code failed" in ended.err


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("unflattened", "can't be called on samples (2, 1, 8, 8): mat1 and mat2 shapes cannot be multiplied (16x8 and"),
        ("unflattened", "own_code.py, line 19, in forward: return self.layer(x)"),
        ("too_few", "makes (2, 9) of samples (2, 1, 8, 8); it must make logits (2, 10), one a class."),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_the_work(own: Command, network: str, said: str) -> None:
    configuration = f"own_code:{network}/adamw/none/cosine(steps=2)"
    assert said in own.refused("distill", "digits", "dm(steps=2)", "-k", 1, "-c", configuration)


def test_a_network_is_tried_as_it_is_built_and_left_as_it_was(own: Command, tmp_path: Path) -> None:
    built = make("architectures", "own_code:of_doubles").build(Domain((1, 8, 8), 10))
    assert built.training
    assert next(built.parameters()).dtype == torch.float64


def test_a_module_that_is_no_python_is_named_with_its_line(own: Command, tmp_path: Path) -> None:
    (tmp_path / "own_broken.py").write_text("def source():\n    return (1,\n")
    said = own.refused("distill", "own_broken:source", "random", "-k", 1)
    assert "module 'own_broken' can't be read: '(' was never closed (own_broken.py, line 2)" in said


def test_a_study_tells_which_of_ones_own_functions_failed(own: Command, tmp_path: Path) -> None:
    (tmp_path / "failing.toml").write_text(
        'name = "failing"\nmethods = ["random"]\nper_class = [1]\nsets = 1\nseeds = 2\nreference_seeds = 1\n'
        'configurations = ["own_code:fails_later/adamw/none/cosine(steps=2)"]\n[distill]\ncandidates = 1\n'
    )
    assert own("study", "run", "failing.toml", "--runner", "serial").code == 0
    folder = StudyFolder(tmp_path / "runs" / "failing")
    reasons = [folder.failure(cell)["failed"] for cell in folder.failed()]
    assert "RuntimeError: no more of these (own_code.py, line 37, in forward)" in reasons


def test_frames_of_libraries_are_none_of_ones_own() -> None:
    from limbeck.sources import Source

    with pytest.raises(Exception, match="x_train") as caught:
        Source.from_arrays(object(), [0, 1])
    assert own_frames(caught.value) == []


def test_what_a_parser_says_in_unusual_cases_is_kept() -> None:
    assert plainly("Value error, every size must be at least 1") == "every size must be at least 1"
    assert plainly("Input should be less than or equal to 3") == "must be at most 3"


def test_a_study_folder_without_its_study_is_not_whole(limbeck: Command, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "study", tmp_path / "copy")
    (tmp_path / "copy" / "study.json").unlink()
    ended = limbeck("verify", "copy")
    assert ended.code == 1
    assert "study.json: is not there, though a study's other files are" in ended.out


def test_trainings_that_diverge_are_left_out_of_the_interchange(limbeck: Command, tmp_path: Path) -> None:
    """They were a number that no JSON can hold, and one method's only gap was divided by its spread."""
    shutil.copytree(GOLDEN / "study", tmp_path / "study")
    ended = limbeck("interchange", "study", "--json")
    assert ended.code == 0, ended.err
    rows = ended.json["rows"]
    assert rows
    assert not [row for row in rows if "lr=1000000000" in row["configuration"]]
    assert "do not vary under any configuration" in ended.json["left_out"]["refusal"]
    assert "FAILED: training under" in limbeck("interchange", "study").err


def test_ctrl_c_ends_any_verb_with_a_word(limbeck: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("limbeck.evaluation.evaluate", stop)
    ended = limbeck("evaluate", GOLDEN / "sets" / "pixels", "-c", MLP)
    assert (ended.code, ended.out) == (130, "")
    assert "stopped. Finished work is kept" in ended.err


def test_a_mistake_of_limbeck_itself_shows_where_it_is(limbeck: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.evaluation.with_gaps", None)
    ended = limbeck("evaluate", GOLDEN / "sets" / "pixels", "-c", MLP, "--seeds", 1, "--reference-seeds", 0)
    assert (ended.code, ended.out) == (1, "")
    assert "Traceback (most recent call last)" in ended.err
    assert "plug-in" not in ended.err


PLUG_IN = """\
from typing import ClassVar

import torch

from limbeck.methods import Selection


class Outermost(Selection):
    \"\"\"The first samples of each class.\"\"\"

    paper: ClassVar[str] = "-"
    rows: int = 0

    def choose(self, source, per_class, seed):
        if self.rows:
            return torch.zeros(2, 3) @ torch.zeros(2)
        return torch.cat([(source.train.group == one).nonzero()[:per_class, 0] for one in range(source.domain.classes)])
"""


@pytest.fixture
def plugged_in(limbeck: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command line where a package with an entry point is installed, whose name begins with limbeck's."""
    site = tmp_path / "site-packages"
    about = site / "limbeck_more-1.2.dist-info"
    about.mkdir(parents=True)
    (site / "limbeck_more").mkdir()
    (site / "limbeck_more" / "__init__.py").write_text("")
    (site / "limbeck_more" / "outermost.py").write_text(PLUG_IN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: limbeck-more\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text("[limbeck.methods]\noutermost = limbeck_more.outermost\n")
    monkeypatch.syspath_prepend(site)
    for held in (members, plugged_modules):
        held.cache_clear()
    yield limbeck
    for name in [name for name in sys.modules if name.startswith("limbeck_more")]:
        del sys.modules[name]
    monkeypatch.undo()
    for held in (members, plugged_modules):
        held.cache_clear()


def test_an_installed_plug_in_has_a_name_of_its_own_and_its_mistakes_are_its_own(plugged_in: Command) -> None:
    words = ("distill", "digits", "-k", 1, "-o", "set")
    assert plugged_in(words[0], words[1], "outermost", *words[2:], "--json").json["method"] == "outermost"
    ended = plugged_in(words[0], words[1], "outermost(rows=2)", *words[2:-1], "other")
    assert (ended.code, ended.out) == (1, "")
    assert "Traceback (most recent call last)" in ended.err
    assert "limbeck: the plug-in limbeck-more 1.2 failed (outermost.py, line 16, in choose): RuntimeError:" in ended.err


def test_a_table_that_is_wider_than_the_terminal_is_paragraphs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines would be broken in the middle of words; in a pipe it stays a table, whatever the width."""
    rows = [{"method": "dm", "k": 10, "gap": None, "what": "words " * 12}, {"method": "random", "k": 20, "gap": 0.25}]
    monkeypatch.setenv("COLUMNS", "60")
    print_table(rows)
    piped = capsys.readouterr().out.splitlines()
    assert len(piped) == 4
    assert max(map(len, piped)) > 60
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(rows)
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["dm", "  k     10"]
    assert shown[-3:] == ["random", "  k     20", "  gap   0.25"]
    assert max(map(len, shown)) <= 60
    assert "".join(shown).count("words") == 12
    monkeypatch.setenv("COLUMNS", "200")
    print_table(rows)
    assert capsys.readouterr().out.splitlines() == piped


def test_a_turning_sign_is_of_terminals_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes into a log, a pipe or beside JSON; brackets in what it says are no markup."""
    with spinner("under mlp(norms=[a])"):
        pass
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with spinner("under mlp(norms=[a])", quiet=True):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with spinner("under mlp(norms=[a])"):
        pass
    said = capsys.readouterr()
    assert said.out == ""
    assert "under mlp(norms=[a])" in said.err


@pytest.mark.parametrize("colour", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_narrow_terminal_gets_whole_words_and_no_colour(tmp_path: Path, colour: dict[str, str]) -> None:
    """As a user has it, 60 columns wide; nothing but text comes out, and JSON stays one document."""
    command = [sys.executable, "-m", "limbeck"]
    env = {"PATH": "/usr/bin:/bin", "COLUMNS": "60", "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path), **colour}
    helped = subprocess.run([*command, "distill", "--help"], env=env, capture_output=True, text=True, check=True)
    assert max(map(len, helped.stdout.splitlines())) <= 60
    listed = subprocess.run(
        [*command, "list", "runners", "--json"], env=env, capture_output=True, text=True, check=True
    )
    assert {one["name"] for one in json.loads(listed.stdout)} >= {"serial", "processes", "ray"}
    assert "\x1b" not in helped.stdout + helped.stderr + listed.stdout + listed.stderr
