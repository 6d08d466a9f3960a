"""What is timed, and how straightforward PyTorch does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Work = Callable[[], float]
"""Does a piece of work and returns its seconds, scaled to the whole where only a declared fraction is run."""

CORES = 2
CLASSES, REAL, PER_CLASS, STEPS = 10, 6000, 10, 1000
FASHION, DIGITS = (1, 28, 28), (1, 8, 8)
CONVNET = "convnet(width=32, depth=3)"
FASHION_CONFIGURATIONS = [
    f"{CONVNET}/{optimizer}/{views}"
    for optimizer, views in (("sgd", "none"), ("adamw", "none"), ("adamw", "siamese"), ("sgd", "siamese"))
]
SMALL = "convnet(width=16, depth=2)"
DIGITS_CONFIGURATIONS = ["mlp/sgd(lr=0.05)", "mlp/adamw", f"{SMALL}/adamw", f"{SMALL}/sgd(lr=0.02)"]
STUDY = Path(__file__).parents[1] / "studies" / "digits.toml"


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def images(count: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Random images and their labels, class by class."""
    import torch

    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
    return x, (torch.arange(count) * CLASSES).div(count, rounding_mode="floor")


def plain_network(text: str, shape: tuple[int, ...]) -> Any:
    from plain.network import MLP, ConvNet

    if text.startswith("mlp"):
        return MLP(shape, CLASSES)
    return ConvNet(shape, CLASSES, *((32, 3) if "32" in text else (16, 2)))


def plain_rule(text: str) -> Any:
    import torch

    if "adamw" in text:
        return lambda parameters: torch.optim.AdamW(parameters, lr=1e-3)
    return lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def plain_dm(shape: tuple[int, ...] = FASHION, network: str = CONVNET, per_class: int = PER_CLASS) -> Work:
    import torch

    from plain import dm
    from plain.data import RealImages

    x, labels = images(REAL if shape == FASHION else 1300, shape)
    real = RealImages(x, labels, CLASSES)
    synthetic = torch.randn(CLASSES * per_class, *shape, requires_grad=True)
    optimizer = torch.optim.SGD([synthetic], lr=1.0, momentum=0.5)
    return lambda: timed(lambda: dm.step(plain_network(network, shape), real, synthetic, optimizer, per_class))


def plain_dc_parts(shape: tuple[int, ...], network: str, per_class: int) -> tuple[Work, Work]:
    """One update of the set, and one epoch on it."""
    import torch

    from plain import dc
    from plain.data import RealImages

    x, labels = images(REAL if shape == FASHION else 1300, shape)
    real = RealImages(x, labels, CLASSES)
    synthetic = torch.randn(CLASSES * per_class, *shape, requires_grad=True)
    own = torch.arange(CLASSES).repeat_interleave(per_class)
    optimizer = torch.optim.SGD([synthetic], lr=0.1, momentum=0.5)
    module = plain_network(network, shape)
    epochs = 4
    return (
        lambda: timed(lambda: dc.match(module, real, synthetic, optimizer, per_class)),
        lambda: timed(lambda: dc.follow(module, synthetic, own, epochs)) / epochs,
    )


def plain_dc() -> Work:
    match, epoch = plain_dc_parts(FASHION, CONVNET, PER_CLASS)
    return lambda: PER_CLASS * match() + (PER_CLASS - 1) * 50 * epoch()


class Fraction(NamedTuple):
    """What is run of the whole: `steps` of `of` epochs, one in `tests` of the test samples, all `seeds`."""

    steps: int
    of: int
    tests: int
    seeds: int


def plain_evaluate(configurations: list[str], shape: tuple[int, ...], k: int, tested: int, fraction: Fraction) -> Work:
    from plain.evaluate import evaluate

    held = images(k, shape)
    tests = [images(tested // fraction.tests, shape)]

    def work() -> float:
        training = testing = 0.0
        for text in configurations:
            for _ in range(fraction.seeds):
                module, rule = plain_network(text, shape), plain_rule(text)
                begun = time.perf_counter()
                evaluate(module, held, [], rule, fraction.steps, siamese="siamese" in text)
                between = time.perf_counter()
                evaluate(module, held, tests, rule, 0)
                training += between - begun
                testing += time.perf_counter() - between
        return training * fraction.of / fraction.steps + testing * fraction.tests

    return work


FASHION_EVALUATION = (FASHION_CONFIGURATIONS, FASHION, 100, 16000, Fraction(5, 300, 16, 4))
DIGITS_EVALUATION = (DIGITS_CONFIGURATIONS, DIGITS, 50, 500, Fraction(50, 150, 1, 16))


def plain_study() -> Work:
    """The demo study's work from its components, each timed and multiplied by how often the study does it."""
    import tomllib

    held = tomllib.loads(STUDY.read_text())
    replicates = held["sets"] * held["seeds"] * len(held["methods"])
    dms, dcs = ([text for text in held["methods"] if text.startswith(name)] for name in ("dm", "dc"))
    steps = {text: int(text.split("steps=")[1].split(",")[0].rstrip(")")) for text in (*dms, *dcs)}
    epochs = {1: 1, 2: 6, 5: 23, 10: 50, 20: 25}  # of dc at each size, as its recipe interpolates the published ones
    evaluations = {
        per_class: [
            plain_evaluate([text], DIGITS, CLASSES * per_class, 500, Fraction(30, 150, 1, 1))
            for text in held["configurations"]
        ]
        for per_class in held["per_class"]
    }
    references = [plain_evaluate([text], DIGITS, 256, 500, Fraction(30, 150, 1, 1)) for text in held["configurations"]]
    dm_steps = {k: plain_dm(DIGITS, SMALL, k) for k in held["per_class"]}
    dc_parts = {k: plain_dc_parts(DIGITS, SMALL, k) for k in held["per_class"]}

    def work() -> float:
        total = sum(replicates * each() for several in evaluations.values() for each in several)
        total += held["reference_seeds"] * sum(each() for each in references)
        for per_class in held["per_class"]:
            total += held["sets"] * sum(steps[text] for text in dms) * dm_steps[per_class]()
            match, epoch = dc_parts[per_class]
            trained = 1 - 1 / per_class  # a network is replaced, not trained, after its last update
            total += held["sets"] * sum(steps[text] for text in dcs) * (match() + epochs[per_class] * trained * epoch())
        return total

    return work
