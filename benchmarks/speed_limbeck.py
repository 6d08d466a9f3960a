"""The same work by limbeck: what one of its `CORES` processes does of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import Any

from speed_plain import CLASSES, CONVNET, CORES, FASHION, PER_CLASS, REAL, STEPS, STUDY, Fraction, Work, images, timed


def source(shape: tuple[int, ...]) -> Any:
    from limbeck.sources import Source

    x, labels = images(REAL + 600 if shape == FASHION else 1300, shape)
    return Source.from_arrays(x.numpy(), labels.numpy(), x[::10].numpy(), labels[::10].numpy(), layout="nchw")


def ours_distillation(method: str) -> Any:
    import torch

    from limbeck.pool import Pool
    from limbeck.task import Task

    configuration = f"{CONVNET}/sgd/cosine(steps=300)"
    pool = Pool.of([configuration], "equal")
    return Task.prepare(source(FASHION), method, configuration, pool, PER_CLASS, 0, None, "cpu", torch.float32)


def ours_dm(part: int) -> Work:
    task = ours_distillation(f"dm(steps={STEPS})")
    run = task.start()
    return lambda: timed(lambda: task.advance(run, STEPS)) / CORES


def ours_dc(part: int) -> Work:
    from limbeck.states.synthetic_path import SyntheticPath

    task = ours_distillation(f"dc(steps={STEPS}, length=1)")  # a new network after each update: no training in it
    run = task.start()
    epochs = 4
    path = SyntheticPath(length=PER_CLASS, epochs=epochs)

    def work() -> float:
        match = timed(lambda: task.advance(run, STEPS))
        synthetic = task.unfold(run.tensors)
        epoch = timed(lambda: path.advance(task.scenes[0], run.carries[0], 0, synthetic)) / epochs
        return (PER_CLASS * match + (PER_CLASS - 1) * 50 * epoch) / CORES

    return work


def ours_evaluate(
    part: int, configurations: list[str], shape: tuple[int, ...], k: int, tested: int, fraction: Fraction
) -> Work:
    """This process's half of the configurations."""
    from limbeck.dynamics import Dynamics, errors_and_losses
    from limbeck.replicates import train_many
    from limbeck.samples import Domain, Samples

    mine = [configurations[part], configurations[-1 - part]]  # as much of each kind for either, as a runner deals them
    held = Samples.hard(*images(k, shape), CLASSES)
    test = Samples.hard(*images(tested // fraction.tests, shape), CLASSES)
    domain = Domain(shape, CLASSES)

    def work() -> float:
        training = testing = 0.0
        for text in mine:
            begun = time.perf_counter()
            dynamics = Dynamics(f"{text}/cosine(steps={fraction.steps})", domain)
            runs = train_many(dynamics, held, list(range(fraction.seeds)))
            between = time.perf_counter()
            errors_and_losses(dynamics, [run.state for run in runs], test)
            training += between - begun
            testing += time.perf_counter() - between
        return training * fraction.of / fraction.steps + testing * fraction.tests

    return work


def ours_study(part: int) -> Work:
    """The whole study from its file to its table, by the processes runner, its start included. One part runs it."""

    def work() -> float:
        with tempfile.TemporaryDirectory() as runs:
            command = [sys.executable, "-m", "limbeck", "study", "run", str(STUDY), "--runner", "processes"]
            return timed(lambda: subprocess.run([*command, "--runs", runs], check=True, stdout=subprocess.DEVNULL))

    return work if part == 0 else lambda: 0.0
