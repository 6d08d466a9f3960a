"""A study's settings: what is distilled, how, how often, and under which configurations it is judged."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, StrictInt, StrictStr, field_validator

from limbeck.configuration import Configuration
from limbeck.errors import BadSetting, MissingData
from limbeck.store import safe_name
from limbeck.study.additions import Addition
from limbeck.study.cells import Cell
from limbeck.study.grid import Facts, Grid
from limbeck.trust import trust
from limbeck.variants import Variant, build, make

if TYPE_CHECKING:
    from limbeck.methods import Method


class Budget(Variant):
    """How long a distillation may take; 0 leaves it to the method.

    A budget in steps is repeatable; one in seconds gives the machine a say in the result.
    """

    steps: StrictInt = Field(0, ge=0)
    seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    candidates: StrictInt = Field(4, ge=1)

    @classmethod
    def variant_name(cls) -> str:
        return "[distill]"


class Study(Variant):
    """A grid of methods x sizes x sets x configurations x seeds, as a TOML file says it.

    `sets` synthetic sets are made for each method and size under `distill_configuration` (the first of
    `configurations` where it is empty), and each is trained on with `seeds` seeds under every configuration;
    `reference_seeds` trainings on the full data give each configuration's own reference. Results of one kind of
    `device` are not to the bit those of another, so it is part of what a cell is; on which of several such devices a
    cell runs is up to the runner.
    """

    name: StrictStr
    source: StrictStr = "digits"
    methods: tuple[StrictStr, ...] = Field(min_length=1)
    per_class: tuple[StrictInt, ...] = Field(min_length=1)
    configurations: tuple[StrictStr, ...] = Field(min_length=1)
    distill_configuration: StrictStr = ""
    sets: StrictInt = Field(3, ge=1)
    seeds: StrictInt = Field(2, ge=1)
    reference_seeds: StrictInt = Field(3, ge=1)
    seed: StrictInt = 0
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    target_gap: float = Field(0.05, gt=0, allow_inf_nan=False)
    distill: Budget = Budget()

    @field_validator("per_class")
    @classmethod
    def _positive(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if min(values, default=1) < 1:
            raise ValueError("every size must be at least 1")
        return values

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a study file. Raises `MissingData`, `BadSetting` or `UnknownName`, naming the nearest valid word."""
        if Path(path).suffix in (".csv", ".tsv", ".parquet"):
            raise BadSetting(f"{path} is a table, and no study. `limbeck plan` and `limbeck laws` read tables.")
        try:
            text = Path(path).read_bytes().decode()
        except OSError as error:
            raise MissingData(
                f"the study file {path} can't be read: {error.strerror}. Check the path; studies/ holds examples."
            ) from None
        except UnicodeDecodeError:
            raise BadSetting(f"{path} is no text in UTF-8. A study is a TOML file; see studies/.") from None
        trust(text)
        return cls.read(text, str(path))

    @classmethod
    def read(cls, text: str, where: str = "the study") -> Self:
        """Read a study from its TOML text; every name and setting in it is checked here, before anything runs."""
        try:
            settings = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadSetting(f"{where} is not TOML: {error}. Texts stand in quotes, lists in [ ].") from None
        if isinstance(budget := settings.get("distill"), dict):
            settings["distill"] = build(Budget, budget, where)
        study = build(cls, settings, where)
        assert isinstance(study, cls)
        study.check()
        return study

    def on(self, device: str) -> Self:
        """The study on another kind of device. Raises `BadSetting`."""
        moved = build(type(self), {**{key: getattr(self, key) for key in self.model_fields_set}, "device": device})
        assert isinstance(moved, type(self))
        return moved

    def check(self) -> None:
        """Parse everything that is named, so that a mistake shows before the first cell. Raises as `load`."""
        safe_name(self.name)
        make("sources", self.source)
        listed: dict[str, list[Any]] = {
            "methods": [method.full_spec for method in self.made],
            "configurations": [configuration.digest for configuration in self.evaluated],
            "per_class": list(self.per_class),
        }
        for what, keys in listed.items():
            twice = [str(getattr(self, what)[place]) for place, key in enumerate(keys) if key in keys[:place]]
            if twice:
                raise BadSetting(f"{what} holds '{twice[0]}' twice (defaults written out). Keep one of the two.")
        assert self.distilled is not None

    @cached_property
    def made(self) -> tuple[Method, ...]:
        """The methods, built."""
        return tuple(make("methods", text) for text in self.methods)

    @cached_property
    def evaluated(self) -> tuple[Configuration, ...]:
        """The configurations that sets are judged under."""
        return tuple(Configuration.parse(text) for text in self.configurations)

    @cached_property
    def distilled(self) -> Configuration:
        """The configuration that sets are made under."""
        return Configuration.parse(self.distill_configuration or self.configurations[0])

    def facts(self) -> Facts:
        """What the grid has to know of the source, which is read for it."""
        from limbeck.sources import load_source

        return Facts.of(load_source(self.source))

    def cells(self, facts: Facts | None = None, additions: Iterable[Addition] = ()) -> list[Cell]:
        """Every cell, each after those that it needs. Raises `BadData` for a class smaller than `per_class`."""
        return Grid(self, facts or self.facts(), additions).cells()

    def settings(self) -> dict[str, Any]:
        """All settings as JSON, defaults included: what says whether two study files are the same study.

        The device is left out where it is the processor, as in studies that were made before there was a choice.
        """
        held = self.model_dump(mode="json")
        return held if self.device != "cpu" else {key: value for key, value in held.items() if key != "device"}

    def toml(self) -> str:
        """The study as a TOML file, every setting written out; `read` gives the same study back."""
        settings = self.settings()
        budget = settings.pop("distill")
        # JSON writes texts, numbers and lists as TOML does.
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
        return "\n".join([*lines, "", "[distill]", *(f"{key} = {value}" for key, value in budget.items()), ""])
