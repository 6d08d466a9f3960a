"""Write docs/api.md from the public names: signatures, fields and docstrings as they stand in the code.

python docs/api.py
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import limbeck
import limbeck.laws
from limbeck import errors
from limbeck.variants import base

DOCS = Path(__file__).resolve().parent
FAMILIES = (
    *("methods", "surrogates", "states", "parameterizations", "sources", "architectures", "optimizers"),
    *("schedules", "augmentations", "domains", "measures.distances", "runners", "trackers"),
)
HEAD = """\
# API

Made from the code by `python docs/api.py`; a test holds it true. Errors and gaps are fractions of 1, times seconds; k
counts all samples of a set. Shapes are (samples, channels, height, width) for images, (samples, features) for vectors.
What a name promises to later versions: [promises](promises.md). Settings of methods, architectures and other variants:
`limbeck list methods --json` and so on.
"""
LAWS = """
## limbeck.laws

Statistics of results: arrays or rows in; estimate, interval, notes out. Nothing is trained.
"""
AROUND = """
## Around them

What the functions above give and take, and what studies, reports and figures are made with from Python.
"""
OWN = """
## Parts of your own

What [Adding your own](extending.md) builds on: the base of each family, and the names that are used there.
"""
ERRORS = """
## limbeck.errors

Every error that a user can mend is a `LimbeckError`, whose text says what, why and what next.

| error | |
|---|---|
"""
BESIDE = (
    ("limbeck.samples", "Samples"),
    ("limbeck.samples", "Domain"),
    ("limbeck.labeller", "Labeller"),
    ("limbeck.distillation", "Progress"),
    ("limbeck.planner", "Plan"),
    ("limbeck.study", "StudyFolder"),
    ("limbeck.study", "table"),
    ("limbeck.runners", "run_study"),
    ("limbeck.report", "build_report"),
    ("limbeck.plots", "law_figure"),
)
WIDTH = 100  # of a signature's line


def page() -> str:
    """The whole page."""
    own = {name: getattr(limbeck, name) for name in limbeck.__all__ if name != "__version__"}
    parts = [HEAD, "\n## limbeck\n\nFrom data to sets, rows, gaps and an answer.\n"]
    parts += [entry("limbeck", name, held) for name, held in own.items()]
    parts.append(LAWS)
    parts += [
        entry("limbeck.laws", name, getattr(limbeck.laws, name)) for name in limbeck.laws.__all__ if name not in own
    ]
    parts.append(AROUND)
    parts += [entry(module, name, getattr(import_module(module), name)) for module, name in BESIDE]
    parts.append(OWN)
    parts += [entry(module, name, held) for module, name, held in extended() if name not in own]
    parts.append(ERRORS)
    parts += [f"| `{one.__name__}` | {inspect.getdoc(one)} |\n" for one in mistakes()]
    return "".join(parts)


def extended() -> Iterator[tuple[str, str, Any]]:
    """The bases of families, and what the page on extending imports, once each."""
    found = {(f"limbeck.{family}", base(family).__name__) for family in FAMILIES}
    for module, names in re.findall(r"^from (limbeck[\w.]*) import (.+)$", (DOCS / "extending.md").read_text(), re.M):
        found |= {(module, name.strip()) for name in names.split(",")}
    for module, name in sorted(found - set(BESIDE)):
        if module != "limbeck.testing":  # its suites are modules
            yield module, name, getattr(import_module(module), name)


def mistakes() -> list[type[errors.LimbeckError]]:
    """The exceptions of `limbeck.errors`, in the order in which they stand there."""
    found = (held for held in vars(errors).values() if inspect.isclass(held))
    return [held for held in found if issubclass(held, errors.LimbeckError)]


def entry(module: str, name: str, held: Any) -> str:
    """A name's heading, signature, docstring and, of a class, its fields and members."""
    head = f"\n### {module}.{name}\n\n"
    if inspect.isclass(held) and issubclass(held, Enum):
        return f"{head}{said(held)}\n{', '.join(f'`{one.value}`' for one in held)}\n"
    if inspect.isclass(held):
        return head + said(held) + fields(held) + members(held)
    if inspect.isfunction(inspect.unwrap(held)):
        return head + code(name + signature(held)) + said(held)
    return head + code(f"{name} = {str(held).replace('collections.abc.', '').replace('typing.', '')}")


def code(text: str) -> str:
    return f"```text\n{text}\n```\n\n"


def said(held: Any) -> str:
    """The docstring."""
    return f"{(inspect.getdoc(held) or '').strip()}\n"


def signature(function: Any) -> str:
    """As it stands in the code, a parameter a line where it does not fit one; without `self`."""
    found = inspect.signature(inspect.unwrap(function))
    shown = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    parts = [_parameter(one) for one in shown]
    for place, one in enumerate(shown):
        if one.kind is inspect.Parameter.KEYWORD_ONLY:
            parts.insert(place, "*")
            break
    gives = "" if found.return_annotation is found.empty else f" -> {_text(found.return_annotation)}"
    line = f"({', '.join(parts)}){gives}"
    return line if len(line) <= WIDTH else "(\n" + "".join(f"    {part},\n" for part in parts) + f"){gives}"


def _parameter(one: inspect.Parameter) -> str:
    text = one.name if one.annotation is one.empty else f"{one.name}: {_text(one.annotation)}"
    text = ("**" if one.kind is one.VAR_KEYWORD else "*" if one.kind is one.VAR_POSITIONAL else "") + text
    return text if one.default is one.empty else f"{text} = {one.default!r}"


def _text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def fields(held: type) -> str:
    """What a value of this class holds: each field as written in its own body, with its remark."""
    lines = textwrap.dedent(inspect.getsource(held)).splitlines()
    (body,) = ast.parse("\n".join(lines)).body
    assert isinstance(body, ast.ClassDef)
    rows = []
    for place, part in enumerate(body.body):
        if isinstance(part, ast.AnnAssign | ast.Assign) and not (target := _target(part)).startswith("_"):
            remark = lines[part.end_lineno - 1][part.end_col_offset :].strip().removeprefix("#").strip()  # type: ignore[operator]
            after = body.body[place + 1] if place + 1 < len(body.body) else None
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                remark = " ".join(str(after.value.value).split())
            kind = ast.unparse(part.annotation) if isinstance(part, ast.AnnAssign) else ""
            value = "" if part.value is None or "field(" in (text := ast.unparse(part.value)) else text
            rows.append([f"`{target}`", f"`{kind}`" if kind else "", f"`{value}`" if value else "", remark])
    if not rows:
        return ""
    shown = [i for i in range(4) if i == 0 or any(row[i] for row in rows)]
    names = ["field", "type", "default", ""]
    table = [
        [names[i] for i in shown],
        ["---"] * len(shown),
        *([row[i].replace("|", "\\|") for i in shown] for row in rows),
    ]
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in table)


def _target(part: ast.AnnAssign | ast.Assign) -> str:
    return ast.unparse(part.target if isinstance(part, ast.AnnAssign) else part.targets[0])


def members(held: type) -> str:
    """Each public method and property of the class's own body with what it says."""
    rows = []
    for name, part in vars(held).items():
        function = getattr(part, "func", None) or getattr(part, "fget", None) or getattr(part, "__func__", part)
        if name.startswith("_") or not inspect.isfunction(function) or not (doc := inspect.getdoc(getattr(held, name))):
            continue
        called = "" if not callable(part) and not hasattr(part, "__func__") else signature(function)
        gives = inspect.signature(function).return_annotation
        shown = f".{name}{' '.join(called.split())}" if called else f".{name} -> {_text(gives)}"
        rows.append(f"- `{shown.replace('( ', '(').replace(', )', ')')}`\n" + textwrap.indent(doc, "  ") + "\n")
    return "\n" + "".join(rows) if rows else ""


if __name__ == "__main__":
    (DOCS / "api.md").write_text(page())
