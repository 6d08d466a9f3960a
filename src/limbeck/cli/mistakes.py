"""What is said of a mistake: what, why and what next, without a traceback."""

from __future__ import annotations

import re
from typing import Any

from limbeck.errors import LimbeckError, own_frames, place, plainly

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
