"""The grid of a study: method x k x set x configuration x seed, as cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from limbeck.dynamics import Dynamics
from limbeck.errors import BadData
from limbeck.methods import Matching, check_applicable
from limbeck.states import batch_norms
from limbeck.streams import derive
from limbeck.study.additions import Addition
from limbeck.study.cells import Cell

SELECTION_COST = 1.0
"""Of a set that is chosen, not trained for: next to nothing, and nothing to judge trainings by."""

if TYPE_CHECKING:
    from limbeck.configuration import Configuration
    from limbeck.methods import Method
    from limbeck.samples import Domain
    from limbeck.sources import Source
    from limbeck.states import ExpertPlan
    from limbeck.study import Study


@dataclass(frozen=True)
class Facts:
    """What a grid has to know of its source: enough to make cells without reading the samples again."""

    spec: str
    digest: str
    shape: tuple[int, ...]
    mirror: bool
    class_names: tuple[str, ...]
    counts: tuple[int, ...]  # training samples of each class

    @classmethod
    def of(cls, source: Source) -> Facts:
        """Read off a source."""
        domain = source.domain
        names = tuple(str(name) for name in source.class_names)
        return cls(source.spec, source.digest, tuple(domain.shape), domain.mirror, names, source.class_counts())

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Facts:
        """From a record."""
        lists: dict[str, Any] = {key: tuple(value) for key, value in held.items() if isinstance(value, list)}
        return cls(**{**held, **lists})

    def about(self) -> dict[str, Any]:
        """For a record."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def domain(self) -> Domain:
        """What samples look like, and how many classes there are."""
        from limbeck.samples import Domain

        return Domain(self.shape, len(self.counts), self.mirror)


class Grid:
    """The cells of a study on a source, with those that were added to it.

    Seeds are derived from what they are for, never from an order: set seeds differ between methods and sizes, training
    seeds between sets and configurations, so that replicates are independent and a larger study keeps what a smaller
    one ran.

    Raises `BadData` for a class with fewer training samples than the largest `per_class` and for configurations that
    can't read such samples.
    """

    def __init__(self, study: Study, facts: Facts, additions: Iterable[Addition] = ()) -> None:
        self._study = study
        self._additions = tuple(additions)
        self._facts = facts
        self._source = {"spec": facts.spec, "digest": facts.digest}
        # Cells of the processor have the ids that they had before there was a choice.
        self._device = {"device": study.device} if study.device != "cpu" else {}
        self._domain = facts.domain
        self._costs: dict[tuple[Configuration, int], float] = {}
        most = max([*study.per_class, *(one.per_class for one in self._additions)])
        for name, count in zip(facts.class_names, facts.counts, strict=True):
            if count < most:
                raise BadData(
                    f"class '{name}' of {facts.spec} has {count} training samples, fewer than per_class = {most}. "
                    f"Lower per_class to {count} or less, or give the class more samples."
                )
        for configuration in (study.distilled, *study.evaluated):
            configuration.augmentation.check(self._domain)
            configuration.domain.check(self._domain)

    def cells(self) -> list[Cell]:
        """Every cell, each after those that it needs."""
        experts: dict[str, Cell] = {}
        sets = list(self._sets(experts))
        trainings = [cell for made in sets for cell in self._trainings(made)]
        return self._in_order(list(self._references()), experts, sets, trainings)

    def of_additions(self) -> list[Cell]:
        """The cells of the additions alone, each after those that it needs."""
        return self._in_order([], {}, [], [])

    def _in_order(
        self, references: list[Cell], experts: dict[str, Cell], sets: list[Cell], trainings: list[Cell]
    ) -> list[Cell]:
        """The cells and those of the additions, each once."""
        for addition in self._additions:
            of_kind = {"reference": references, "distill": sets, "evaluate": trainings}
            for cell in self.added(addition, experts):
                of_kind[cell.kind].append(cell)
        every = [*references, *experts.values(), *sets, *trainings]
        return list({cell.id: cell for cell in every}.values())

    def added(self, addition: Addition, experts: dict[str, Cell]) -> list[Cell]:
        """The cells of one addition but its experts, which go into `experts`; none for what the study no longer has."""
        configuration = next((one for one, text in self._texts if text == addition.configuration), None)
        method = next((one for one in self._study.made if one.full_spec == addition.method), None)
        if configuration is None or (addition.method and method is None):
            return []
        if method is None:
            return [self._reference(configuration, addition.configuration, index) for index in addition.replicates]
        check_applicable(method, self._study.distilled, self._domain, addition.per_class)
        made = self._set(method, addition.per_class, addition.set, self._experts(method, addition.per_class, experts))
        return [made, self._training(made, configuration, addition.configuration, list(addition.replicates))]

    def _references(self) -> Iterator[Cell]:
        for configuration, text in self._texts:
            for index in range(self._study.reference_seeds):
                yield self._reference(configuration, text, index)

    def _reference(self, configuration: Configuration, text: str, index: int) -> Cell:
        payload = {
            "source": self._source,
            **self._device,
            "configuration": text,
            "seeds": [self._seed("reference", text, index)],
            "replicates": [index],
        }
        return Cell("reference", payload, cost=self._training_cost(configuration, sum(self._facts.counts)))

    def _sets(self, experts: dict[str, Cell]) -> Iterator[Cell]:
        for method in self._study.made:
            for per_class in self._study.per_class:
                check_applicable(method, self._study.distilled, self._domain, per_class)
                needs = self._experts(method, per_class, experts)
                for index in range(self._study.sets):
                    yield self._set(method, per_class, index, needs)

    def _set(self, method: Method, per_class: int, index: int, needs: tuple[tuple[str, ...], ...]) -> Cell:
        walked, taught = needs
        payload = {
            "source": self._source,
            **self._device,
            "method": method.full_spec,
            "configuration": self._study.distilled.full_spec,
            "per_class": per_class,
            "set": index,
            "seed": self._seed("distill", method.full_spec, per_class, index),
            "budget": self._study.distill.model_dump(),
            "experts": list(walked),
        }
        # Methods whose sets carry no teacher have the ids that they had before there was a choice.
        payload |= {"teachers": list(taught)} if taught else {}
        # Where networks have batch norms, sets were others before these held the statistics of real samples.
        walk = method.states(per_class) if isinstance(method, Matching) and self._normed else None
        payload |= {"statistics": "real"} if walk and walk.looks_on_real else {}
        return Cell("distill", payload, (*walked, *taught), self._distillation_cost(method, per_class))

    @cached_property
    def _normed(self) -> bool:
        """Whether sets are distilled with a network that has batch norms."""
        return bool(batch_norms(Dynamics(self._study.distilled, self._domain).network.module))

    def _experts(self, method: Method, per_class: int, experts: dict[str, Cell]) -> tuple[tuple[str, ...], ...]:
        """The ids of the experts that a method walks along and of the further teachers that its sets carry; both are
        added to `experts`."""
        configuration = self._study.distilled
        walked = Dynamics(method.dynamics_configuration(configuration, self._domain, per_class), self._domain)
        plans = (method.expert_plan(walked), method.further_plan(configuration, walked))
        return tuple(self._trained(plan, experts) if plan else () for plan in plans)

    def _trained(self, plan: ExpertPlan, experts: dict[str, Cell]) -> tuple[str, ...]:
        samples = sum(self._facts.counts)
        cost = 3.0 * plan.configuration.architecture.flops(self._domain) * samples * plan.epochs
        made = [
            Cell("expert", {"source": self._source, **self._device, **plan.settings(), "number": number}, cost=cost)
            for number in range(plan.count)
        ]
        experts.update((cell.id, cell) for cell in made)
        return tuple(cell.id for cell in made)

    def _distillation_cost(self, method: Method, per_class: int) -> float:
        """A rough guess, good enough to start long work early: passes over real and synthetic samples."""
        budget = self._study.distill
        steps = min(method.outer_steps(), budget.steps or method.outer_steps())
        if steps == 0:
            return SELECTION_COST
        forward = self._study.distilled.architecture.flops(self._domain)
        real = method.batch_real if isinstance(method, Matching) else 0
        batch = len(self._facts.counts) * (2 * per_class + real)
        validation = self._training_cost(self._study.distilled, per_class * len(self._facts.counts))
        return 3.0 * float(steps * forward * batch) + budget.candidates * validation

    def _trainings(self, made: Cell) -> Iterator[Cell]:
        for configuration, text in self._texts:
            yield self._training(made, configuration, text, list(range(self._study.seeds)))

    def _training(self, made: Cell, configuration: Configuration, text: str, replicates: list[int]) -> Cell:
        k = made.payload["per_class"] * len(self._facts.counts)
        payload = {
            "source": self._source,
            **self._device,
            "method": made.payload["method"],
            "per_class": made.payload["per_class"],
            "set": made.payload["set"],
            "distill": made.id,
            "configuration": text,
            "seeds": [self._seed("evaluate", made.id, text, index) for index in replicates],
            "replicates": replicates,
        }
        return Cell("evaluate", payload, (made.id,), self._training_cost(configuration, k) * len(replicates))

    @cached_property
    def _texts(self) -> list[tuple[Configuration, str]]:
        return [(configuration, configuration.full_spec) for configuration in self._study.evaluated]

    def _seed(self, *purpose: str | int) -> int:
        """A seed for one purpose, small enough for every JSON reader."""
        return derive(self._study.seed, *purpose) % 2**31

    def _training_cost(self, configuration: Configuration, samples: int) -> float:
        key = (configuration, samples)
        if key not in self._costs:
            self._costs[key] = float(configuration.flops(self._domain, samples))
        return self._costs[key]
