"""What every parameterization promises: nothing is lost between folding and unfolding that its form can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args, get_origin

import torch

from limbeck.errors import NotApplicable
from limbeck.parameterizations import Parameterization, Tensors
from limbeck.samples import Domain, Samples
from limbeck.streams import stream
from limbeck.testing.blobs import blobs
from limbeck.variants import find

SHAPES = [(1, 8, 8), (3, 8, 8), (6,)]
CLASSES = 3
STORED = 2  # samples of each class


@dataclass(frozen=True)
class Setting:
    """A form on a domain: samples to fold, the classes of the stored ones, and what the stored ones share."""

    form: Parameterization
    domain: Domain
    start: Samples
    group: torch.Tensor
    shared: Mapping[str, torch.Tensor]

    def folded(self, start: Samples) -> Tensors:
        return self.form.fold(start, self.domain, self.shared)

    def unfolded(self, stored: Mapping[str, torch.Tensor]) -> Samples:
        group = self.group[-len(next(iter(stored.values()))) :]
        return self.form.unfold({**self.shared, **stored}, group, self.domain)


def settings(name: str) -> Iterator[Setting]:
    """The form under each choice of its settings, on each domain that it takes."""
    variant = find("parameterizations", name)
    assert issubclass(variant, Parameterization)
    chosen = [dict(variant.trial)]
    for key, field in variant.model_fields.items():
        if get_origin(field.annotation) is Literal:
            chosen += [{**variant.trial, key: value} for value in get_args(field.annotation) if value != field.default]
    found = 0
    for choice in chosen:
        for shape in SHAPES:
            form, source = variant.model_validate(choice), blobs(shape, [12] * CLASSES)
            try:
                form.check(source.domain)
            except NotApplicable:
                continue
            found += 1
            start = _samples(source.domain, STORED * form.copies)
            shared = {key: t.double() if t.is_floating_point() else t for key, t in form.shared(source).items()}
            yield Setting(form, source.domain, start, start.group[:: form.copies], shared)
    assert found, f"{name} applies to no domain"


def _samples(domain: Domain, per_class: int) -> Samples:
    generator = stream(0, "parameterizations", *domain.shape, per_class)
    group = torch.arange(domain.classes).repeat_interleave(per_class)
    x = torch.randn(len(group), *domain.shape, generator=generator, dtype=torch.float64)
    return Samples.hard(x, group, domain.classes)


def unfolds_into_training_samples(name: str) -> None:
    """`copies` samples for each stored one, of its class, of the domain's shape, labels that are distributions."""
    for one in settings(name):
        unfolded = one.unfolded(one.folded(one.start))
        assert unfolded.x.shape == (len(one.start), *one.domain.shape)
        assert torch.equal(unfolded.group, one.group.repeat_interleave(one.form.copies))
        assert unfolded.y.shape == (len(one.start), one.domain.classes)
        assert torch.allclose(unfolded.y.sum(1), torch.ones(len(one.start), dtype=torch.float64))
        assert (unfolded.y.argmax(1) == unfolded.group).all()


def folds_back_what_it_unfolds(name: str) -> None:
    """Folding is the nearest point of the form: what was unfolded folds back to the same stored samples."""
    for one in settings(name):
        stored = one.folded(one.start)
        again = one.folded(one.unfolded(stored))
        assert stored.keys() == again.keys()
        for key, tensor in stored.items():
            assert torch.allclose(tensor, again[key], atol=1e-8), f"{one.form.spec}: {key} is not kept"


def keeps_type_and_owns_its_tensors(name: str) -> None:
    """Stored tensors have the samples' floating type and share no memory with them; one row a stored sample."""
    for one in settings(name):
        assert one.form.content in one.folded(one.start)
        assert set(one.folded(one.start)) <= {one.form.content, "logits"}
        for dtype in (torch.float64, torch.float32):
            given = one.start.to(dtype=dtype)
            before = given.x.clone()
            stored = one.folded(given)
            assert all(tensor.dtype == dtype and len(tensor) == len(one.group) for tensor in stored.values())
            for tensor in stored.values():
                tensor.zero_()
            assert torch.equal(given.x, before)


def is_differentiable(name: str) -> None:
    """Gradients reach every stored tensor, and are those of finite differences."""
    for one in settings(name):
        stored = one.folded(one.start)
        names, leaves = list(stored), [tensor.requires_grad_() for tensor in stored.values()]
        weights = torch.randn(one.start.x.shape, generator=stream(0, "weights"), dtype=torch.float64)

        def value(
            *tensors: torch.Tensor, one: Setting = one, names: list[str] = names, weights: torch.Tensor = weights
        ) -> torch.Tensor:
            unfolded = one.unfolded(dict(zip(names, tensors, strict=True)))
            return (unfolded.x * weights).sum() + (unfolded.y**2).sum()

        assert torch.autograd.gradcheck(value, leaves, fast_mode=True)
        assert all(slope.abs().sum() > 0 for slope in torch.autograd.grad(value(*leaves), leaves))


def unfolds_each_sample_alone(name: str) -> None:
    """What a stored sample unfolds into does not depend on the others."""
    for one in settings(name):
        stored = one.folded(one.start)
        last = {key: tensor[-1:] for key, tensor in stored.items()}
        whole, alone, copies = one.unfolded(stored), one.unfolded(last), one.form.copies
        assert torch.allclose(whole.x[-copies:], alone.x)
        assert torch.allclose(whole.y[-copies:], alone.y)


def is_fitted_to_training_samples_alone(name: str) -> None:
    """What samples share is the same whatever the other splits hold, and twice the same."""
    for one in settings(name):
        source = blobs(one.domain.shape, [12] * CLASSES)
        spoilt = replace(source, test=source.test[:0], validation=source.validation[:0])
        first, again = one.form.shared(source), one.form.shared(spoilt)
        assert first.keys() == again.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in first.items())


PROMISES: tuple[Callable[[str], None], ...] = (
    unfolds_into_training_samples,
    folds_back_what_it_unfolds,
    keeps_type_and_owns_its_tensors,
    is_differentiable,
    unfolds_each_sample_alone,
    is_fitted_to_training_samples_alone,
)
