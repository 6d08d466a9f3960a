"""What can go wrong that a user can mend: one exception per thing, each saying what, why and what next."""

from __future__ import annotations

import difflib
import os
import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

LISTED = 40  # known names in one message
HOME = os.path.join(os.path.dirname(__file__), "")  # with the separator: a plug-in may be named limbeck_more
LIBRARIES = ("<", *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
PLAIN = {
    r"Input should be greater than or equal to (\S+)": r"must be at least \1",
    r"Input should be greater than (\S+)": r"must be above \1",
    r"Input should be less than or equal to (\S+)": r"must be at most \1",
    r"Input should be less than (\S+)": r"must be below \1",
    r"Input should be a valid integer.*": "must be a whole number",
    r"Input should be a (valid|finite) number.*": "must be a number",
    r"Input should be a valid boolean.*": "must be true or false",
    r"Input should be a valid string.*": "must be a text",
    r"Input should be a valid (tuple|list).*": "must be a list",
    r"Input should be ('.*)": r"must be \1",
    r"(Tuple|List) should have at least 1 item.*": "must not be empty",
}
"""How parsers of settings and options say things, and how that is said here."""


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


def plainly(message: str) -> str:
    """What a parser says of a value, in the words of the documentation; as it is where it is none of the usual."""
    for said, plain in PLAIN.items():
        message = re.sub(said, plain, message)
    return message.removeprefix("Value error, ").rstrip(".")


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The lines of the user's own code that limbeck was calling, outermost first; none for a mistake of other code."""
    return [
        frame
        for frame in called_frames(error)
        if not frame.filename.startswith((HOME, *LIBRARIES))
        and not {"site-packages", "dist-packages"} & set(Path(frame.filename).parts)
    ]


def called_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The lines from limbeck's first on, outermost first: what limbeck called, and what that called."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((place for place, frame in enumerate(frames) if frame.filename.startswith(HOME)), len(frames))
    return frames[first:]


def place(frame: traceback.FrameSummary) -> str:
    """`mine.py, line 12, in network`."""
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence for an error: the nearest known name, and all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    beyond = f" and {len(names) - LISTED} more" if len(names) > LISTED + 5 else ""
    return f"{hint}Known: {', '.join(names[:LISTED] if beyond else names) or 'none'}{beyond}."
