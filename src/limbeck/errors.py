"""What can go wrong that a user can mend: one exception per thing, each saying what, why and what next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 40  # known names in one message


class LimbeckError(Exception):
    """Base of every error meant for the user; the command line prints its text and exits with `exit_code`."""

    exit_code = 2


class UnknownName(LimbeckError):
    """A name that no variant, cell or column bears."""


class BadSetting(LimbeckError):
    """A setting that does not exist or has a value that it can't have."""


class BadData(LimbeckError):
    """Samples, labels or tables that can't be used as they are."""


class MissingData(LimbeckError):
    """A data set, file or folder that is not where it was looked for."""


class MissingExtra(LimbeckError):
    """An optional package that this feature needs."""


class CorruptFile(LimbeckError):
    """A file whose content is not what was written."""


class StoreFailure(LimbeckError):
    """The disk refused a write: full, read-only or not permitted."""


class NotApplicable(LimbeckError):
    """A method that can't run on this source or architecture."""


class WrongPreprocessing(LimbeckError):
    """A synthetic set made for data that was prepared in another way."""


class NotTrusted(LimbeckError):
    """Code that was named by a file from elsewhere, not by the user."""


class Diverged(LimbeckError):
    """A training or a distillation whose numbers left the finite range."""


class StudyChanged(LimbeckError):
    """A study file that is not the one its finished cells were run from."""


class Interrupted(LimbeckError):
    """Stopped by the user; what was done is kept."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence for an error: the nearest known name, and all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    beyond = f" and {len(names) - LISTED} more" if len(names) > LISTED + 5 else ""
    return f"{hint}Known: {', '.join(names[:LISTED] if beyond else names) or 'none'}{beyond}."
