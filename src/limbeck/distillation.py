"""The one outer loop: lower a method's surrogate until the budget is spent, and keep the set that validates best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.checkpoint import Run, checkpointing, resume, save
from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.dynamics import Dynamics, error_and_loss, train
from limbeck.errors import BadSetting, Diverged, NotApplicable
from limbeck.labeller import labelled
from limbeck.methods import Matching, Method, Taught, check_applicable
from limbeck.parameterizations import Tensors
from limbeck.pool import Pool, Weighting
from limbeck.samples import Samples
from limbeck.sources import Source, given_source
from limbeck.states import ExpertPlan, Experts, Scene
from limbeck.states.experts import train_expert
from limbeck.store import tensor_digest
from limbeck.streams import derive
from limbeck.synthetic import SyntheticSet
from limbeck.variants import make

CHECKPOINT_SECONDS = 30.0
Recorder = Callable[[ExpertPlan, Dynamics], Experts]
"""Where the experts of a plan come from, for the dynamics that walks along them."""


@dataclass(frozen=True)
class Progress:
    """Where a distillation is: updates done of how many, the surrogate's value, seconds spent and left."""

    step: int
    steps: int
    loss: float
    seconds: float
    seconds_left: float


def distill(
    source: Source | str,
    method: str | Method,
    configuration: str | Configuration,
    per_class: int,
    *,
    seed: int = 0,
    steps: int | None = None,
    seconds: float | None = None,
    candidates: int = 4,
    folder: Path | None = None,
    experts: Experts | None = None,
    teachers: Experts | None = None,
    configurations: Sequence[str | Configuration] = (),
    weights: Weighting = "equal",
    on_progress: Callable[[Progress], None] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SyntheticSet:
    """Distil a source into `per_class` samples of each class by a method, for a configuration.

    The budget is the method's own `steps`, or `steps`, or `seconds` of work, whichever ends first. At `candidates`
    evenly spaced steps one network is trained on the set under the configuration (and one on its running average, where
    the method keeps one, and one on the set at its start, with `keep_start`), and the set with the lowest *validation*
    error is kept; 1 keeps the last set (its running average, where there is one), unvalidated. The test split is never
    read. One `seed` at several `per_class` begins with some of the same samples: for a law, give each size other seeds.

    With `configurations`, the states are drawn from the dynamics of all of them in turn (see `Pool`), and candidates
    are judged by their validation gaps under all of them: the mean with `weights` "equal", the largest with
    "worst-case", which also visits those more often where the gap is large. `configuration` is then what the set is
    said to be for. A recipe that fixes its own optimizer and schedule (dc, mtt) varies with the architecture alone.

    `experts` and `teachers` are those that were trained elsewhere, by number; without them they are trained here. With
    a `folder` the run is checkpointed there and resumes where it was, exactly (to the bit, on a CPU). Ctrl-C
    checkpoints and raises `Interrupted`. Raises `Diverged` with the step and the surrogate's value, `NotApplicable`
    for a method that can't run on this source, and `BadData` where a class has too few samples.
    """
    source = given_source(source)
    check_numbers(per_class=per_class, steps=1 if steps is None else steps, candidates=candidates)
    pool = Pool.of(configurations or [configuration], weights)
    if pool.weighting == "worst-case" and candidates < 2:
        raise BadSetting("worst-case weights are moved at validations, so they need candidates=2 or more.")
    if (experts or teachers) is not None and len(pool) > 1:
        raise BadSetting("experts recorded elsewhere are of one configuration. Leave them out: a pool trains its own.")
    elsewhere = [None if held is None else _recorded(held) for held in (experts, teachers)]
    task = Task.prepare(
        source, method, configuration, pool, per_class, seed, elsewhere[0], device, dtype, of_teachers=elsewhere[1]
    )
    budget = {"steps": steps, "seconds": seconds, "candidates": candidates}
    steps = task.method.outer_steps() if steps is None else min(steps, task.method.outer_steps())
    identity = digest([task.identity, steps, candidates])
    asked = {"budget": budget, "run": identity}
    if not isinstance(task.method, Matching):
        return task.finished(task.start(), steps=0, seconds=0.0).with_provenance(**asked)
    run = resume(folder, identity, len(pool)) or task.start()
    validate_at = {round(steps * (i + 1) / candidates) for i in range(candidates)} if candidates > 1 else set()
    begun = saved = time.perf_counter() - run.seconds
    with checkpointing(folder, identity, run):
        if candidates > 1 and task.method.keep_start and not run.step and not run.candidates:
            task.validate(run)
        while run.step < steps and (seconds is None or run.seconds < seconds):
            task.advance(run, steps)
            if run.step in validate_at:
                task.validate(run)
            now = time.perf_counter()
            run.seconds = now - begun
            if folder and now - saved > CHECKPOINT_SECONDS:
                save(folder, identity, run)
                saved = now
            if on_progress:
                left = run.seconds / run.step * (steps - run.step)
                left = left if seconds is None else min(left, seconds - run.seconds)
                on_progress(Progress(run.step, steps, run.losses[-1], run.seconds, max(0.0, left)))
    return task.finished(run, steps=run.step, seconds=run.seconds).with_provenance(**asked)


def check_numbers(**numbers: Any) -> None:
    """Raise `BadSetting` for a number that is not whole, or below 1."""
    for name, value in numbers.items():
        if not isinstance(value, Integral) or value < 1:
            raise BadSetting(f"{name}={value!r} is refused. Give a whole number of at least 1.")


def _recorded(experts: Experts) -> Recorder:
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


@dataclass(frozen=True)
class Task:
    """What stays the same from step to step."""

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
        if self.method.passes_over(float(loss.detach())):
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
        finite = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(tensors[name]).all()) for name in rules)
        if not finite:
            raise self._diverged(run, float(loss.detach()))
        with torch.no_grad():
            tensors = self.method.settled(scene, moment, tensors, self.unfold)
            average = self._averaged(run, tensors)
            try:
                carry = states.advance(scene, carry, visit, self.unfold(tensors))
            except Diverged as error:
                raise self._diverged(run, float(loss.detach()), f" {error}") from None
        # All at once: a run that is interrupted above was not touched.
        run.carries = [carry if place == turn else kept for place, kept in enumerate(run.carries)]
        run.tensors, run.moments, run.average, run.pool, run.step = tensors, moments, average, pool, run.step + 1
        run.losses.append(float(loss.detach()))

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

    def validate(self, run: Run) -> None:
        """Let the set as it is, and its running average, compete for the lowest validation error yet."""
        self._compete(run, self._completed(run, run.tensors), {})
        if run.average:
            self._compete(run, self._completed(run, {**run.tensors, **run.average}), {"average": True})

    def _completed(self, run: Run, tensors: Tensors) -> Tensors:
        if not isinstance(self.method, Matching):
            return tensors
        with torch.no_grad():
            return self.method.completed(self.scenes[0], run.carries[0], tensors, self.unfold)

    def _compete(self, run: Run, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        """Train one network on a set under each configuration; keep it where it does best yet on validation."""
        samples = labelled(self.unfold(tensors), self.shared, self.source.domain)
        learned = float(tensors["step_size"]) if "step_size" in tensors else None
        errors = [self._validated(one, samples, "validate", learned) for one in self.pool.configurations]
        found: dict[str, Any] = {"step": run.step, "error": sum(errors) / len(errors), **facts}
        pool, score = run.pool, found["error"]
        if len(self.pool) > 1:
            if bool(pool["reference"].isnan().any()):
                full = [self._validated(one, self.source.train, "reference") for one in self.pool.configurations]
                pool = {**pool, "reference": torch.tensor(full, dtype=torch.float64)}
            gaps = torch.tensor(errors, dtype=torch.float64) - pool["reference"]
            pool, score = self.pool.reweighed(pool, gaps), self.pool.score(gaps)
            found |= {"score": score, "gaps": gaps.tolist(), "weights": pool["weights"].tolist()}
        if score <= min((candidate.get("score", candidate["error"]) for candidate in run.candidates), default=math.inf):
            run.best = {name: tensor.clone() for name, tensor in tensors.items()}
        run.pool = pool
        run.candidates.append(found)

    def _validated(
        self, configuration: Configuration, samples: Samples, purpose: str, step_size: float | None = None
    ) -> float:
        """The validation error of one network trained on samples; 1 where its training diverges."""
        walked = self.scenes[0].dynamics
        try:
            judged = configuration.with_step_size(step_size)
            dynamics = Dynamics(judged, self.source.domain, device=walked.device, dtype=walked.dtype)
            trained = train(dynamics, samples, derive(self.seed, purpose))
        except Diverged:
            return 1.0
        held_out = configuration.domain.apply(self.source.validation, self.source.domain)
        return error_and_loss(dynamics, trained.state, held_out)[0]

    def finished(self, run: Run, *, steps: int, seconds: float) -> SyntheticSet:
        beside = self.method.auxiliary(self.scenes[0]) if isinstance(self.method, Matching) else {}
        best = run.best or self._completed(run, {**run.tensors, **run.average})
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


def _placed(tensor: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """A tensor on a device; of the floating type, unless it holds whole numbers."""
    return tensor.to(device, dtype if tensor.is_floating_point() else None)
