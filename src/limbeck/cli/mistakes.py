"""What is said of a mistake: what, why and what next, without a traceback."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from limbeck.errors import LimbeckError, called_frames, own_frames, place, plainly
from limbeck.variants import plugged_modules

SHOWN = 3  # lines of the user's own code


def told(error: Exception) -> str | None:
    """The text for a mistake that its user can mend; None for one of limbeck's own."""
    if isinstance(error, LimbeckError):
        return str(error)
    if hasattr(error, "format_message"):  # of the parser of the command line
        return _of_parser(error)
    if frames := own_frames(error):
        last, text = frames[-1], " ".join(str(error).split()) or "no more is known"
        lines = [f"your code failed ({place(last)}): {type(error).__name__}: {text}"]
        lines += [f"    {place(frame)}: {frame.line}" for frame in frames[-SHOWN:]]
        return "\n".join([*lines, "Mend it and run the same command again; with --debug it shows the whole traceback."])
    from limbeck.study.work import out_of_memory

    return out_of_memory(error)


def of_plug_in(error: Exception) -> str | None:
    """Which installed plug-in failed, for the line below its traceback; None where none was called."""
    roots = {root: package for module, package in plugged_modules().items() for root in _folders(module)}
    for frame in reversed(called_frames(error)):
        for root, package in roots.items():
            if frame.filename.startswith(root):
                text = " ".join(str(error).split()) or "no more is known"
                what = f"the plug-in {package} failed ({place(frame)}): {type(error).__name__}: {text}"
                return f"{what}\nThe traceback above is for its authors; limbeck was only calling it."
    return None


def _folders(module: str) -> list[str]:
    """Where the files of a module's package lie, or the module's own file; nowhere before it is imported."""
    held = sys.modules.get(module.partition(".")[0])
    folders = [os.path.join(folder, "") for folder in getattr(held, "__path__", [])]
    return folders or [file for file in [getattr(held, "__file__", None)] if file]


def _of_parser(error: Any) -> str:
    """A wrong option, number or argument; of a command without any, its help."""
    verb = error.ctx.command_path if getattr(error, "ctx", None) else "limbeck"
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"{verb} needs more words.\n\n{error.ctx.get_help()}"
    text = plainly(error.format_message()).removeprefix("Invalid value for ").replace("': must", "' must")
    if missing := re.fullmatch(r"Missing (?:argument|option|parameter) '(.+)'", text):
        meant = getattr(error.param, "help", None) or "it has to be there"
        text = f"{missing[1]} is missing: {meant[0].lower()}{meant[1:].rstrip('.')}"
    text = re.sub(r"^No such (command|option):? (\S+?)[.]?(?= |$)", r"There is no \1 \2.", text)
    text = re.sub(r"\(Possible options: (.+)\)", r"Did you mean \1?", text)
    return f"{text}{'' if text[-1] in '.?' else '.'} `{verb} --help` tells what there is."
