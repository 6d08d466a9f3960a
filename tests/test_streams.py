"""Randomness is an argument: one stream a purpose, the global generators left alone; digests tell values apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster  # noqa: F401  (imported for the first time, it draws from Python's generator)
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.cost import forecast
from limbeck.digest import canonical, digest, digest_array
from limbeck.distillation import distill
from limbeck.evaluation import evaluate, reference
from limbeck.runners import run_study
from limbeck.streams import borrowed_global, derive, numpy_stream, stream
from limbeck.study import StudyFolder, table
from limbeck.testing.blobs import blobs
from little import little_study

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONFIGURATION = "mlp(width=8, depth=1)/adamw/none/cosine(steps=3)"


def global_generators() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002


@contextmanager
def untouched() -> Iterator[None]:
    """Fails where the code inside draws from, or seeds, a generator that belongs to the user."""
    before = global_generators()
    yield
    assert global_generators() == before


def test_a_stream_is_the_same_for_the_same_purpose_and_another_for_another() -> None:
    first = torch.rand(4, generator=stream(0, "init", "cell", 3))
    assert torch.equal(first, torch.rand(4, generator=stream(0, "init", "cell", 3)))
    for other in (stream(1, "init", "cell", 3), stream(0, "init", "cell", 4), stream(0, "init", "cell3")):
        assert not torch.equal(first, torch.rand(4, generator=other))
    assert (numpy_stream(0, "a").random(3) == numpy_stream(0, "a").random(3)).all()


@given(st.integers(), st.lists(st.text(alphabet=st.characters(codec="utf-8")) | st.integers(), max_size=3))
def test_derived_seeds_fit_every_generator_and_do_not_collide(seed: int, purpose: list[str | int]) -> None:
    derived = derive(seed, *purpose)
    assert 0 <= derived < 2**63
    assert derived != derive(seed, *purpose, "more")
    assert derived != derive(seed + 1, *purpose)


def test_derived_seeds_are_spread_evenly() -> None:
    # A seed's bits are fair coins: over 4000 seeds the mean of each of 63 bits has a deviation of 0.0079.
    bits = np.array([[derive(seed, "x") >> bit & 1 for bit in range(63)] for seed in range(4000)])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.0079


def test_a_borrowed_global_generator_is_given_back() -> None:
    with untouched():
        drawn = []
        for _ in range(2):
            with suppress(RuntimeError), borrowed_global(3, "network"):
                drawn.append(torch.nn.Linear(3, 2).weight)
                raise RuntimeError
        assert torch.equal(*drawn)


@given(JSON, JSON)
def test_equal_values_and_only_they_have_equal_digests(first: Any, second: Any) -> None:
    # 1, 1.0 and True are equal to Python and not to JSON; their texts tell them apart.
    assert (digest(first) == digest(second)) == (canonical(first) == canonical(second))


def test_a_digest_does_not_depend_on_the_order_of_keys_and_refuses_what_is_no_number() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    # The published SHA-256 of the two bytes {}.
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(ValueError, match="JSON compliant"):
        digest(float("nan"))


def test_array_digests_tell_type_shape_order_and_bits_apart() -> None:
    held = np.arange(6, dtype=np.float32)
    others = [held.reshape(2, 3), held.astype(np.float64), held[::-1], np.nextafter(held, np.float32(9))]
    assert len({digest_array(array) for array in (held, *others)}) == 5
    assert digest_array(held.reshape(2, 3).T) == digest_array(np.ascontiguousarray(held.reshape(2, 3).T))
    assert digest_array(held, held) != digest_array(held)


METHODS = ["random", "herding", "k-means", "dm(steps=2)", "dsa(steps=2, epochs=1)"]
METHODS += ["mtt(steps=1, experts=1, expert_epochs=4, max_start=1, synthetic_steps=2, lr_pixels=1.0)"]


@pytest.mark.parametrize("method", METHODS)
def test_no_method_touches_the_global_generators(method: str) -> None:
    source = blobs((1, 8, 8))
    with untouched():
        distill(source, method, CONFIGURATION, 1, candidates=2)
        forecast(source, method, CONFIGURATION, 1)


@pytest.mark.parametrize(
    "configuration",
    ["convnet(width=4, depth=1)/sgd/siamese/constant(steps=2)", "lenet/adam/flip-crop/step(steps=2)", "mlp/cutmix"],
)
def test_no_training_touches_the_global_generators(configuration: str) -> None:
    source = blobs((1, 28, 28) if "lenet" in configuration else (1, 8, 8))
    made = distill(source, "random", configuration, 2)
    with untouched():
        evaluate(made, configuration, source, [0])
        reference(source, configuration, [0])


@pytest.mark.parametrize("ask", [table, lambda folder: run_study(folder, "serial"), lambda folder: folder.cells()])
def test_no_study_touches_the_global_generators(tmp_path: Path, ask: Callable[[StudyFolder], Any]) -> None:
    folder = StudyFolder.open(little_study(tmp_path), tmp_path / "runs")
    with untouched():
        ask(folder)
