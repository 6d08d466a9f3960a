"""Handwritten digits of 8x8 pixels, from scikit-learn's wheel."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from limbeck.sources import RawData, SourceVariant


class Digits(SourceVariant):
    """1797 handwritten digits of 8x8 pixels in 17 levels of grey; the default source, needs no download.

    Pixels are count/16. There is no test file: `test_fraction` of each class is held out by digest.

    Source: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits (CC BY 4.0), through scikit-learn.
    """

    test_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)

    def read(self) -> RawData:
        table = _table()  # (1797, 65): pixels row by row, then the digit
        images = (table[:, :-1] / 16.0).astype(np.float32).reshape(-1, 8, 8)
        return RawData(
            "digits", (images, table[:, -1].astype(np.int64)), mirror=False, test_fraction=self.test_fraction
        )


def _table() -> Any:
    """scikit-learn's table, read from its file: to import scikit-learn for it takes most of a second."""
    found = find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            with gzip.open(file, "rt") as lines:
                return np.loadtxt(lines, delimiter=",")
    from sklearn.datasets import load_digits

    data = load_digits()
    return np.column_stack([data.data, data.target])
