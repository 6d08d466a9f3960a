"""Coresets against what they promise: farthest points, and a count of what a training forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.distillation import distill
from limbeck.dynamics import Dynamics
from limbeck.errors import BadData
from limbeck.methods.dm import DM
from limbeck.methods.forgetting import Forgetting
from limbeck.methods.k_center import KCenter
from limbeck.methods.k_means import KMeans
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.states import Scene
from limbeck.testing.blobs import blobs


def distances(source: Source, chosen: torch.Tensor, label: int) -> torch.Tensor:
    """From every sample of a class to each chosen one of it (n, chosen)."""
    own = (source.train.group == label).nonzero().flatten()
    kept = chosen[source.train.group[chosen] == label]
    return torch.cdist(source.train.x[own].flatten(1).double(), source.train.x[kept].flatten(1).double())


def test_each_next_centre_is_the_farthest_sample_from_those_before() -> None:
    source = blobs((4,), (30, 20, 25))
    chosen = KCenter().choose(source, 6, seed=3)
    assert len(set(chosen.tolist())) == 18
    for label in range(3):
        away = distances(source, chosen, label)
        kept = chosen[source.train.group[chosen] == label]
        own = (source.train.group == label).nonzero().flatten()
        for count in range(1, 6):
            nearest = away[:, :count].min(1).values
            place = int((own == kept[count]).nonzero())
            assert nearest[place] == pytest.approx(float(nearest.max()))


def test_the_cover_is_within_twice_the_best_one() -> None:
    """Exhaustive search over all pairs of centres is the oracle of Gonzalez's bound."""
    source = blobs((2,), (24, 24, 24))
    chosen = KCenter().choose(source, 2, seed=0)
    for label in range(3):
        own = (source.train.group == label).nonzero().flatten()
        points = source.train.x[own].double()
        every = torch.cdist(points, points)
        best = min(
            float(torch.minimum(every[:, a], every[:, b]).max())
            for a in range(len(own))
            for b in range(a + 1, len(own))
        )
        assert float(distances(source, chosen, label).min(1).values.max()) <= 2 * best + 1e-9


def test_copies_of_one_sample_are_chosen_once_each() -> None:
    x = torch.ones(12, 3)
    x[6:] = -1.0
    source = Source.from_arrays(x.numpy(), (torch.arange(12) >= 6).long().numpy(), name="copies", test_fraction=0.1)
    chosen = KCenter().choose(source, 3, seed=0)
    assert len(set(chosen.tolist())) == 6


def flip_flop(scene_seed: int, epochs: int) -> tuple[Forgetting, Scene]:
    """Two easy clouds and two samples in the wrong one, which are never right for long."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=generator) * 0.3
    y = torch.arange(60) % 2
    x[:, 0] += 2.0 * (2 * y - 1)
    x[:2, 0] *= -1
    data = Samples.hard(x, y, 2)
    method = Forgetting(epochs=epochs, optimizer="sgd(lr=0.05, momentum=0.0)", batch=20)
    plain = Dynamics("mlp(width=8, depth=1)", Domain((2,), 2)).configuration
    dynamics = Dynamics(method.dynamics_configuration(plain, Domain((2,), 2), 1), Domain((2,), 2))
    return method, Scene(dynamics, data, scene_seed)


def test_what_is_never_learned_counts_as_forgotten_most_and_easy_samples_least() -> None:
    method, scene = flip_flop(0, epochs=8)
    count = method.forgotten(scene)
    assert count[:2].tolist() == [8, 8]
    assert (count[2:] < 2).all()


def test_the_count_is_that_of_right_to_wrong_transitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are played back from a table; counting its transitions by hand is the oracle."""
    method, scene = flip_flop(0, epochs=4)
    shown = torch.zeros(4, 60, dtype=torch.bool)
    shown[:, 0] = torch.tensor([True, False, True, False])  # forgotten twice
    shown[:, 1] = torch.tensor([False, True, True, True])  # learned once, never forgotten
    shown[:, 2] = torch.tensor([True, True, True, False])  # forgotten once
    replay = iter(shown)

    def predict(state: object, x: torch.Tensor) -> torch.Tensor:
        right = next(replay)
        return torch.nn.functional.one_hot(torch.where(right, scene.train.group, 1 - scene.train.group), 2).float()

    monkeypatch.setattr(scene.dynamics, "predict", predict)
    assert method.forgotten(scene)[:4].tolist() == [2, 0, 1, 4]


def test_the_most_forgotten_are_chosen() -> None:
    source = blobs((6,), (30, 30, 30), spread=4.0)
    method = Forgetting(epochs=12, batch=16)
    plain = Dynamics("mlp(width=8, depth=1)", source.domain).configuration
    scene = Scene(Dynamics(method.dynamics_configuration(plain, source.domain, 4), source.domain), source.train, 7)
    count = method.forgotten(scene)
    begun = method.begin(source, scene, 4)
    for label in range(3):
        own = (source.train.group == label).nonzero().flatten()
        most = count[own].sort(descending=True).values[:4]
        places = [int((source.train.x == x).all(1).nonzero()) for x in begun.x[begun.group == label]]
        assert sorted(count[places].tolist()) == sorted(most.tolist())


def test_sets_may_start_from_the_samples_nearest_to_the_means_of_planted_clusters() -> None:
    """Six tight clusters a class, far apart: k-means must find them, whose means are known without it."""
    random = torch.Generator().manual_seed(0)
    place = 10 * torch.arange(6, dtype=torch.float32).repeat_interleave(21)
    x = torch.stack([place, place.flip(0)], 1) + 0.1 * torch.randn(126, 2, generator=random)
    group = torch.arange(126) % 3  # every cluster holds seven samples of each class
    planted = blobs((2,), (42, 42, 42))
    source = replace(planted, train=Samples.hard(x, group, 3))
    chosen = KMeans(restarts=10).choose(source, 6, seed=2)
    for label in range(3):
        found = {round(float(x[i, 0]) / 10): int(i) for i in chosen if group[i] == label}
        assert set(found) == set(range(6))
        for cluster, nearest in found.items():
            own = torch.arange(21 * cluster, 21 * cluster + 21)
            own = own[group[own] == label]
            away = (x[own] - x[own].mean(0)).norm(dim=1)
            assert away[(own == nearest).nonzero()] == pytest.approx(float(away.min()), abs=1e-5)
    scene = Scene(Dynamics("mlp(width=4)", source.domain), source.train, 2)
    begun = DM(initial="k-means").begin(source, scene, 6)
    assert torch.equal(begun.x, source.train.x[KMeans().choose(source, 6, seed=2)])
    tiles = DM(initial="k-means", factor=2)
    pictures = blobs((1, 4, 4), (12, 12, 12))
    scene = Scene(Dynamics("convnet(width=4, depth=1)", pictures.domain), pictures.train, 2)
    assert len(set(map(tuple, tiles.begin(pictures, scene, 2).x.flatten(1).tolist()))) == 24
    with pytest.raises(BadData, match="in tiles that start from 4 samples each"):
        tiles.begin(pictures, scene, 4)


def test_a_selection_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr("limbeck.distillation.time.perf_counter", lambda: float(next(clock)))
    assert distill("digits", "random", "mlp", 2).provenance["seconds"] >= 7.0
