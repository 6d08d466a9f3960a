"""Handwritten digits of 8x8 pixels, from scikit-learn's wheel."""

from __future__ import annotations

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
        from sklearn.datasets import load_digits

        data = load_digits()
        images = (data.images / 16.0).astype(np.float32)  # (1797, 8, 8)
        return RawData("digits", (images, data.target), mirror=False, test_fraction=self.test_fraction)
