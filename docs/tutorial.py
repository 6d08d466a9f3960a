"""Run docs/tutorial.md from top to bottom in an empty folder, and write what its commands print into it.

    python docs/tutorial.py            # about a minute

A block of Python or TOML is a file, named by its first line. A text block is the output of the console block before it;
where it ends in a line of dots, only as many lines of it as are there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).resolve().with_suffix(".md")
BLOCK = re.compile(r"^```(python|toml|console|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MORE = "...\n"
Run = Callable[[list[str], Path], str]


def by_process(words: list[str], folder: Path) -> str:
    """What `python` or `limbeck` with these words prints, run in a folder with a cache of its own."""
    first = [] if words[0] == "python" else ["-m", "limbeck"]
    own = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    ended = subprocess.run(
        [sys.executable, *first, *words[1:]], cwd=folder, env=own, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{shlex.join(words)}:\n{ended.stderr}")
    return ended.stdout


def renewed(page: str, folder: Path, run: Run = by_process) -> str:
    """The page with the output of its own commands."""
    said: list[str] = []

    def block(match: re.Match[str]) -> str:
        kind, text = match[1], match[2]
        if kind == "console":
            said[:] = [run(shlex.split(line), folder) for line in text.splitlines()]
        elif kind == "text":
            whole = "\n".join(said)
            if text.endswith(MORE):
                whole = "".join(whole.splitlines(keepends=True)[: max(1, text.count("\n") - 1)]) + MORE
            return f"```text\n{whole}```"
        else:
            (name,) = re.findall(r"^# (\S+)\n", text)
            (folder / name).write_text(text)
            if kind == "python":
                run(["python", name], folder)
        return match[0]

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        PAGE.write_text(renewed(PAGE.read_text(), Path(empty)))
