"""How far an update goes along a run, where pixels end, and which set is kept: the start too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.cost import forecast
from limbeck.distillation import distill
from limbeck.methods.cafe import CAFE
from limbeck.methods.dm import DM
from limbeck.methods.idc import IDC
from limbeck.methods.mtt import MTT
from limbeck.methods.ncfm import plateau
from limbeck.parameterizations import Tensors
from limbeck.sources import Source
from limbeck.streams import stream
from limbeck.testing.blobs import blobs

SMALL = "mlp(width=8)/adam(lr=0.05)/none/constant(steps=40)"
SHORT = {"experts": 1, "expert_epochs": 2, "ahead": 1, "max_start": 1, "synthetic_steps": 2}


@pytest.fixture(scope="module")
def source() -> Source:
    return blobs((6,), (20, 20, 20))


def test_an_update_is_that_of_the_rule_at_the_rate_of_its_place_in_the_run(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DM's samples are moved by SGD: without momentum, a rate of p times as much moves them p times as far."""

    def moved(factor: float) -> Tensor:
        monkeypatch.setattr(DM, "pace", lambda self, progress, losses: factor if progress >= 0.5 else 0.0)
        made = distill(source, DM(momentum=0.0), SMALL, 2, steps=2, candidates=1)
        return made.tensors["pixels"] - distill(source, "random", SMALL, 2).tensors["pixels"]

    assert moved(1.0).abs().max() > 0
    torch.testing.assert_close(moved(0.25), 0.25 * moved(1.0), rtol=1e-4, atol=1e-6)


def test_a_rate_that_falls_on_plateaus_falls_where_torchs_does() -> None:
    generator = stream(0, "losses")
    losses = (
        torch.linspace(1, 0, 300, dtype=torch.float64) ** 4 + 0.05 * torch.rand(300, generator=generator)
    ).tolist()
    rule = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(rule, factor=0.5, patience=20)
    theirs = []
    for loss in losses:
        theirs.append(rule.param_groups[0]["lr"])
        schedule.step(loss)
    assert [plateau(losses[:step], 20) for step in range(300)] == theirs
    assert len(set(theirs)) > 2


def test_cafe_halves_its_rate_three_times() -> None:
    places = (0.0, 0.59, 0.6, 0.8, 0.95)
    assert [CAFE().pace(progress, []) for progress in places] == [1.0, 1.0, 0.5, 0.25, 0.125]


def test_clipped_samples_stay_in_the_range_of_each_feature(source: Source) -> None:
    free, cut = (
        distill(source, f"dm(lr_pixels=30, clip={clip})", SMALL, 2, steps=3, candidates=1).tensors["pixels"]
        for clip in ("false", "true")
    )
    least, largest = source.train.x.amin(0), source.train.x.amax(0)
    assert ((free < least) | (free > largest)).any()
    assert ((cut >= least) & (cut <= largest)).all()


def test_idc_cuts_pixels_off_where_a_network_begins_and_nowhere_else() -> None:
    """Three updates a network: after the fourth, the first under the second network, all pixels are in range."""
    source = blobs((1, 8, 8), (20, 20, 20))
    small = "convnet(width=4, depth=1)/sgd"

    def inside(steps: int) -> bool:
        made = distill(source, IDC(lr_pixels=100.0, factor=1, length=3, passes=1), small, 2, steps=steps, candidates=1)
        pixels = made.tensors["pixels"]
        return bool(((pixels >= source.train.x.min()) & (pixels <= source.train.x.max())).all())

    assert [inside(steps) for steps in (1, 3, 4, 6)] == [True, False, True, False]


def test_a_set_that_validates_worse_than_its_start_is_not_kept(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe whose every update shows each class what belongs to another."""

    def spoilt(self: MTT, scene: Any, moment: Any, tensors: Tensors, unfold: Any) -> Tensors:
        return {**tensors, "pixels": begun.tensors["pixels"].roll(2, 0)}

    begun = distill(source, "random", SMALL, 2)
    monkeypatch.setattr(MTT, "settled", spoilt)
    for keep_start, steps in ((True, [0, 1, 2]), (False, [1, 2])):
        made = distill(source, MTT(**SHORT, keep_start=keep_start), SMALL, 2, steps=2, candidates=2)
        candidates = made.provenance["candidates"]
        assert [candidate["step"] for candidate in candidates] == steps
        assert torch.equal(made.tensors["pixels"], begun.tensors["pixels"]) == keep_start


def test_the_start_is_validated_once_and_never_where_nothing_is(source: Source) -> None:
    alone = distill(source, MTT(**SHORT), SMALL, 2, steps=2, candidates=1)
    assert alone.provenance["candidates"] == []
    assert forecast(source, MTT(**SHORT), SMALL, 2, steps=2, candidates=2).seconds > 0
