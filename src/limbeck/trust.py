"""Whose code may run: functions that the user named, never one that a file names which was merely read.

A synthetic set says which source it is of, and a study's folder which study was run in it; either may come from
elsewhere, and a source such as `os:system(command=...)` is code. A program of one's own is trusted whole. The command
line trusts the names in its words, and in the study files and lists of configurations that those words point to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from limbeck.errors import NotTrusted

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_named: set[str] | None = None  # None: whatever is named, as in a program of one's own


@contextmanager
def trusting(*texts: str) -> Iterator[None]:
    """Within, only code whose `package.module:name` stands in these texts, or in those `trust` is given, may run."""
    global _named
    before, _named = _named, set()
    try:
        trust(*texts)
        yield
    finally:
        _named = before


def trust(*texts: str) -> None:
    """The user wrote these texts: code that they name may run."""
    if _named is not None:
        _named.update(name for text in texts for name in _NAME.findall(text))


def check_trusted(name: str) -> None:
    """Raise `NotTrusted` for code that only a file named which was read."""
    if _named is not None and name not in _named:
        raise NotTrusted(
            f"'{name}' is code that a file names which was read, not you; nothing that is read runs code. If you know "
            "it, name it: with --source or --configuration, or give a study's own TOML file in place of its folder."
        )
