"""Families of interchangeable variants: one file is one variant, its class is its schema, its name is its file's name.

A variant is written `name` or `name(setting=value, ...)`, on the command line, in study files and in records alike.
`dm(steps=200)` names the class in `limbeck/methods/dm.py`; other packages add variants through entry points of the
group `limbeck.<family>`; `package.module:Class` names a variant of the user's own without an entry point, and
`package.module:function` a function of the user's own where a family takes one.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
from functools import cache
from importlib.metadata import distributions, entry_points
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from limbeck.errors import BadSetting, UnknownName, nearest, own_frames, plainly
from limbeck.spelling import parse, written
from limbeck.trust import check_trusted


class Variant(BaseModel):
    """Settings of one variant: frozen, with real defaults, unknown keys refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    later: ClassVar[frozenset[str]] = frozenset()
    """Settings that came after results were kept under this name, and change nothing at their defaults."""

    @classmethod
    def variant_name(cls) -> str:
        """The variant's name: that of its file, with hyphens; `package.module:Class` where no family has that file."""
        if not cls.__module__.startswith("limbeck.") and cls.__module__ not in plugged_modules():
            return f"{cls.__module__}:{cls.__qualname__}"
        return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")

    @property
    def spec(self) -> str:
        """The shortest text that names this variant: its name and the settings that differ from the defaults."""
        fields = type(self).model_fields
        changed = [
            f"{key}={written(value)}"
            for key in fields
            if (value := getattr(self, key)) != fields[key].get_default(call_default_factory=True)
        ]
        return self.variant_name() + (f"({', '.join(changed)})" if changed else "")

    @property
    def full_spec(self) -> str:
        """The name with every setting, defaults included: what a digest is taken of, so new defaults are new work.

        Only settings of `later` are left out at their defaults: kept results stay valid.
        """
        fields, value = type(self).model_fields, {key: getattr(self, key) for key in type(self).model_fields}
        told = [key for key in fields if key not in self.later or value[key] != fields[key].default]
        settings = [f"{key}={written(value[key])}" for key in told]
        return self.variant_name() + (f"({', '.join(settings)})" if settings else "")

    def at_default(self, setting: str) -> bool:
        """Whether a setting has its default value, written out (as the cells of a study have it) or not."""
        return bool(getattr(self, setting) == type(self).model_fields[setting].default)

    @classmethod
    def summary(cls) -> str:
        """The first sentence of the docstring."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())

    @classmethod
    def about(cls) -> dict[str, Any]:
        """What a list of variants says of this one; families add columns of their own."""
        return {"name": cls.variant_name(), "summary": cls.summary(), "settings": cls.settings_about()}

    @classmethod
    def settings_about(cls) -> dict[str, Any]:
        """Every setting with its default; the text `required` where there is none."""
        fields = cls.model_fields.items()
        return {
            name: "required" if field.is_required() else field.get_default(call_default_factory=True)
            for name, field in fields
        }

    def with_settings(self, **changes: Any) -> Self:
        """A copy with some settings replaced, checked like any other."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**kept, **changes})


@cache
def members(family: str) -> dict[str, str]:
    """Name -> module of every variant of a family, those of other packages included."""
    package = importlib.import_module(f"limbeck.{family}")
    found = {
        module.name.replace("_", "-"): f"{package.__name__}.{module.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    }
    return found | {point.name: point.value for point in entry_points(group=f"limbeck.{family}")}


@cache
def plugged_modules() -> dict[str, str]:
    """The modules that other packages add to families by entry points, with the name and version of each package."""
    points = ((point, package) for package in distributions() for point in package.entry_points)
    return {
        point.module: f"{package.name} {package.version}"
        for point, package in points
        if point.group.startswith("limbeck.")
    }


@cache
def base(family: str) -> type[Variant]:
    """The class that every variant of a family derives from, named in the package and defined there or below."""
    package = importlib.import_module(f"limbeck.{family}")
    held = (one for one in vars(package).values() if inspect.isclass(one) and issubclass(one, Variant))
    return next(one for one in held if Variant in one.__bases__ and one.__module__.startswith(package.__name__))


def own_class(family: str, name: str) -> type[Variant] | None:
    """The user's own variant at `package.module:Class`; None for a function, or a class of another family.

    Raises `NotTrusted` or `UnknownName`.
    """
    found = resolve_function(name)
    return found if inspect.isclass(found) and issubclass(found, base(family)) else None


def find(family: str, name: str) -> type[Variant]:
    """The class of a variant, one of the user's own included. Raises `UnknownName` with the nearest name."""
    known = members(family)
    if ":" in name and name not in known and (plugged := own_class(family, name)):
        return plugged
    if name not in known:
        raise UnknownName(f"'{name}' is not in {family}. {nearest(name, known)}")
    module = importlib.import_module(known[name].partition(":")[0])
    own = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Variant) and member.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise BadSetting(f"{module.__name__} must define exactly one Variant class; it defines {len(own)}.")
    return own[0]


def make(family: str, text: str) -> Any:
    """Build a variant from its text. Raises `UnknownName` or `BadSetting`, naming the nearest valid word.

    A name with a colon is code of the user's own; raises `NotTrusted` where only a file that was read names it.
    """
    name, settings = parse(text)
    if ":" in name and name not in members(family):
        if own := own_class(family, name):
            return build(own, settings, text)
        plugged = getattr(importlib.import_module(f"limbeck.{family}"), "from_function", None)
        if plugged is None:
            raise UnknownName(
                f"'{name}' is no {base(family).__name__}. One of your own is a class that derives from "
                f"limbeck.{family}.{base(family).__name__}; see docs/extending.md. {nearest(name, members(family))}"
            )
        return plugged(name, settings)
    return build(find(family, name), settings, text)


def build(variant: type[Variant], settings: dict[str, Any], text: str = "") -> Variant:
    """Validate settings into a variant, turning pydantic's report into one readable sentence a setting."""
    try:
        return variant.model_validate(settings)
    except ValidationError as error:
        reasons = []
        # What is not known comes first: it is often what is missing, misspelt.
        for problem in sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden"):
            key = ".".join(str(part) for part in problem["loc"]) or "settings"
            if problem["type"] == "extra_forbidden":
                known = nearest(key, variant.model_fields)
                reasons.append(f"{variant.variant_name()} has no setting '{key}'. {known}")
            elif problem["type"] == "missing":
                reasons.append(f"{variant.variant_name()} needs '{key}'.")
            else:
                why = plainly(problem["msg"])
                why = f"it {why}" if why.startswith("must ") else why
                reasons.append(f"{variant.variant_name()}: {key}={problem['input']!r} is refused: {why}.")
        raise BadSetting(" ".join(reasons) + (f" (in '{text}')" if text else "")) from None


def resolve_function(name: str) -> Any:
    """Import `package.module:function`, from where Python finds packages or else from the folder that it runs in.

    Raises `NotTrusted` for one that only a file named, `UnknownName` with what is missing.
    """
    check_trusted(name)
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # last, so that no file of the user's own hides a package
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as error:
        where = f"{os.path.basename(error.filename or module_name)}, line {error.lineno}"
        raise BadSetting(f"module '{module_name}' can't be read: {error.msg} ({where}). Mend it.") from None
    except (ImportError, TypeError, ValueError) as error:  # the latter two for "" and for ".name"
        if own_frames(error):
            raise
        raise UnknownName(
            f"module '{module_name}' can't be imported ({error}). Install it or run where Python can find it."
        ) from None
    if not callable(function := getattr(module, attribute, None)):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UnknownName(f"'{module_name}' has no function '{attribute}'. {nearest(attribute, functions)}")
    return function
