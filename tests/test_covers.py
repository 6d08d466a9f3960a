"""Covers and packings agree with exhaustive search, and their certificates hold at every radius."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadData, BadSetting
from limbeck.laws.covers import (
    cover,
    cover_centres,
    exact_cover,
    farthest_order,
    greedy_counts,
    greedy_cover,
    packing,
)


def cloud(seed: int, members: int, dims: int = 2) -> np.ndarray:
    """Distances of random points, two of them one and the same."""
    x = np.random.default_rng(seed).normal(size=(members, dims))
    if members > 3:
        x[1] = x[0]
    return np.linalg.norm(x[:, None] - x[None], axis=2)


def smallest_cover(d: np.ndarray, radius: float) -> int:
    n = len(d)
    sizes = (c for c in range(1, n + 1) for s in combinations(range(n), c) if (d[list(s)].min(0) <= radius).all())
    return next(sizes)


def largest_packing(d: np.ndarray, radius: float) -> int:
    n = len(d)
    apart = d > radius
    return max(
        c
        for c in range(1, n + 1)
        if any(all(apart[i, j] for i, j in combinations(s, 2)) for s in combinations(range(n), c))
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(1, 8), radius=st.floats(0, 2.5))
def test_the_smallest_cover_is_the_one_that_exhaustive_search_finds(seed: int, members: int, radius: float) -> None:
    d = cloud(seed, members)
    found, truth = cover(d, radius), smallest_cover(d, radius)
    assert len(found.centres) == found.least == truth == len(exact_cover(d, radius))
    assert found.exact
    assert (d[list(found.centres)].min(0) <= radius).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(1, 8), radius=st.floats(0, 2.5))
def test_packings_certify_covers(seed: int, members: int, radius: float) -> None:
    d = cloud(seed, members)
    n = smallest_cover(d, radius)
    assert largest_packing(d, 2 * radius) <= n <= largest_packing(d, radius)
    own = packing(d, 2 * radius)
    assert all(d[i, j] > 2 * radius for i, j in combinations(own, 2))
    assert len(own) <= n


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 40))
def test_one_pass_gives_a_cover_that_is_a_packing_at_every_radius(seed: int, members: int) -> None:
    d = cloud(seed, members, dims=3)
    order = farthest_order(d)
    assert sorted(order.order) == list(range(members))
    assert (np.diff(order.radii) <= 1e-12).all()
    assert order.radii[-1] == 0
    for radius in [0.0, *order.radii[:6]]:
        centres = order.centres(radius)
        assert (d[centres].min(0) <= radius).all()
        assert all(d[i, j] > radius for i, j in combinations(centres, 2))


def test_greedy_covers_of_many_families_at_once_are_those_of_each_alone() -> None:
    d = cloud(3, 30, dims=3)
    members = np.array([np.random.default_rng(seed).choice(30, 12, replace=False) for seed in range(20)])
    counts = greedy_counts(d, members, 1.2)
    for row, count in zip(members, counts, strict=True):
        alone = greedy_cover(d[np.ix_(row, row)], 1.2)
        assert len(alone) == count
        assert (d[np.ix_(row[alone], row)].min(0) <= 1.2).all()


def test_the_first_centres_cover_within_twice_the_least_radius() -> None:
    d = cloud(5, 9)
    for count in (1, 2, 3, 4):
        own = d[cover_centres(d, count)].min(0).max()
        best = min(d[list(s)].min(0).max() for s in combinations(range(9), count))
        assert best <= own <= 2 * best + 1e-12
    with pytest.raises(BadSetting, match="10 centres"):
        cover_centres(d, 10)


def test_duplicates_need_one_centre_and_a_large_family_still_has_a_bound() -> None:
    assert cover(np.zeros((7, 7)), 0.0).centres == (0,)
    d = cloud(1, 60, dims=4)
    found = cover(d, 1.0, exact_limit=10)
    assert found.least <= len(exact_cover(d, 1.0)) <= len(found.centres)


def test_what_is_no_distance_matrix_is_refused() -> None:
    for bad in (np.ones((2, 3)), np.ones((2, 2)), np.array([[0, 1], [2, 0]]), np.array([[0, np.nan], [np.nan, 0]])):
        with pytest.raises(BadData, match="distances"):
            cover(bad, 1.0)
