"""The verbs on single configurations and pools of them: measure, and distill with several configurations."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from command import Command
from limbeck.synthetic import SyntheticSet
from little import CONFIGURATIONS, write_arrays

FAMILY = [f"mlp(width={width})/{rule}/cosine(steps=2)" for width in (4, 8, 64) for rule in ("sgd", "adamw")]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return f"npz(path={write_arrays(tmp_path / 'mine.npz')})"


def test_measure_says_what_a_gap_is_made_of_and_what_to_do(limbeck: Command, source: str) -> None:
    limbeck("distill", source, "random", "-k", 2, "-c", CONFIGURATIONS[0], "-o", "small")
    told = limbeck("measure", "small", "-c", "mlp(width=8)/adamw/cosine(steps=12)", "--json")
    assert told.code == 0, told.err
    found = told.json
    assert found["violations"] == 0
    assert found["bound"] >= found["excess"]
    parts = [found[name] for name in ("residual", "matching", "update", "curvature")]
    assert math.isclose(sum(parts), found["bound"], rel_tol=1e-9)
    shown = limbeck("measure", "small", "-c", "mlp(width=8)/adamw/cosine(steps=12)", "--every", 4)
    assert shown.code == 0
    assert "the bound interpolates between" in shown.out
    assert "on the visited path" in shown.out
    assert "Next: " in shown.out
    assert limbeck("measure", "nowhere").code == 2


def test_a_set_is_distilled_for_the_centres_of_a_family(limbeck: Command, source: str, tmp_path: Path) -> None:
    (tmp_path / "family.txt").write_text("# three widths, two rules\n\n" + "\n".join(FAMILY))
    words = ["distill", source, "dm(steps=4)", "-k", 2, "-c", CONFIGURATIONS[0], "--candidates", 2]
    ended = limbeck(*words, "--configurations", "cover:3 of family.txt", "--weights", "worst-case", "-o", "robust")
    assert ended.code == 0, ended.err
    pool = SyntheticSet.load(tmp_path / "robust").provenance["pool"]
    assert len(set(pool["configurations"])) == 3
    assert pool["weighting"] == "worst-case"
    assert sum(pool["visits"]) == 4
    given = limbeck(*words, "--configurations", FAMILY[0], "--configurations", FAMILY[3], "-o", "given")
    assert given.code == 0, given.err
    assert SyntheticSet.load(tmp_path / "given").provenance["pool"]["visits"] == [2, 2]
    assert limbeck(*words, "--configurations", FAMILY[0], "--dry-run").code == 0
    for text, said in (("cover:9 of family.txt", "needs a family of as many"), ("cover:2 of nowhere", "no family")):
        refused = limbeck(*words, "--configurations", text)
        assert refused.code == 2
        assert said in refused.err
