"""What every parameterization promises: nothing is lost between folding and unfolding that its form can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, get_args, get_origin

import torch

from limbeck.errors import NotApplicable
from limbeck.parameterizations import Parameterization, Tensors
from limbeck.samples import Domain, Samples
from limbeck.streams import stream
from limbeck.variants import find

DOMAINS = [Domain((1, 8, 8), 3), Domain((3, 8, 8), 3), Domain((6,), 3)]
STORED = 2  # samples of each class

Setting = tuple[Parameterization, Domain, Samples, torch.Tensor]


def settings(name: str) -> Iterator[Setting]:
    """The form under each choice of its settings on each domain that it takes: itself, samples to fold, classes."""
    variant = find("parameterizations", name)
    assert issubclass(variant, Parameterization)
    chosen = [dict(variant.trial)]
    for key, field in variant.model_fields.items():
        if get_origin(field.annotation) is Literal:
            chosen += [{**variant.trial, key: value} for value in get_args(field.annotation) if value != field.default]
    found = 0
    for choice in chosen:
        for domain in DOMAINS:
            form = variant.model_validate(choice)
            try:
                form.check(domain)
            except NotApplicable:
                continue
            found += 1
            start = _samples(domain, STORED * form.copies)
            yield form, domain, start, start.group[:: form.copies]
    assert found, f"{name} applies to no domain"


def _samples(domain: Domain, per_class: int) -> Samples:
    generator = stream(0, "parameterizations", *domain.shape, per_class)
    group = torch.arange(domain.classes).repeat_interleave(per_class)
    x = torch.randn(len(group), *domain.shape, generator=generator, dtype=torch.float64)
    return Samples.hard(x, group, domain.classes)


def unfolds_into_training_samples(name: str) -> None:
    """`copies` samples for each stored one, of its class, of the domain's shape, labels that are distributions."""
    for form, domain, start, group in settings(name):
        unfolded = form.unfold(form.fold(start, domain), group, domain)
        assert unfolded.x.shape == (len(start), *domain.shape)
        assert torch.equal(unfolded.group, group.repeat_interleave(form.copies))
        assert unfolded.y.shape == (len(start), domain.classes)
        assert torch.allclose(unfolded.y.sum(1), torch.ones(len(start), dtype=torch.float64))
        assert (unfolded.y.argmax(1) == unfolded.group).all()


def folds_back_what_it_unfolds(name: str) -> None:
    """Folding is the nearest point of the form: what was unfolded folds back to the same stored samples."""
    for form, domain, start, group in settings(name):
        stored = form.fold(start, domain)
        again = form.fold(form.unfold(stored, group, domain), domain)
        assert stored.keys() == again.keys()
        for key, tensor in stored.items():
            assert torch.allclose(tensor, again[key], atol=1e-8), f"{form.spec}: {key} is not kept"


def keeps_type_and_owns_its_tensors(name: str) -> None:
    """Stored tensors have the samples' floating type and share no memory with them; one row a stored sample."""
    for form, domain, start, group in settings(name):
        for dtype in (torch.float64, torch.float32):
            given = start.to(dtype=dtype)
            before = given.x.clone()
            stored = form.fold(given, domain)
            assert all(tensor.dtype == dtype and len(tensor) == len(group) for tensor in stored.values())
            for tensor in stored.values():
                tensor.zero_()
            assert torch.equal(given.x, before)


def is_differentiable(name: str) -> None:
    """Gradients reach every stored tensor, and are those of finite differences."""
    for form, domain, start, group in settings(name):
        stored = form.fold(start, domain)
        names, leaves = list(stored), [tensor.requires_grad_() for tensor in stored.values()]
        weights = torch.randn(start.x.shape, generator=stream(0, "weights"), dtype=torch.float64)

        def value(
            *tensors: torch.Tensor,
            form: Parameterization = form,
            domain: Domain = domain,
            group: torch.Tensor = group,
            names: list[str] = names,
            weights: torch.Tensor = weights,
        ) -> torch.Tensor:
            held: Tensors = dict(zip(names, tensors, strict=True))
            unfolded = form.unfold(held, group, domain)
            return (unfolded.x * weights).sum() + (unfolded.y**2).sum()

        assert torch.autograd.gradcheck(value, leaves, fast_mode=True)
        assert all(slope.abs().sum() > 0 for slope in torch.autograd.grad(value(*leaves), leaves))


def unfolds_each_sample_alone(name: str) -> None:
    """What a stored sample unfolds into does not depend on the others."""
    for form, domain, start, group in settings(name):
        stored = form.fold(start, domain)
        last = {key: tensor[-1:] for key, tensor in stored.items()}
        whole, alone = form.unfold(stored, group, domain), form.unfold(last, group[-1:], domain)
        assert torch.allclose(whole.x[-form.copies :], alone.x)
        assert torch.allclose(whole.y[-form.copies :], alone.y)


PROMISES: tuple[Callable[[str], None], ...] = (
    unfolds_into_training_samples,
    folds_back_what_it_unfolds,
    keeps_type_and_owns_its_tensors,
    is_differentiable,
    unfolds_each_sample_alone,
)
