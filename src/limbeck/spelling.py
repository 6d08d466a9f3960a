"""How variants are written: `name` or `name(setting=value, ...)`, and values that read back as they were."""

from __future__ import annotations

import re
from typing import Any

from limbeck.errors import BadSetting

_FORM = re.compile(r"^(?P<name>[A-Za-z0-9_.:\-]+)\s*(?:\((?P<settings>.*)\))?$", re.DOTALL)
# A quoted text (only where a value begins: the quote in o'clock is a letter), or one letter.
_TOKEN = re.compile(r"""(?:^|(?<=[=,\[]))\s*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<mark>.)""", re.DOTALL)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Split `name(key=value, ...)` into its name and settings.

    Raises `BadSetting` where the text has another form.
    """
    match = _FORM.match(text.strip())
    if match is None:
        raise BadSetting(f"'{text}' can't be read. Write a name, or name(setting=value, setting=value).")
    settings: dict[str, Any] = {}
    for part in split_outside_brackets(match["settings"] or "", ","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise BadSetting(f"'{part.strip()}' in '{text}' is no setting. Write setting=value.")
        if key.strip() in settings:
            raise BadSetting(f"'{key.strip()}' is given twice in '{text}'. Keep one of the two.")
        settings[key.strip()] = _read(value.strip())
    return match["name"], settings


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no bracket and in no quoted text; empty parts are dropped.

    >>> split_outside_brackets("convnet(width=32)/sgd(lr=0.1)", "/")
    ['convnet(width=32)', 'sgd(lr=0.1)']
    """
    parts, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        mark = token["mark"] or ""
        depth += (mark in ("(", "[")) - (mark in (")", "]"))
        if mark == separator and depth == 0:
            parts.append(text[start : token.start("mark")])
            start = token.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def written(value: Any) -> str:
    """A setting's value as `parse` reads it back; in quotes where it would be read as something else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(part) for part in value)}]"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_./~][\w./~:\- ]*", value) and _read(value) == value == value.strip()
        return value if plain else "'" + re.sub(r"([\\'])", r"\\\1", value) + "'"
    return str(value)


def _read(text: str) -> Any:
    """A setting's value: number, true/false, [list], quoted or bare text."""
    lowered = text.lower()
    if lowered in {"true", "false"}:
        return lowered == "true"
    if text.startswith("[") and text.endswith("]"):
        return [_read(part) for part in split_outside_brackets(text[1:-1], ",")]
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return re.sub(r"""\\([\\'"])""", r"\1", text[1:-1])
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
