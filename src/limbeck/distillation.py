"""The one outer loop: lower a method's surrogate until the budget is spent, and keep the set that validates best."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.dynamics import Dynamics, error_and_loss, train
from limbeck.errors import CorruptFile, Diverged, Interrupted, MissingData
from limbeck.methods import Matching, Method, check_applicable
from limbeck.optimizers import Moments
from limbeck.parameterizations import Tensors
from limbeck.samples import Samples
from limbeck.sources import Source
from limbeck.states import Carry, Experts, Scene
from limbeck.states.experts import train_expert
from limbeck.store import read_tensors, write_tensors
from limbeck.streams import derive
from limbeck.synthetic import SyntheticSet
from limbeck.variants import make

CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Progress:
    """Where a distillation is: updates done of how many, the surrogate's value, seconds spent and left."""

    step: int
    steps: int
    loss: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Forecast:
    """What a distillation will cost on this machine, measured on its first steps."""

    steps: int
    seconds: float
    seconds_per_step: float
    peak_memory_bytes: int
    experts: int

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass
class _Run:
    """What changes from step to step, and all that a checkpoint has to hold."""

    tensors: Tensors
    moments: dict[str, Moments]
    carry: Carry
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    best: Tensors = field(default_factory=dict)
    average: Tensors = field(default_factory=dict)


def distill(
    source: Source,
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
    on_progress: Callable[[Progress], None] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SyntheticSet:
    """Distil a source into `per_class` samples of each class by a method, for a configuration.

    The budget is the method's own `steps`, or `steps`, or `seconds` of work, whichever ends first. At `candidates`
    evenly spaced steps one network is trained on the set under the configuration (and one on its running average, where
    the method keeps one), and the set with the lowest *validation* error is kept; 1 keeps the last set, unvalidated.
    The test split is never read.

    With a `folder` the run is checkpointed there and resumes where it was, exactly (to the bit, on a CPU). Ctrl-C
    checkpoints and raises `Interrupted`. Raises `Diverged` with the step and the surrogate's value, `NotApplicable`
    for a method that can't run on this source, and `BadData` where a class has too few samples.
    """
    task = _Task.prepare(source, method, configuration, per_class, seed, experts, device, dtype)
    steps = task.method.outer_steps() if steps is None else min(steps, task.method.outer_steps())
    if not isinstance(task.method, Matching):
        return task.finished(task.start(), steps=0, seconds=0.0)
    identity = digest([task.identity, steps, candidates])
    run = _resume(folder, identity) or task.start()
    validate_at = {round(steps * (i + 1) / candidates) for i in range(candidates)} if candidates > 1 else set()
    begun = saved = time.perf_counter() - run.seconds
    with _checkpointing(folder, identity, run):
        while run.step < steps and (seconds is None or run.seconds < seconds):
            task.advance(run)
            if run.step in validate_at:
                task.validate(run)
            now = time.perf_counter()
            run.seconds = now - begun
            if folder and now - saved > CHECKPOINT_SECONDS:
                _save(folder, identity, run)
                saved = now
            if on_progress:
                left = run.seconds / run.step * (steps - run.step)
                left = left if seconds is None else min(left, seconds - run.seconds)
                on_progress(Progress(run.step, steps, run.losses[-1], run.seconds, max(0.0, left)))
    return task.finished(run, steps=run.step, seconds=run.seconds)


def forecast(
    source: Source,
    method: str | Method,
    configuration: str | Configuration,
    per_class: int,
    *,
    steps: int | None = None,
    candidates: int = 4,
    device: torch.device | str = "cpu",
) -> Forecast:
    """Measure a distillation's first steps and one validation, and say what the whole will take; nothing is kept.

    Experts are replaced by initial networks here: their number is reported, their training is not in the seconds.
    """

    def standing_in(number: int) -> Tensor:
        vectors = [task.scene.dynamics.initial(derive(number, "forecast", i)).vector for i in range(2)]
        return torch.stack([vectors[i % 2] for i in range(plan.checkpoints)]) if plan else torch.stack(vectors)

    task = _Task.prepare(source, method, configuration, per_class, 0, cache(standing_in), device, torch.float32)
    plan = task.method.expert_plan(task.scene.dynamics)
    total = task.method.outer_steps() if steps is None else min(steps, task.method.outer_steps())
    run = task.start()
    per_step = validation = 0.0
    if isinstance(task.method, Matching):
        taken = []
        for _ in range(min(4, total)):
            begun = time.perf_counter()
            task.advance(run)
            taken.append(time.perf_counter() - begun)
        per_step = sorted(taken)[len(taken) // 2]
        if candidates > 1:
            begun = time.perf_counter()
            task.validate(run)
            validation = (time.perf_counter() - begun) * candidates
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Forecast(total, per_step * total + validation, per_step, peak, plan.count if plan else 0)


@dataclass(frozen=True)
class _Task:
    """What stays the same from step to step."""

    source: Source
    method: Method
    asked: str
    configuration: Configuration
    per_class: int
    seed: int
    scene: Scene
    group: Tensor
    begin: Samples

    @classmethod
    def prepare(
        cls,
        source: Source,
        method: str | Method,
        configuration: str | Configuration,
        per_class: int,
        seed: int,
        experts: Experts | None,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> _Task:
        recipe: Method = make("methods", method) if isinstance(method, str) else method
        asked = recipe.spec
        recipe = recipe.suited(source.domain)
        configuration = Configuration.parse(configuration)
        check_applicable(recipe, configuration, source.domain, per_class)
        walked = recipe.dynamics_configuration(configuration, source.domain, per_class)
        dynamics = Dynamics(walked, source.domain, device=device, dtype=dtype)
        scene = Scene(dynamics, source.train, derive(seed, "distill"), None)
        plan = recipe.expert_plan(dynamics)
        if plan is not None:
            trained = Dynamics(plan.configuration, source.domain, device=device, dtype=dtype)
            scene = replace(
                scene, experts=experts or cache(lambda number: train_expert(plan, trained, source.train, number))
            )
        begin = recipe.begin(source, scene, per_class).to(device, dtype)
        group = begin.group[:: recipe.parameterization().copies]
        return cls(source, recipe, asked, configuration, per_class, seed, scene, group, begin)

    @property
    def identity(self) -> list[Any]:
        """All that determines the run."""
        own = [self.source.digest, self.method.full_spec, self.configuration.digest, self.per_class, self.seed]
        return [*own, str(self.scene.dynamics.dtype)]

    def start(self) -> _Run:
        tensors = self.method.parameterization().fold(self.begin, self.source.domain)
        if not isinstance(self.method, Matching):
            return _Run(tensors, {}, {})
        beside = {**self.method.learned(), **self.method.auxiliary(self.scene)}
        learned = {name: tensor.to(self.begin.x) for name, tensor in beside.items()}
        tensors = {**tensors, **learned}
        moments = {name: rule.start(tensors[name]) for name, rule in self.method.optimizers().items()}
        return _Run(tensors, moments, self.method.states(self.per_class).begin(self.scene))

    def unfold(self, tensors: Mapping[str, Tensor]) -> Samples:
        return self.method.parameterization().unfold(dict(tensors), self.group, self.source.domain)

    def advance(self, run: _Run) -> None:
        """One update of the set. Raises `Diverged`."""
        assert isinstance(self.method, Matching)
        states, rules = self.method.states(self.per_class), self.method.optimizers()
        leaves = {name: run.tensors[name].detach().requires_grad_() for name in rules}
        tensors = {**run.tensors, **leaves}
        moment = states.visit(self.scene, run.carry, run.step, tensors)
        loss = self.method.value(self.scene, moment, self.unfold(tensors), run.step)
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        for (name, rule), gradient in zip(rules.items(), gradients, strict=True):
            with torch.no_grad():
                updated, run.moments[name] = rule.update(
                    leaves[name].detach(), gradient, run.moments[name], rule.lr, run.step
                )
            run.tensors[name] = updated
        finite = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(run.tensors[name]).all()) for name in rules)
        if not finite:
            raise self._diverged(run, float(loss.detach()))
        run.losses.append(float(loss.detach()))
        with torch.no_grad():
            run.tensors = self.method.settled(self.scene, moment, run.tensors)
            self._average(run)
            try:
                run.carry = states.advance(self.scene, run.carry, run.step, self.unfold(run.tensors))
            except Diverged as error:
                raise self._diverged(run, run.losses[-1], f" {error}") from None
        run.step += 1

    def _diverged(self, run: _Run, loss: float, reason: str = "") -> Diverged:
        assert isinstance(self.method, Matching)
        rates = ", ".join(f"{name} {rule.lr:g}" for name, rule in self.method.optimizers().items())
        return Diverged(
            f"{self.method.spec} left the finite range at step {run.step}: the surrogate was {loss:.4g} "
            f"(at the first step {(run.losses or [loss])[0]:.4g}). Lower its step sizes (now {rates}).{reason}"
        )

    def _average(self, run: _Run) -> None:
        """Move the running average of the learned tensors; its first steps count in full, as in a plain mean."""
        assert isinstance(self.method, Matching)
        if (decay := self.method.averaging()) == 0:
            return
        decay = min(decay, run.step / (run.step + 1))
        for name in self.method.optimizers():
            run.average[name] = torch.lerp(run.tensors[name], run.average.get(name, run.tensors[name]), decay)

    def validate(self, run: _Run) -> None:
        """Train one network on the set as it is, and on its running average; keep the lowest validation error yet."""
        self._compete(run, run.tensors, {})
        if run.average:
            self._compete(run, {**run.tensors, **run.average}, {"average": True})

    def _compete(self, run: _Run, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        dynamics = Dynamics(
            self.configuration, self.source.domain, device=self.scene.dynamics.device, dtype=self.scene.dynamics.dtype
        )
        try:
            trained = train(dynamics, self.unfold(tensors), derive(self.seed, "validate"))
            held_out = self.configuration.domain.apply(self.source.validation, self.source.domain)
            error, _ = error_and_loss(dynamics, trained.state, held_out)
        except Diverged:
            error = 1.0
        if error <= min((candidate["error"] for candidate in run.candidates), default=1.0):
            run.best = {name: tensor.clone() for name, tensor in tensors.items()}
        run.candidates.append({"step": run.step, "error": error, **facts})

    def finished(self, run: _Run, *, steps: int, seconds: float) -> SyntheticSet:
        beside = self.method.auxiliary(self.scene) if isinstance(self.method, Matching) else {}
        kept = {name: tensor for name, tensor in (run.best or run.tensors).items() if name not in beside}
        every = max(1, len(run.losses) // 200)
        facts = {
            "steps": steps,
            "seconds": round(seconds, 3),
            "candidates": run.candidates,
            "losses": [[i, run.losses[i]] for i in range(0, len(run.losses), every)],
            "source_digest": self.source.digest,
            "torch": torch.__version__,
        }
        return SyntheticSet(
            tensors={name: tensor.detach().cpu() for name, tensor in kept.items()},
            group=self.group.cpu(),
            parameterization=self.method.parameterization().spec,
            domain=self.source.domain,
            preprocessing=self.source.preprocessing.about(),
            method=self.asked,
            source=self.source.spec,
            per_class=self.per_class,
            seed=self.seed,
            configuration=self.configuration.spec,
            provenance=facts,
        )


@contextlib.contextmanager
def _checkpointing(folder: Path | None, identity: str, run: _Run) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if folder is None:
            raise Interrupted(f"stopped at step {run.step}; without a folder nothing was kept.") from None
        _save(folder, identity, run)
        raise Interrupted(
            f"stopped at step {run.step}; the checkpoint in {folder} is complete. Run the same command to go on."
        ) from None


def _save(folder: Path, identity: str, run: _Run) -> None:
    """Write a new checkpoint whole, then drop the older ones: at any moment one complete checkpoint is there."""
    moments = {f"moment.{n}.{i}": moment for n, parts in run.moments.items() for i, moment in enumerate(parts)}
    tensors = {f"tensor.{name}": tensor for name, tensor in run.tensors.items()} | moments
    tensors |= {f"carry.{name}": tensor for name, tensor in run.carry.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in run.best.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in run.average.items()}
    about = {"identity": identity, "step": run.step, "seconds": run.seconds}
    about |= {"losses": run.losses, "candidates": run.candidates}
    name = f"checkpoint-{identity[:16]}-{run.step:09d}"
    write_tensors(folder, name, tensors, about)
    for old in folder.glob(f"checkpoint-{identity[:16]}-*"):
        if not old.name.startswith(name):
            old.unlink(missing_ok=True)


def _resume(folder: Path | None, identity: str) -> _Run | None:
    """The newest complete checkpoint of this very run, if there is one."""
    found = sorted(folder.glob(f"checkpoint-{identity[:16]}-*.json"), reverse=True) if folder else []
    for manifest in found:
        try:
            tensors, about = read_tensors(manifest.parent, manifest.stem)
        except (CorruptFile, MissingData):
            continue
        if about["identity"] != identity:
            continue
        parts: dict[str, Tensors] = {"tensor": {}, "carry": {}, "best": {}, "average": {}}
        moments: dict[str, dict[int, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            if kind == "moment":
                owner, _, index = name.rpartition(".")
                moments.setdefault(owner, {})[int(index)] = tensor
            else:
                parts[kind][name] = tensor
        ordered = {owner: tuple(held[i] for i in sorted(held)) for owner, held in moments.items()}
        return _Run(
            parts["tensor"], ordered, parts["carry"], about["step"], about["seconds"], about["losses"],
            about["candidates"], parts["best"], parts["average"],
        )  # fmt: skip
    return None
