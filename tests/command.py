"""The command line, run in this process as a shell would run it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from limbeck.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What a `--json` answer says; refuses anything beside one document without NaN."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@dataclass(frozen=True)
class Command:
    """`limbeck ...` with captured output."""

    patch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Ended:
        self.patch.setattr(sys, "argv", ["limbeck", *map(str, words)])
        self.captured.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, *self.captured.readouterr())

    def refused(self, *words: object) -> str:
        """The one paragraph that a user's mistake is answered with: exit code 2, nothing on standard output."""
        ended = self(*words)
        assert ended.code == 2, ended
        assert ended.out == ""
        assert ended.err.startswith("limbeck: ")
        assert ended.err.count("\n") == 1
        assert "Traceback" not in ended.err
        return ended.err
