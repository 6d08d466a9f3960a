"""What was run stays found after an upgrade: the texts that ids are made of may not change unawares.

python tests/test_identity.py     # accept what differs, where results really are others now
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.variants import Variant, find, members

HELD = Path(__file__).with_name("golden") / "identities.json"
FAMILIES = ("architectures", "augmentations", "domains", "methods", "optimizers", "schedules", "sources")


def identities() -> dict[str, dict[str, Any]]:
    """Each variant's text with every default, as in the ids of its cells, and the defaults that are left out there."""
    return {f"{family}/{name}": identity(find(family, name)) for family in FAMILIES for name in members(family)}


def identity(variant: type[Variant]) -> dict[str, Any]:
    fields = variant.model_fields
    given = {name: "required" for name, field in fields.items() if field.is_required()}
    held = variant.model_construct(**given)
    later = {name: fields[name].get_default(call_default_factory=True) for name in sorted(variant.later)}
    return {"text": held.full_spec, "later": later}


def keeps(was: dict[str, Any], now: dict[str, Any] | None) -> bool:
    """Whether cells run then are found now: further settings may have come later, none that was there may differ."""
    return now is not None and now["text"] == was["text"] and was["later"].items() <= now["later"].items()


def test_no_default_changed_unawares() -> None:
    held, now = json.loads(HELD.read_text()), json.loads(json.dumps(identities()))
    changed = {name: (was, now.get(name)) for name, was in held.items() if not keeps(was, now.get(name))}
    assert not changed, (
        "cells that were run under these names would not be found again. A new setting that changes nothing at its "
        "default belongs in the class's `later`. Where results are others now, they must not be found: then run "
        "`python tests/test_identity.py`, and say so in the changelog. (A fix that changes results and no default "
        "adds a plain setting `revision`.)"
    )


def test_a_setting_that_came_later_is_no_change_and_everything_else_is_one() -> None:
    was = {"text": "a(b=1)", "later": {"c": 2}}
    assert keeps(was, was | {"later": {"c": 2, "d": 3}})
    assert not keeps(was, was | {"later": {"c": 3}})
    assert not keeps(was, was | {"later": {}})
    assert not keeps(was, was | {"text": "a(b=2)"})
    assert not keeps(was, None)


def test_a_later_setting_is_left_out_at_its_default_alone() -> None:
    class First(Variant):
        steps: int = 3

    class Second(First):
        later = frozenset({"decoder"})
        decoder: str = "none"

    assert identity(First)["text"].endswith("(steps=3)")
    assert identity(Second)["text"].endswith("Second(steps=3)")
    assert identity(Second)["later"] == {"decoder": "none"}
    assert Second(decoder="linear").full_spec.endswith("(steps=3, decoder=linear)")


if __name__ == "__main__":
    HELD.write_text(json.dumps(identities(), indent=1, sort_keys=True, allow_nan=False) + "\n")
