"""What a distillation does at each of its steps: a method on a source, with its scenes, its experts and its start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from limbeck.checkpoint import Run
from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.errors import Diverged, NotApplicable
from limbeck.methods import Matching, Method, Taught, check_applicable
from limbeck.parameterizations import Tensors
from limbeck.pool import Pool
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.states import ExpertPlan, Experts, Scene
from limbeck.states.experts import train_expert
from limbeck.store import tensor_digest
from limbeck.streams import derive
from limbeck.synthetic import SyntheticSet
from limbeck.variants import make

Recorder = Callable[[ExpertPlan, Dynamics], Experts]
"""Where the experts of a plan come from, for the dynamics that walks along them."""


@dataclass(frozen=True)
class Task:
    """What stays the same from step to step; what changes is a `Run`."""

    source: Source
    method: Method
    asked: str
    configuration: Configuration
    pool: Pool
    per_class: int
    seed: int
    scenes: tuple[Scene, ...]  # one a configuration of the pool
    group: Tensor
    begin: Samples
    shared: Tensors  # by all stored samples, such as the directions of a latent set, or a labeller

    @classmethod
    def prepare(
        cls,
        source: Source,
        method: str | Method,
        configuration: str | Configuration,
        pool: Pool,
        per_class: int,
        seed: int,
        recorder: Recorder | None,
        device: torch.device | str,
        dtype: torch.dtype,
        of_teachers: Recorder | None = None,
    ) -> Task:
        """Scenes for the configurations of the pool, and the samples that the set starts from (or is, of a selection).

        Experts and teachers come from `recorder` and `of_teachers`, the latter from the former where it is not given;
        without both they are trained here. Raises `NotApplicable` for a method that can't run here and `BadData` for
        classes with too few samples.
        """
        recipe: Method = make("methods", method) if isinstance(method, str) else method
        asked = recipe.spec
        recipe = recipe.suited(source.domain)
        configuration = Configuration.parse(configuration)
        record = recorder or _training(source, len(pool))
        scenes = []
        for place, one in enumerate(pool.configurations):
            check_applicable(recipe, one, source.domain, per_class)
            walked = recipe.dynamics_configuration(one, source.domain, per_class)
            dynamics = Dynamics(walked, source.domain, device=device, dtype=dtype)
            plan = recipe.expert_plan(dynamics)
            own = derive(seed, "distill", place) if place else derive(seed, "distill")
            scenes.append(Scene(dynamics, source.train, own, record(plan, dynamics) if plan else None))
        teacher = _teaching(recipe, pool.configurations[0], scenes[0], of_teachers or record)
        if len(pool) > 1 and isinstance(recipe, Matching) and recipe.auxiliary(scenes[0]):
            raise NotApplicable(f"{asked} keeps tensors made for one network. Give it one configuration.")
        begin = recipe.begin(source, scenes[0], per_class).to(device, dtype)
        form = recipe.parameterization()
        group = begin.group[:: form.copies]
        common = {**form.shared(source), **teacher}
        shared = {name: _placed(tensor, device, dtype) for name, tensor in common.items()}
        return cls(source, recipe, asked, configuration, pool, per_class, seed, tuple(scenes), group, begin, shared)

    @property
    def identity(self) -> list[Any]:
        """All that determines the run."""
        own = [self.source.digest, self.method.full_spec, self.configuration.digest, self.per_class, self.seed]
        sums = [[name, tensor_digest(tensor)] for name, tensor in sorted(self.shared.items())]
        return [*own, *self.pool.identity, str(self.scenes[0].dynamics.dtype), *sums]

    def start(self) -> Run:
        """The run before its first step."""
        tensors = self.method.parameterization().fold(self.begin, self.source.domain, self.shared)
        if not isinstance(self.method, Matching):
            return Run(tensors, {}, [], {})
        beside = {**self.method.learned(), **self.method.auxiliary(self.scenes[0])}
        learned = {name: tensor.to(self.begin.x) for name, tensor in beside.items()}
        tensors = {**tensors, **learned}
        moments = {name: rule.start(tensors[name]) for name, rule in self.method.optimizers().items()}
        states = self.method.states(self.per_class)
        return Run(tensors, moments, [states.begin(scene) for scene in self.scenes], self.pool.begin())

    def unfold(self, tensors: Mapping[str, Tensor]) -> Samples:
        """The training samples that stored tensors stand for."""
        form = self.method.parameterization()
        return form.unfold({**self.shared, **tensors}, self.group, self.source.domain)

    def advance(self, run: Run, steps: int) -> None:
        """One update of the set, of `steps` in all. Raises `Diverged`."""
        assert isinstance(self.method, Matching)
        states, rules = self.method.states(self.per_class), self.method.optimizers()
        turn, visit, pool = self.pool.turn(run.pool)
        scene, carry = self.scenes[turn], run.carries[turn]
        leaves = {name: run.tensors[name].detach().requires_grad_() for name in rules}
        tensors, moments = {**run.tensors, **leaves}, dict(run.moments)
        moment = states.visit(scene, carry, visit, tensors)
        loss = self.method.value(scene, moment, self.unfold(tensors), run.step)
        surrogate = float(loss.detach())
        if self.method.passes_over(surrogate):
            tensors, rules = dict(run.tensors), {}
        pulled = [leaves[name] for name in rules]
        gradients = torch.autograd.grad(loss, pulled, allow_unused=True, materialize_grads=True) if rules else ()
        pace = {self.method.content: self.method.pace(run.step / steps, run.losses)}
        for (name, rule), gradient in zip(rules.items(), gradients, strict=True):
            rate = rule.lr * pace.get(name, 1.0)
            with torch.no_grad():
                tensors[name], moments[name] = rule.update(
                    leaves[name].detach(), gradient, moments[name], rate, run.step
                )
        if not (math.isfinite(surrogate) and all(bool(torch.isfinite(tensors[name]).all()) for name in rules)):
            raise self._diverged(run, surrogate)
        with torch.no_grad():
            tensors = self.method.settled(scene, moment, tensors, self.unfold)
            average = self._averaged(run, tensors)
            try:
                carry = states.advance(scene, carry, visit, self.unfold(tensors))
            except Diverged as error:
                raise self._diverged(run, surrogate, f" {error}") from None
        # All at once: a run that is interrupted above was not touched.
        run.carries = [carry if place == turn else kept for place, kept in enumerate(run.carries)]
        run.tensors, run.moments, run.average, run.pool, run.step = tensors, moments, average, pool, run.step + 1
        run.losses.append(surrogate)

    def _diverged(self, run: Run, loss: float, reason: str = "") -> Diverged:
        assert isinstance(self.method, Matching)
        rates = ", ".join(f"{name} {rule.lr:g}" for name, rule in self.method.optimizers().items())
        return Diverged(
            f"{self.method.spec} left the finite range at step {run.step}: the surrogate was {loss:.4g} "
            f"(at the first step {(run.losses or [loss])[0]:.4g}). Lower its step sizes (now {rates}).{reason}"
        )

    def _averaged(self, run: Run, tensors: Tensors) -> Tensors:
        """The running average of the learned tensors, moved; its first steps count in full, as in a plain mean."""
        assert isinstance(self.method, Matching)
        if (decay := self.method.averaging()) == 0:
            return {}
        decay = min(decay, run.step / (run.step + 1))
        return {
            name: torch.lerp(tensors[name], run.average.get(name, tensors[name]), decay)
            for name in self.method.optimizers()
        }

    def completed(self, run: Run, tensors: Tensors) -> Tensors:
        """The stored tensors of a set that is to be trained on; the run's are what they were learned with."""
        if not isinstance(self.method, Matching):
            return tensors
        with torch.no_grad():
            return self.method.completed(self.scenes[0], run.carries[0], tensors, self.unfold)

    def finished(self, run: Run, *, steps: int, seconds: float) -> SyntheticSet:
        """The set: the best candidate, or the last where none was validated, with where it comes from."""
        beside = self.method.auxiliary(self.scenes[0]) if isinstance(self.method, Matching) else {}
        best = run.best or self.completed(run, {**run.tensors, **run.average})
        kept = {name: tensor for name, tensor in best.items() if name not in beside} | self.shared
        every = max(1, len(run.losses) // 200)
        facts = {
            "steps": steps,
            "seconds": round(seconds, 3),
            "candidates": run.candidates,
            "losses": [[i, run.losses[i]] for i in range(0, len(run.losses), every)],
            "source_digest": self.source.digest,
            "class_names": list(self.source.class_names),
            "torch": torch.__version__,
        }
        if len(self.pool) > 1 and run.pool:
            facts["pool"] = self.pool.about(run.pool)
        return SyntheticSet(
            tensors={name: tensor.detach().cpu() for name, tensor in kept.items()},
            group=self.group.cpu(),
            parameterization=self.method.parameterization().unfolding,
            domain=self.source.domain,
            preprocessing=self.source.preprocessing.about(),
            method=self.asked,
            source=self.source.spec,
            per_class=self.per_class,
            seed=self.seed,
            configuration=self.configuration.spec,
            provenance=facts,
        )


def recorded(experts: Experts) -> Recorder:
    """Experts that were trained elsewhere, whatever the plan."""
    return lambda plan, dynamics: experts


def _training(source: Source, shared: int) -> Recorder:
    """Experts trained when first asked for; a pool splits a plan's number among its configurations."""

    def record(plan: ExpertPlan, dynamics: Dynamics) -> Experts:
        trained = Dynamics(plan.configuration, source.domain, device=dynamics.device, dtype=dynamics.dtype)
        held = cache(lambda number: train_expert(plan, trained, source.train, number))
        return lambda number: held(number % -(-plan.count // shared))

    return record


def _teaching(recipe: Method, configuration: Configuration, scene: Scene, record: Recorder) -> Tensors:
    """What a set stores of the teacher that it carries; nothing where it carries none.

    A recipe that walks along the teacher's training has its experts already, any other gets a scene like its first.
    """
    if recipe.labelling() != "teacher":
        return {}
    assert isinstance(recipe, Taught)
    walked = scene.dynamics
    if plan := recipe.further_plan(configuration, walked):
        dynamics = Dynamics(plan.configuration, walked.domain, device=walked.device, dtype=walked.dtype)
        scene = replace(scene, dynamics=dynamics, experts=record(plan, dynamics))
    return recipe.labeller(scene).tensors()


def _placed(tensor: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """A tensor on a device; of the floating type, unless it holds whole numbers."""
    return tensor.to(device, dtype if tensor.is_floating_point() else None)
