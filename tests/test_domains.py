"""A distribution shift is part of a configuration: the set and its reference are judged on the same shifted samples."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck.configuration import PARTS, Configuration
from limbeck.errors import BadSetting, NotApplicable
from limbeck.evaluation import evaluate, reference, with_gaps
from limbeck.methods import Method
from limbeck.samples import Domain, Samples
from limbeck.sources import load_source
from limbeck.variants import make, members

IMAGES = Domain((1, 9, 9), 3)
VECTORS = Domain((5,), 3)
PLAIN = "mlp(width=8)/sgd(lr=0.05)/none/cosine(steps=20)"


def samples(domain: Domain = IMAGES, count: int = 30) -> Samples:
    x = torch.randn(count, *domain.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Samples.hard(x, torch.arange(count) % domain.classes, domain.classes)


def test_a_configuration_without_a_shift_keeps_its_text_and_digest() -> None:
    bare, named = Configuration.parse(PLAIN), Configuration.parse(f"{PLAIN}/clean")
    assert bare == named
    assert bare.spec == named.spec == PLAIN
    assert bare.full_spec.count("/") == 3
    # the digest that version 0.1 gave to this configuration, before there were domains
    assert Configuration.parse("mlp").digest == "d45e8087e27e820ad85ba7449a52840002be3d2a33a7ca804d1985148af993bf"


def test_a_shift_is_another_configuration_and_reads_back() -> None:
    shifted = Configuration.parse(
        f"blur(sd=1.5)/{PLAIN}".replace("blur(sd=1.5)/mlp(width=8)", "mlp(width=8)/blur(sd=1.5)")
    )
    assert shifted != Configuration.parse(PLAIN)
    assert Configuration.parse(shifted.spec) == shifted
    assert Configuration.parse(shifted.full_spec) == shifted
    assert shifted.replace(domain=make("domains", "clean")) == Configuration.parse(PLAIN)
    with pytest.raises(BadSetting, match="two domains"):
        Configuration.parse("mlp/blur/contrast")


def test_part_names_are_of_one_family_only() -> None:
    families = [set(members(family)) for family in PARTS if family != "architectures"]
    assert sum(map(len, families)) == len(set.union(*families))


@pytest.mark.parametrize("name", sorted(members("domains")))
def test_every_domain_is_fixed_keeps_labels_and_shows_every_sample(name: str) -> None:
    domain, before = make("domains", name), samples()
    first, again = domain.apply(before, IMAGES), domain.apply(before, IMAGES)
    assert torch.equal(first.x, again.x)
    assert first.x.dtype == before.x.dtype
    assert torch.equal(first.y.argmax(1), first.group)
    assert set(first.group.tolist()) == {0, 1, 2}
    shown = domain.shown(before, IMAGES)
    assert torch.equal(shown.group, before.group)
    assert torch.equal(before.x, samples().x)


@pytest.mark.parametrize("name", ["blur", "contrast", "shift"])
def test_image_shifts_refuse_vectors(name: str) -> None:
    with pytest.raises(NotApplicable, match="features a sample"):
        make("domains", name).check(VECTORS)
    make("domains", name).check(IMAGES)


def test_noise_has_the_declared_size() -> None:
    domain = Domain((40,), 2)
    before = Samples.hard(torch.zeros(2000, 40, dtype=torch.float64), torch.zeros(2000, dtype=torch.int64), 2)
    added = make("domains", "gaussian-noise(sd=0.3)").apply(before, domain).x
    assert float(added.std()) == pytest.approx(0.3, rel=4 / math.sqrt(2 * added.numel()))
    assert float(added.mean()) == pytest.approx(0, abs=4 * 0.3 / math.sqrt(added.numel()))


def test_a_blurred_point_is_a_normal_density_and_a_constant_image_stays() -> None:
    point = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    point[0, 0, 15, 15] = 1
    domain = Domain((1, 31, 31), 2)
    held = Samples.hard(point, torch.zeros(1, dtype=torch.int64), 2)
    blurred = make("domains", "blur(sd=2)").apply(held, domain).x[0, 0]
    places = torch.arange(31, dtype=torch.float64) - 15
    assert float(blurred.sum()) == pytest.approx(1)
    assert float((blurred.sum(0) * places**2).sum()) == pytest.approx(4, rel=0.03)  # its variance, cut at 3 sd
    ones = Samples.hard(torch.ones(2, 1, 9, 9, dtype=torch.float64), torch.zeros(2, dtype=torch.int64), 3)
    torch.testing.assert_close(make("domains", "blur(sd=4)").apply(ones, IMAGES).x, ones.x)


def test_a_moved_image_keeps_its_inner_part() -> None:
    before = samples()
    moved = make("domains", "shift(right=2, down=-1)").apply(before, IMAGES).x
    assert torch.equal(moved[:, :, :-1, 2:], before.x[:, :, 1:, :-2])
    with pytest.raises(NotApplicable, match="out of sight"):
        make("domains", "shift(right=9)").check(IMAGES)


def test_imbalance_keeps_the_declared_share_of_each_class() -> None:
    before = Samples.hard(torch.zeros(300, 5), torch.arange(300) % 3, 3)
    held = make("domains", "imbalance(ratio=4)").apply(before, VECTORS)
    assert torch.bincount(held.group).tolist() == [100, 50, 25]
    turned = make("domains", "imbalance(ratio=4, reverse=true)").apply(before, VECTORS)
    assert torch.bincount(turned.group).tolist() == [25, 50, 100]


def test_the_reference_is_tested_in_the_same_domain() -> None:
    source = load_source("digits")
    shifted = "mlp(width=16)/sgd(lr=0.05)/none/cosine(steps=40)/gaussian-noise(sd=2)"
    clean = shifted.rpartition("/")[0]
    method: Method = make("methods", "random")
    from limbeck.distillation import distill

    held = distill(source, method, clean, 5, seed=1)
    rows = [
        row for text in (clean, shifted) for row in (*reference(source, text, [0]), *evaluate(held, text, source, [0]))
    ]
    errors = [row["error"] for row in rows]
    assert errors[2] > errors[0] + 0.1  # noise of twice the signal hurts the full-data network too,
    gaps = [row["gap"] for row in with_gaps(rows) if row["method"] != "reference"]
    assert gaps[1] == pytest.approx(errors[3] - errors[2])  # and the gap is taken against it there
