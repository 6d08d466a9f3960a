"""What every method promises, tried on generated blobs and on the digits."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limbeck.distillation import Progress, distill
from limbeck.errors import BadData, Interrupted, NotApplicable
from limbeck.methods import Matching, Method
from limbeck.samples import Samples
from limbeck.sources import load_source
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs
from limbeck.testing.trials import (
    CLASSES,
    FOR_IMAGES,
    at_both_ends,
    labellings,
    made_or_refused,
    tiny,
    tried,
    usual,
    vectors,
)
from limbeck.variants import find, make, members

DIGITS = "digits(train_limit=300)"


def resumes_exactly(name: str) -> None:
    """Stopped after any step, a distillation goes on to the very same set: tensors, losses and candidates."""
    source, steps = usual(name), tiny(name).outer_steps()
    whole = tried(name, source, candidates=2)
    assert whole.provenance["steps"] == steps
    for last in range(1, steps):
        with tempfile.TemporaryDirectory() as folder:

            def stop(progress: Progress, last: int = last) -> None:
                if progress.step == last:
                    raise KeyboardInterrupt

            try:
                tried(name, source, candidates=2, folder=Path(folder), on_progress=stop)
            except Interrupted:
                pass
            else:
                raise AssertionError(f"{name} was not stopped at step {last}")
            resumed = tried(name, source, candidates=2, folder=Path(folder))
        assert _told(resumed) == _told(whole), f"{name} resumed after step {last} is another set"


def _told(made: SyntheticSet) -> Any:
    return made.digest, made.provenance["losses"], made.provenance["candidates"]


def respects_its_budget(name: str) -> None:
    """`steps` is an upper bound; with no time left, one step is taken and no more."""
    source, steps = usual(name), tiny(name).outer_steps()
    assert tried(name, source, steps=2).provenance["steps"] == min(2, steps)
    assert tried(name, source, seconds=1e-9).provenance["steps"] == min(1, steps)


def keeps_the_floating_type(name: str) -> None:
    """What is asked for in float64 or float32 is distilled and stored in it."""
    for dtype in (torch.float64, torch.float32):
        made = tried(name, usual(name), dtype=dtype)
        found = {tensor.dtype for tensor in made.tensors.values() if tensor.is_floating_point()}
        assert found == {dtype}, f"{name} stored {found} for {dtype}"


def takes_any_size(name: str) -> None:
    """Any number of samples a class, 1 and odd numbers too; k counts the stored samples of all classes."""
    for per_class in (1, 5):
        made = tried(name, usual(name), per_class)
        assert made.k == per_class * CLASSES
        assert torch.bincount(made.group).tolist() == [per_class] * CLASSES
        assert torch.isfinite(made.samples().x).all()


def takes_unequal_classes(name: str) -> None:
    """Classes of any sizes, down to as few samples as are asked for of each."""
    shape = usual(name).domain.shape
    source = blobs(shape, [36, 14, 8])
    for per_class in (1, min(source.class_counts())):
        made, refusal = made_or_refused(BadData, name, source, per_class)
        if made is not None:
            assert torch.bincount(made.group).tolist() == [per_class] * CLASSES
        else:
            assert per_class > 1, f"{name} has too few samples for one a class: {refusal}"
            assert "per_class" in refusal


def takes_colour(name: str) -> None:
    """Three channels as well as one."""
    source = blobs((3, 8, 8), [16] * CLASSES)
    if usual(name).domain.is_image:
        assert tried(name, source).samples().x.shape[1:] == (3, 8, 8)


def takes_vectors_or_says_who_does(name: str) -> None:
    """Feature vectors, or a refusal that names methods that take them."""
    made, refusal = made_or_refused(NotApplicable, name, vectors(), 2)
    if made is not None:
        assert made.samples().x.shape[1:] == (12,)
        assert torch.isfinite(made.samples().x).all()
        written_out = make("methods", tiny(name).full_spec)  # as the cells of a study have it
        assert torch.equal(tried(name, vectors(), method=written_out).samples().x, made.samples().x)
        return
    words = refusal.replace(",", " ").replace(".", " ").split()
    named = [other for other in members("methods") if other in words]
    assert named, f"{name} refuses vectors without naming a method that takes them: {refusal}"
    for other in named:
        tried(other, vectors())


def labels_are_distributions(name: str) -> None:
    """Every sample's label is a distribution over the classes, hard or soft."""
    for settings in labellings(name):
        samples = tried(name, usual(name), method=tiny(name, **settings)).samples()
        assert samples.y.shape == (len(samples.x), CLASSES)
        assert (samples.y >= 0).all()
        assert torch.allclose(samples.y.sum(1), torch.ones(len(samples.y), dtype=samples.y.dtype), atol=1e-6)


def carries_its_teacher(name: str) -> None:
    """With `labels=teacher` a set labels views wherever it is trained on: whole, resumed, or read from a file."""
    if {"labels": "teacher"} not in labellings(name):
        return
    source, method = usual(name), tiny(name, labels="teacher")
    whole = tried(name, source, method=method, candidates=2)
    with tempfile.TemporaryDirectory() as folder:

        def stop(progress: Progress) -> None:
            raise KeyboardInterrupt

        with suppress(Interrupted):  # a selection takes no step to be stopped at
            tried(name, source, method=method, candidates=2, folder=Path(folder), on_progress=stop)
        resumed = tried(name, source, method=method, candidates=2, folder=Path(folder))
        assert _told(resumed) == _told(whole)
        read = SyntheticSet.load(whole.save(Path(folder)))
    view = source.test.x[:3]
    assert whole.labeller is not None
    assert read.labeller is not None
    assert torch.equal(whole.labeller(view), read.labeller(view))
    assert torch.equal(read.samples().y, whole.samples().y)
    assert whole.bytes > tried(name, source, method=tiny(name, labels="hard")).bytes


def is_determined_by_its_seed(name: str) -> None:
    """The same seed gives the same set to the bit, another seed another set."""
    source = usual(name)
    first, again, other = (tried(name, source, 3, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest
    assert first.digest != other.digest


def leaves_global_generators_alone(name: str) -> None:
    """The generators of torch, numpy and Python are as they were."""
    source = usual(name)
    before = _global_states()
    tried(name, source)
    assert _global_states() == before


def _global_states() -> tuple[Any, ...]:
    legacy = np.random.mtrand._rand.get_state(legacy=False)  # reading numpy's global state, not using it
    return torch.get_rng_state().tolist(), str(legacy), random.getstate()


def never_reads_the_test_split(name: str) -> None:
    """The set is the same whatever the test split holds."""
    source = usual(name)
    spoilt = Samples(torch.full_like(source.test.x, torch.nan), source.test.y, source.test.group)
    assert tried(name, source, candidates=2).digest == tried(name, replace(source, test=spoilt), candidates=2).digest


def refuses_more_than_there_is(name: str) -> None:
    """More samples a class than a class has: a refusal that names the class, or a set of that size."""
    source = blobs(usual(name).domain.shape, [40, 40, 6])
    few = min(source.class_counts())
    made, refusal = made_or_refused(BadData, name, source, few + 1)
    if made is not None:
        assert made.k == (few + 1) * CLASSES
    else:
        assert f"'{source.class_names[2]}'" in refusal
        assert "per_class" in refusal


def is_read_back_from_its_text(name: str) -> None:
    """`spec` and `full_spec` read back as the same settings."""
    method = tiny(name)
    assert make("methods", method.spec) == method
    assert make("methods", method.full_spec) == method


def says_what_it_is(name: str) -> None:
    """A paper, a cost and a first sentence; a matching method also its surrogate and states."""
    variant = find("methods", name)
    assert issubclass(variant, Method)
    assert variant.paper
    assert variant.cost
    assert variant.summary().endswith((".", ":", ")"))
    if issubclass(variant, Matching):
        assert "-" not in (variant.surrogate_name, variant.states_name)


def lowers_its_surrogate(name: str) -> None:
    """On the digits, a short run ends lower than it began, the same moments and real batches on both sides."""
    method = find("methods", name)
    if not issubclass(method, Matching):
        return
    recipe = tiny(name, steps=8, batch_real=24)
    assert isinstance(recipe, Matching)
    source = load_source(DIGITS)
    for configuration in FOR_IMAGES:
        try:
            made = distill(source, recipe, configuration, 2, candidates=1, dtype=torch.float64)
        except NotApplicable:
            continue
        before, after = at_both_ends(recipe, source, configuration, made)
        assert after < before, f"{name} went from {before:.6g} to {after:.6g}"
        return
    raise AssertionError(f"{name} runs on no network for images")


PROMISES: tuple[Callable[[str], None], ...] = (
    resumes_exactly,
    respects_its_budget,
    keeps_the_floating_type,
    takes_any_size,
    takes_unequal_classes,
    takes_colour,
    takes_vectors_or_says_who_does,
    labels_are_distributions,
    carries_its_teacher,
    is_determined_by_its_seed,
    leaves_global_generators_alone,
    never_reads_the_test_split,
    refuses_more_than_there_is,
    is_read_back_from_its_text,
    says_what_it_is,
    lowers_its_surrogate,
)
