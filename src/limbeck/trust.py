"""Whose code may run: of modules that the user named, never of one that only a file names which was read.

A synthetic set says which source it is of, and a study's folder which study was run in it; either may come from
elsewhere, and a source such as `os:system(command=...)` is code. The command line trusts the modules that its words
name, and the study files and lists of configurations that those words point to. A program of one's own is trusted in
all that it names itself; the form that a set is stored in it did not choose, so that has to be of a module that it has
imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from limbeck.errors import NotTrusted

_NAME = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")
_named: set[str] | None = None  # modules; None: whatever is named, as in a program of one's own


@contextmanager
def trusting(*texts: str) -> Iterator[None]:
    """Within, only code of modules of which a `package.module:name` stands in these texts, or in those of `trust`."""
    global _named
    before, _named = _named, set()
    try:
        trust(*texts)
        yield
    finally:
        _named = before


def trust(*texts: str) -> None:
    """The user wrote these texts: code of the modules that they name may run."""
    if _named is not None:
        _named.update(module for text in texts for module in _NAME.findall(text))


def check_trusted(name: str) -> None:
    """Raise `NotTrusted` for code that only a file named which was read."""
    if _named is not None and name.partition(":")[0] not in _named:
        raise NotTrusted(
            f"'{name}' is code that a file names which was read, not you; nothing that is read runs code. If you know "
            "it, name it: with --source or --configuration, or give a study's own TOML file in place of its folder."
        )


def check_chosen(name: str) -> None:
    """Raise `NotTrusted` for code that a set names, unless its module was imported already, or named by the user."""
    module = name.partition(":")[0]
    if ":" in name and module not in sys.modules and module not in (_named or ()):
        raise NotTrusted(
            f"'{name}' is code that a set is stored by; nothing that is read runs code. If you know it, `import "
            f"{module}` in your program, or name it on the command line."
        )
