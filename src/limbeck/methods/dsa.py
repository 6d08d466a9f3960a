"""DSA: gradient matching on siamese views."""

from __future__ import annotations

from typing import ClassVar

from limbeck.methods import Start
from limbeck.methods.dc import DC


class DSA(DC):
    """DC with one shared random view of the real and the synthetic batch (Zhao & Bilen, ICML 2021).

    The views serve inside the surrogate and while training on the set; the set starts from real samples.
    """

    paper: ClassVar[str] = "zhao2021dsa"

    initial: Start = "real"
    augmentation: str = "siamese"
