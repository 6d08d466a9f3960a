"""Sources: real labelled data with fixed splits, declared preprocessing and a digest."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field

from limbeck.digest import digest
from limbeck.errors import BadData, BadSetting, UnknownName
from limbeck.memory import peak_memory
from limbeck.samples import Domain, Samples
from limbeck.sources._arrays import checked_classes, checked_labels, checked_samples, numbered
from limbeck.sources._draws import Labelled, draw_fraction, draw_number, sample_keys
from limbeck.sources._parts import Part
from limbeck.sources._preprocessing import Kind, Preprocessing, as_float, fit
from limbeck.variants import Variant, build, make, resolve_function

__all__ = [
    "OwnSource",
    "Preprocessing",
    "RawData",
    "Source",
    "SourceVariant",
    "from_function",
    "given_source",
    "load_source",
]

V = TypeVar("V", bound=Variant)
FORMS = {".csv": "table", ".tsv": "table", ".parquet": "embeddings"}
"""The source that reads a file, by its ending; npz for all others."""


@dataclass(frozen=True)
class RawData:
    """What a source's files hold, before splits and preprocessing. Arrays in any layout that `_arrays` knows."""

    name: str
    train: Labelled
    test: Labelled | None = None  # drawn from the training samples by digest where there is none
    validation: Labelled | None = None  # likewise
    class_names: tuple[str, ...] = ()  # numbers where there are none
    mirror: bool = True
    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    test_fraction: float = 0.2


@dataclass(frozen=True)
class Source:
    """A real labelled data set, prepared: training, validation and test samples that never change.

    Validation is drawn from the training file by digest; the test split is touched by evaluation alone. Samples are
    float32, images (n, channels, height, width) or vectors (n, features), as `preprocessing` made them.
    """

    name: str
    spec: str  # the text that `load_source` reads it from
    domain: Domain
    class_names: tuple[str, ...]  # (classes,)
    # Sources are equal where their digests are.
    train: Samples = field(compare=False, repr=False)  # what is distilled, and trained on for the reference
    validation: Samples = field(compare=False, repr=False)  # what choices are made on
    test: Samples = field(compare=False, repr=False)  # read by evaluation alone
    digest: str  # SHA-256 over all samples, labels and preprocessing
    preprocessing: Preprocessing  # `apply` prepares other samples in the same way, `undo` takes it back
    loading_bytes: int = field(default=0, compare=False, repr=False)  # largest memory while it was read; 0: not known

    def class_counts(self) -> tuple[int, ...]:
        """Training samples of each class."""
        return tuple(torch.bincount(self.train.group, minlength=self.domain.classes).tolist())

    @classmethod
    def from_arrays(
        cls,
        x_train: Any,
        y_train: Any,
        x_test: Any = None,
        y_test: Any = None,
        *,
        name: str = "arrays",
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        train_limit: int = 0,
        preprocessing: Kind = "standardise",
        mirror: bool = True,
        class_names: tuple[str, ...] | list[str] | None = None,
        layout: Literal["auto", "nchw", "nhwc"] = "auto",
    ) -> Source:
        """A source of the user's own arrays: images (NCHW, NHWC or NHW; uint8 or float) or vectors (n, features).

        Labels number the classes 0, 1, 2, ..., or are texts: the class names then. Without test arrays, `test_fraction`
        of each class is held out by digest.
        Raises `BadData` with what is wrong, `BadSetting` for settings out of range.
        """
        if (x_test is None) != (y_test is None):
            raise BadData("x_test and y_test belong together. Give both, or neither to have a test split drawn.")
        test = None if x_test is None else (x_test, y_test)
        raw = RawData(
            name, (x_train, y_train), test, None, tuple(class_names or ()), mirror, layout, _fraction(test_fraction)
        )
        chosen = {"preprocessing": preprocessing, "validation_fraction": validation_fraction}
        return prepare(raw, name, build_as(Preparation, {**chosen, "train_limit": train_limit}))


class Preparation(Variant):
    """What every source lets be chosen: preprocessing, the share held out to validate on, a limit for small studies."""

    preprocessing: Kind = "standardise"
    validation_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    train_limit: int = Field(default=0, ge=0, description="training samples kept, drawn by digest; 0 keeps all")


class SourceVariant(Preparation):
    """A source's settings. Its file says how its samples are read; splits and preprocessing are the same for all."""

    @abstractmethod
    def read(self) -> RawData:
        """The raw samples and labels. Raises `MissingData`, `CorruptFile` or `BadData`."""

    def load(self) -> Source:
        """The source, split and prepared."""
        return prepare(self.read(), self.spec, self)


class OwnSource(SourceVariant):
    """A source of the user's own: `package.module:function(setting=value)`.

    The function is called as `function(**settings)` and returns a `Source`, or the arrays (x_train, y_train) or
    (x_train, y_train, x_test, y_test). `preprocessing`, `validation_fraction` and `train_limit` go to limbeck, unless
    the function has parameters of these names.
    """

    function: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def spec(self) -> str:
        fields = Preparation.model_fields
        return self._written([key for key in fields if getattr(self, key) != fields[key].get_default()])

    @property
    def full_spec(self) -> str:
        return self._written(list(Preparation.model_fields))

    def load(self) -> Source:
        made = self._made()
        return made if isinstance(made, Source) else prepare(self._raw(made), self.spec, self)

    def read(self) -> RawData:
        return self._raw(self._made())

    def _made(self) -> Any:
        return resolve_function(self.function)(**dict(self.settings))

    def _raw(self, made: Any) -> RawData:
        if not isinstance(made, tuple | list) or len(made) not in (2, 4):
            raise BadData(
                f"{self.function} returned {type(made).__name__}. It must return a limbeck.Source, or the arrays "
                "(x_train, y_train) or (x_train, y_train, x_test, y_test)."
            )
        return RawData(self.function, (made[0], made[1]), (made[2], made[3]) if len(made) == 4 else None)

    def _written(self, keys: list[str]) -> str:
        inner = [f"{key}={value}" for key, value in (*self.settings, *((key, getattr(self, key)) for key in keys))]
        return self.function + (f"({', '.join(inner)})" if inner else "")


def from_function(name: str, settings: dict[str, Any]) -> OwnSource:
    """The source that a function of the user's own returns; imported and its settings checked here, to fail early."""
    signature = inspect.signature(resolve_function(name))
    chosen = {key: value for key, value in settings.items() if _is_preparation(key, signature)}
    passed = {key: value for key, value in settings.items() if key not in chosen}
    try:
        signature.bind(**passed)
    except TypeError as error:
        given = f"the settings {', '.join(passed)}" if passed else "no settings"
        raise BadSetting(f"{name}{signature} can't be called with {given}: {error}.") from None
    return build_as(OwnSource, {"function": name, "settings": tuple(passed.items()), **chosen})


def _is_preparation(key: str, signature: inspect.Signature) -> bool:
    return key in Preparation.model_fields and key not in signature.parameters


def build_as(variant: type[V], settings: dict[str, Any]) -> V:
    """`variants.build` with the variant's own type."""
    made = build(variant, settings)
    assert isinstance(made, variant)
    return made


@lru_cache(maxsize=2)
def load_source(spec: str) -> Source:
    """Read a source from its text, such as `digits` or `npz(path=mine.npz)`; the last two read stay in memory.

    Raises `UnknownName` or `BadSetting` for a text that names none; `MissingData`, `CorruptFile`, `BadData` for files.
    """
    try:
        with peak_memory() as peak:
            source: Source = make("sources", spec).load()
            source = replace(source, loading_bytes=peak())
    except (UnknownName, BadSetting) as error:
        if not Path(spec).exists():
            raise
        form = "image-folder" if Path(spec).is_dir() else FORMS.get(Path(spec).suffix.lower(), "npz")
        raise UnknownName(f"{error} To read your own files, write {form}(path={spec}).") from None
    return source


def given_source(source: Any) -> Source:
    """A source that was given as such or as its text. Raises `BadSetting` for anything else, such as an array."""
    if isinstance(source, str):
        return load_source(source)
    if not isinstance(source, Source):
        raise BadSetting(
            f"the source is a {type(source).__name__}. Give the text of one, such as 'digits', or make one of your "
            "arrays: limbeck.Source.from_arrays(x, y)."
        )
    return source


def prepare(raw: RawData, spec: str, chosen: Preparation) -> Source:
    """Check, split and preprocess raw data.

    What is not given is drawn from the training samples by digest, stratified by class: first test, then validation,
    then `train_limit`. The preprocessing is fitted to the training samples before that limit, so that sets distilled
    under different limits can be compared.
    """
    name, mirror, test_fraction = raw.name, raw.mirror, raw.test_fraction
    train, test, validation, names = _checked_parts(raw)
    del raw  # arrays of a type that was not kept as it is are not needed any more
    keys = sample_keys(train.x, train.labels)
    if test is None:
        held = draw_fraction(train.labels, keys, test_fraction)
        test, train = train.where(held), train.where(~held)
        checked_classes(train.labels, names, test.labels)
    if validation is None:
        held = draw_fraction(train.labels, keys[train.rows], chosen.validation_fraction)
        validation, train = train.where(held), train.where(~held)
    fitted = fit(chosen.preprocessing, train)
    train = train.where(draw_number(train.labels, keys[train.rows], chosen.train_limit))
    identity = digest([[part.digest for part in (train, validation, test)], fitted.digest, list(names), mirror])
    trained, validated, tested = (_prepared(part, fitted, len(names)) for part in (train, validation, test))
    domain = Domain(train.shape[1:], len(names), mirror)
    return Source(name, spec, domain, names, trained, validated, tested, identity, fitted)


def _checked_parts(raw: RawData) -> tuple[Part, Part | None, Part | None, tuple[str, ...]]:
    """Training, test and validation samples, those that are there, and the class names, all checked."""
    x = checked_samples(raw.train[0], raw.layout)
    given, named = numbered(raw.train[1], raw.class_names)
    labels = checked_labels(given, len(x), len(named))
    names = checked_classes(labels, named)
    test = _checked(raw.test, raw.layout, x.shape[1:], names, "test")
    validation = _checked(raw.validation, raw.layout, x.shape[1:], names, "validation")
    return Part.whole(x, labels), test, validation, names


def _checked(
    split: Labelled | None, layout: str, shape: tuple[int, ...], names: tuple[str, ...], which: str
) -> Part | None:
    if split is None:
        return None
    x = checked_samples(split[0], layout, f"x_{which}")
    if x.shape[1:] != shape:
        raise BadData(
            f"x_{which} holds samples of shape {x.shape[1:]}, x_train of {shape}. Bring both into one shape and layout."
        )
    labels, _ = numbered(split[1], names, f"y_{which}")
    return Part.whole(x, checked_labels(labels, len(x), len(names), f"y_{which}"))


def _prepared(part: Part, preprocessing: Preprocessing, classes: int) -> Samples:
    """In float32, once: raw samples are read in pieces."""
    x, done = torch.empty(part.shape, dtype=torch.float32), 0
    for piece in part.pieces():
        x[done : done + len(piece)] = preprocessing.apply(as_float(piece))
        done += len(piece)
    return Samples.hard(x, torch.from_numpy(part.labels), classes)


def _fraction(value: float) -> float:
    if not 0.0 < value < 1.0:
        raise BadSetting(f"test_fraction={value} is refused. Give a share between 0 and 1, such as 0.2.")
    return value
