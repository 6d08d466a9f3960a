"""A synthetic set: k samples with soft labels, how they are stored, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.digest import digest
from limbeck.errors import BadData, BadSetting, CorruptFile, MissingData
from limbeck.labeller import PREFIX, SETTINGS, Labeller, labelled
from limbeck.samples import Domain, Samples
from limbeck.spelling import parse
from limbeck.store import read_tensors, tensor_digest, write_tensors
from limbeck.trust import check_chosen
from limbeck.variants import make

FORMAT = 2
PLAIN = 1  # of sets without a labeller, which versions that know of none read as they are


@dataclass(frozen=True)
class SyntheticSet:
    """k distilled samples, with all that is needed to train on them and to repeat them.

    `tensors` is the stored form; `samples()` unfolds it through the parameterization into training samples. A set may
    carry a labeller, which then labels every view of them.
    `preprocessing` is the digest-bearing description of how the source's samples were prepared, and travels with the
    set: evaluation refuses a source that was prepared in another way.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)  # by name, such as pixels (stored, *shape), logits, step_size
    group: Tensor = field(repr=False)  # (stored,) int64, the class that each stored sample stands for
    parameterization: str  # how the tensors unfold
    domain: Domain
    preprocessing: Mapping[str, Any]
    method: str = "unknown"
    source: str = "unknown"
    per_class: int = 0  # stored samples of each class
    seed: int = 0  # another seed is another replicate set
    configuration: str | None = None  # what it was distilled for
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)  # steps, seconds, losses, versions, digests

    @property
    def k(self) -> int:
        """The number of stored samples, all classes together."""
        return len(self.group)

    @property
    def bytes(self) -> int:
        """Storage of every tensor, soft labels and a labeller included; hard labels cost 8 bytes a sample."""
        return sum(t.numel() * t.element_size() for t in self.tensors.values()) + 8 * len(self.group)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the stored tensors and how they unfold."""
        sums = {name: tensor_digest(tensor) for name, tensor in self.tensors.items()}
        return digest([sums, tensor_digest(self.group), self.parameterization, list(self.domain.shape)])

    @property
    def step_size(self) -> float | None:
        """The learned training step size, where the method learned one."""
        return float(self.tensors["step_size"]) if "step_size" in self.tensors else None

    def samples(self) -> Samples:
        """The training samples that the stored tensors unfold to (several a stored one, with tiles)."""
        unfolded: Samples = self._form.unfold(dict(self.tensors), self.group, self.domain)
        return labelled(unfolded, self.tensors, self.domain)

    @property
    def labeller(self) -> Labeller | None:
        """The network that labels every view of the samples, where the set carries one."""
        return Labeller.read(self.tensors, self.domain)

    def labelled_by(self, labeller: Labeller) -> SyntheticSet:
        """The same samples, every view of which this network labels wherever they are trained on."""
        kept = {name: tensor for name, tensor in self.tensors.items() if not name.startswith(PREFIX)}
        return replace(self, tensors={**kept, **labeller.to("cpu", None).tensors()})

    @property
    def _form(self) -> Any:
        """The parameterization. Raises `NotTrusted` for code that was not asked for."""
        check_chosen(parse(self.parameterization)[0])
        return make("parameterizations", self.parameterization)

    def first(self, per_class: int) -> SyntheticSet:
        """The first `per_class` stored samples of each class, as a set: for a smaller budget or continual learning.

        One that was distilled at that size is usually better: the samples of a set are made to be used together (Feng,
        Vedantam & Kempe, ICLR 2024). What all samples share is kept whole. Raises `BadSetting` where there are fewer.
        """
        counts = torch.bincount(self.group)
        if not 1 <= per_class <= int(counts[counts > 0].min()):
            fewest = int(counts[counts > 0].min())
            raise BadSetting(f"per_class={per_class} is refused: this set has {fewest} samples of its smallest class.")
        each = [(self.group == label).nonzero().flatten()[:per_class] for label in range(len(counts))]
        kept = torch.cat(each).sort().values
        own = {self._form.content, "logits"}
        tensors = {name: tensor[kept] if name in own else tensor for name, tensor in self.tensors.items()}
        made = replace(self, tensors=tensors, group=self.group[kept], per_class=per_class)
        return made.with_provenance(part_of=self.digest)

    def with_provenance(self, **facts: Any) -> SyntheticSet:
        """A copy that carries more facts of how it was made."""
        return replace(self, provenance={**self.provenance, **facts})

    def save(self, folder: Path | str, name: str = "set") -> Path:
        """Write `<name>.safetensors` and `<name>.json` into a folder; returns the folder."""
        about = {
            "format": FORMAT if SETTINGS in self.tensors else PLAIN,
            "kind": "synthetic set",
            "parameterization": self.parameterization,
            "domain": {"shape": list(self.domain.shape), "classes": self.domain.classes, "mirror": self.domain.mirror},
            "preprocessing": dict(self.preprocessing),
            "method": self.method,
            "source": self.source,
            "per_class": self.per_class,
            "k": self.k,
            "seed": self.seed,
            "configuration": self.configuration,
            "provenance": dict(self.provenance),
            "digest": self.digest,
        }
        write_tensors(Path(folder), name, {**self.tensors, "group": self.group}, about)
        return Path(folder)

    @classmethod
    def load(cls, folder: Path | str, name: str = "set") -> SyntheticSet:
        """Read a set. Raises `MissingData`, or `CorruptFile` where a bit differs from what was written."""
        place = Path(folder)
        if not (place / f"{name}.json").exists() and not (place / f"{name}.safetensors").exists():
            what = "is no folder" if place.is_file() else "holds no set" if place.is_dir() else "is not there"
            beside = " but a study, whose results `limbeck study table` shows" * (place / "study.json").exists()
            raise MissingData(f"{folder} {what}{beside}. Give the folder that `limbeck distill` or `import` made.")
        tensors, about = read_tensors(place, name)
        if about.get("kind") != "synthetic set":
            raise BadData(f"{folder} holds no synthetic set but {about.get('kind', 'something else')}.")
        if about.get("format", 0) > FORMAT:
            raise BadData(f"{folder} was written by a newer limbeck (format {about['format']}). Upgrade limbeck.")
        try:
            domain = Domain(tuple(about["domain"]["shape"]), about["domain"]["classes"], about["domain"]["mirror"])
            group = tensors.pop("group").to(torch.int64)
            own = {key: about[key] for key in ("parameterization", "preprocessing", "method", "source", "per_class")}
            own |= {key: about[key] for key in ("seed", "configuration", "provenance")}
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{folder} lacks {error}. Restore it from a copy or distil it again.") from None
        return cls(tensors=tensors, group=group, domain=domain, **own)
