"""Every member of surrogates keeps the promises of its family, whoever adds it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from limbeck.errors import MissingExtra
from limbeck.testing.surrogates import PROMISES
from limbeck.variants import members


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", sorted(members("surrogates")))
def test_a_member_keeps_its_promise(name: str, promise: Callable[[str], None]) -> None:
    try:
        promise(name)
    except MissingExtra as missing:
        pytest.skip(str(missing))
