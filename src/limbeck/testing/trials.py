"""How a method is tried in a second: with few and small settings, on generated blobs, under the smallest networks.

The settings are `TINY` where the method has some of these names, then its own `trial`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import torch
from torch import Tensor

from limbeck.configuration import Configuration
from limbeck.distillation import distill
from limbeck.dynamics import Dynamics
from limbeck.errors import BadSetting, LimbeckError, NotApplicable
from limbeck.methods import Matching, Method
from limbeck.sources import Source
from limbeck.states import Scene
from limbeck.states.experts import train_expert
from limbeck.streams import derive
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs
from limbeck.variants import find

TINY: dict[str, Any] = {
    "steps": 3,
    "batch_real": 8,
    "batch_synthetic": 8,
    "length": 2,
    "epochs": 1,
    "experts": 2,
    "expert_epochs": 3,
    "ahead": 1,
    "max_start": 2,
    "synthetic_steps": 2,
    "window": 2,
    "teacher_epochs": 1,
    "networks": 2,
    "renew": 2,
    "passes": 1,
    "frequencies": 32,
}
CONVNET = "convnet(width=4, depth=1)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"
FOR_IMAGES = [CONVNET, CONVNET.replace("depth=1", "depth=1, norm=batch")]
FOR_VECTORS = [f"mlp(width=8{norm})/sgd(lr=0.05)/none/constant(steps=2, batch=16)" for norm in ("", ", norm=batch")]
CLASSES = 3


def tiny(name: str, **settings: Any) -> Method:
    """The method with settings small enough to try it."""
    variant = find("methods", name)
    assert issubclass(variant, Method)
    chosen = {key: value for key, value in TINY.items() if key in variant.model_fields}
    return variant.model_validate({**chosen, **variant.trial, **settings})


def tried(name: str, source: Source, per_class: int = 2, **options: Any) -> SyntheticSet:
    """A distillation with tiny settings, under the first small configuration that the method takes.

    Raises `NotApplicable` where it takes none.
    """
    method = options.pop("method", None) or tiny(name)
    refusals = []
    for configuration in FOR_IMAGES if source.domain.is_image else FOR_VECTORS:
        try:
            return distill(source, method, configuration, per_class, **{"candidates": 1, **options})
        except NotApplicable as refusal:
            refusals.append(refusal)
    raise refusals[0]


@cache
def usual(name: str) -> Source:
    """Small images; vectors for a method that takes only these."""
    for source in (images(), vectors()):
        try:
            tried(name, source)
        except NotApplicable:
            continue
        return source
    raise AssertionError(f"{name} runs neither on small images nor on vectors")


@cache
def images() -> Source:
    """Grey ones of three classes."""
    return blobs((1, 8, 8), [24] * CLASSES)


@cache
def vectors() -> Source:
    """Of twelve features, in three classes."""
    return blobs((12,), [24] * CLASSES)


def made_or_refused(
    kind: type[LimbeckError], name: str, source: Source, per_class: int
) -> tuple[SyntheticSet | None, str]:
    """The set, or nothing and the words of the refusal."""
    try:
        return tried(name, source, per_class), ""
    except kind as refusal:
        return None, str(refusal)


def labellings(name: str) -> list[dict[str, str]]:
    """The settings of `labels` that the method has and takes."""
    field = find("methods", name).model_fields.get("labels")
    if field is None:
        return [{}]
    taken = []
    for labels in get_args(field.annotation):
        try:
            tried(name, usual(name), method=tiny(name, labels=labels))
        except (NotApplicable, BadSetting):
            continue
        taken.append({"labels": labels})
    assert taken, f"{name} takes none of its own labels"
    return taken


def at_both_ends(recipe: Matching, source: Source, configuration: str, made: SyntheticSet) -> tuple[float, float]:
    """The surrogate of the set that a run starts from and of what it made, averaged over a short walk."""
    chosen = recipe.dynamics_configuration(Configuration.parse(configuration), source.domain, made.per_class)
    dynamics = Dynamics(chosen, source.domain, dtype=torch.float64)
    scene = Scene(dynamics, source.train, 17)
    plan = recipe.expert_plan(dynamics)
    if plan is not None:
        trained = Dynamics(plan.configuration, source.domain, dtype=torch.float64)
        scene = replace(scene, experts=cache(lambda number: train_expert(plan, trained, source.train, number)))
    form = recipe.parameterization()
    begun = replace(scene, seed=derive(made.seed, "distill"))
    begin = recipe.begin(source, begun, made.per_class).to(dtype=torch.float64)
    shared = {key: value.double() for key, value in form.shared(source).items()}
    start = form.fold(begin, source.domain, shared)
    learned = {key: value.double() for key, value in recipe.learned().items()}

    start = {**shared, **start, **learned}
    states, moments = recipe.states(made.per_class), []
    carry = states.begin(scene)
    for step in range(4):
        moments.append(states.visit(scene, carry, step, start))
        carry = states.advance(scene, carry, step, form.unfold(start, made.group, source.domain))

    def mean(tensors: Mapping[str, Tensor]) -> float:
        synthetic = form.unfold(dict(tensors), made.group, source.domain)
        seen = [replace(moment, learned=tensors) for moment in moments]
        values = [recipe.value(scene, moment, synthetic, step).detach() for step, moment in enumerate(seen)]
        return float(torch.stack(values).mean())

    return mean(start), mean(made.tensors)
