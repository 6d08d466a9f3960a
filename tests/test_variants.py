"""What is written reads back as itself, and what can't be read is answered with the nearest word."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.configuration import PARTS, Configuration
from limbeck.errors import BadSetting, LimbeckError, UnknownName, nearest
from limbeck.spelling import parse, split_outside_brackets
from limbeck.study import Study
from limbeck.variants import Variant, build, find, make, members

FAMILIES = ["architectures", "augmentations", "methods", "optimizers", "parameterizations", "runners", "schedules"]
FAMILIES += ["sources", "states", "surrogates", "trackers"]


class Anything(Variant):
    """One setting of each kind."""

    whole: int = 1
    share: float = 0.5
    flag: bool = False
    text: str = "plain"
    choice: Literal["a", "b"] = "a"
    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()


VALUES = {
    "whole": st.integers(),
    "share": st.floats(allow_nan=False),
    "flag": st.booleans(),
    "text": st.text(),
    "choice": st.sampled_from(["a", "b"]),
    "numbers": st.lists(st.floats(allow_nan=False), max_size=3),
    "texts": st.lists(st.text(), max_size=3),
}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_settings_read_back_from_their_text(settings: dict[str, Any]) -> None:
    made = Anything.model_validate(settings)
    for text in (made.spec, made.full_spec):
        _, read = parse(text)
        assert build(Anything, read) == made
    assert parse(made.full_spec)[1].keys() == Anything.model_fields.keys()


@given(st.text(), st.sampled_from(",/"))
def test_splitting_loses_no_letter_but_separators_and_blanks(text: str, separator: str) -> None:
    kept = "".join(split_outside_brackets(text, separator))
    assert sorted(kept) == sorted("".join(kept.split(separator)) + separator * kept.count(separator))
    removed = len(text) - len(kept)
    assert removed >= 0
    assert re.sub(rf"[\s{separator}]", "", kept) == re.sub(rf"[\s{separator}]", "", text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    for reader in (parse, Configuration.parse):
        with suppress(BadSetting, UnknownName):
            reader(text)


EVERY = [(family, name) for family in FAMILIES for name in members(family)]


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_every_variant_bears_its_files_name_says_what_it_is_and_reads_back(family: str, name: str) -> None:
    variant = find(family, name)
    assert variant.variant_name() == name
    assert variant.summary()
    assert set(variant.about()["settings"]) == set(variant.model_fields)
    if all(not field.is_required() for field in variant.model_fields.values()):
        made = variant()
        assert made.spec == name
        assert make(family, made.full_spec) == made
        assert make(family, name) == made


def test_defaults_written_out_are_the_same_variant() -> None:
    assert make("optimizers", "sgd") == make("optimizers", make("optimizers", "sgd").full_spec)
    assert make("methods", "dm(steps=100)").spec == "dm(steps=100)"
    assert make("methods", f"dm(steps={make('methods', 'dm').steps})").spec == "dm"


@pytest.mark.parametrize(
    ("family", "text", "words"),
    [
        ("methods", "dmm", "Did you mean 'dm'?"),
        ("methods", "kmeans", "Did you mean 'k-means'?"),
        ("methods", "dm(step=3)", "dm has no setting 'step'. Did you mean 'steps'?"),
        ("methods", "dm(steps=none)", "dm: steps='none' is refused"),
        ("methods", "dm(steps=-1)", "it must be above 0"),
        ("methods", "dm(steps)", "'steps' in 'dm(steps)' is no setting. Write setting=value."),
        ("methods", "dm(steps=1, steps=2)", "'steps' is given twice"),
        ("methods", "dm(", "can't be read"),
        ("methods", "", "can't be read"),
        ("methods", "limbeck.digest:digest", "'limbeck.digest:digest' is no Method. One of your own is a class"),
        ("optimizers", "addam", "Did you mean 'adam'?"),
        ("sources", "digit", "Did you mean 'digits'?"),
        ("sources", "not.there:mine", "module 'not.there' can't be imported"),
        ("sources", "limbeck.digest:dijest", "has no function 'dijest'. Did you mean 'digest'?"),
        ("runners", "procceses", "Did you mean 'processes'?"),
    ],
)
def test_what_can_not_be_read_is_answered_with_the_nearest_word(family: str, text: str, words: str) -> None:
    with pytest.raises((BadSetting, UnknownName), match=re.escape(words)):
        make(family, text)


def test_what_is_missing_and_what_is_misspelt_are_told_apart() -> None:
    with pytest.raises(BadSetting) as refused:
        Study.read('name = "x"\nmethds = ["dm"]\nper_class = [0]')
    said = str(refused.value)
    assert said.startswith("study has no setting 'methds'. Did you mean 'methods'?")
    assert "study needs 'methods'. " in said
    assert "per_class=[0] is refused: every size must be at least 1." in said


def test_nearest_gives_no_far_fetched_hint() -> None:
    assert nearest("zzzz", ["dm", "dc"]) == "Known: dc, dm."
    assert nearest("dn", []) == "Known: none."


def test_a_copy_with_other_settings_is_checked_like_any_other() -> None:
    assert make("methods", "dm").with_settings(steps=3).spec == "dm(steps=3)"
    with pytest.raises(ValueError, match="greater than 0"):
        make("methods", "dm").with_settings(steps=0)
    with pytest.raises(ValueError, match="frozen"):
        make("methods", "dm").steps = 3


def test_a_file_with_two_variants_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = "from limbeck.variants import Variant\nclass A(Variant): 'A.'\nclass B(Variant): 'B.'\n"
    (tmp_path / "two_of_them.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("limbeck.variants.members", lambda family: {"two": "two_of_them"})
    with pytest.raises(BadSetting, match="exactly one Variant class; it defines 2"):
        find("methods", "two")
    sys.modules.pop("two_of_them")


CONFIGURATIONS = st.tuples(
    *(
        st.sampled_from(sorted(members(family))).map(lambda name, family=family: find(family, name)().full_spec)
        for family in PARTS
    )
)


@given(CONFIGURATIONS, st.permutations([1, 2, 3, 4]))
def test_configurations_read_back_in_any_order_of_their_parts(parts: tuple[str, ...], order: list[int]) -> None:
    configuration = Configuration.parse("/".join(parts))
    shuffled = Configuration.parse("/".join([parts[0], *(parts[i] for i in order)]))
    assert configuration == shuffled == Configuration.parse(configuration.spec) == eval(repr(configuration))
    assert hash(configuration) == hash(shuffled)
    assert configuration.digest == shuffled.digest
    assert str(configuration) == configuration.spec


def test_parts_left_out_take_their_defaults() -> None:
    assert Configuration.parse("mlp") == Configuration.parse("mlp/sgd/none/cosine")
    assert Configuration.parse("mlp") == Configuration.parse("mlp/clean")
    assert Configuration.parse("mlp/siamese").optimizer.variant_name() == "sgd"


def test_every_setting_is_part_of_the_digest() -> None:
    base = Configuration.parse("mlp/sgd/none/cosine")
    others = [
        "mlp(width=64)",
        "mlp/sgd(lr=0.5)",
        "mlp/flip-crop",
        "mlp/cosine(steps=7)",
        "mlp/constant",
        "mlp/blur",
        "lenet",
    ]
    digests = {Configuration.parse(text).digest for text in others}
    assert len(digests | {base.digest}) == len(others) + 1
    assert base != "mlp/sgd/none/cosine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a configuration is empty"),
        ("mpl", "Did you mean 'mlp'?"),
        ("mlp/sdg", "'sdg' in 'mlp/sdg' is no optimizer, augmentation, schedule or domain. Did you mean 'sgd'?"),
        ("mlp/sgd/adam", "names two optimizers: 'sgd' and 'adam'. Keep one."),
        ("mlp/cosine/step", "names two schedules"),
        ("mlp(width=0)", "it must be at least 1"),
        ("mlp(with=3)", "Did you mean 'width'?"),
    ],
)
def test_a_configuration_that_can_not_be_read_names_the_nearest_word(text: str, words: str) -> None:
    with pytest.raises(LimbeckError, match=re.escape(words)):
        Configuration.parse(text)


def test_training_cost_counts_three_passes_a_step_and_grows_with_steps() -> None:
    from limbeck.samples import Domain

    domain = Domain((8,), 3)
    # Multiply-adds of the layers, each two operations: 8x4 + 4x3.
    short = Configuration.parse("mlp(width=4, depth=1)/sgd/cosine(steps=10, batch=16)")
    forward = short.architecture.flops(domain)
    assert short.flops(domain, 5) == 3 * forward * 5 * 10
    assert short.flops(domain, 500) == 3 * forward * 16 * 10
    assert short.replace(schedule=make("schedules", "constant(steps=20, batch=16)")).flops(domain, 5) == 300 * forward
