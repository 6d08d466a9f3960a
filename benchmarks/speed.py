"""limbeck against the published algorithms in straightforward PyTorch, both sides in one run, on this machine's cores.

Plain is one process, as a research script is, with one thread or one for each of two cores, whichever took less at the
start; limbeck is two processes with one thread each, as its runner does, so where one piece of work can't be split (a
step) its figure is the time of two at once, halved; of several configurations either process takes as many of a kind
(views, architecture). Both sides are timed in turn, in processes that stay alive; a row is the median of n turns, and
its ratio the median over turns of plain / limbeck with the smallest and the largest.
Samples are random numbers in the shapes of Fashion-MNIST and of the digits: times do not depend on their values.

    python benchmarks/speed.py                    prints the table (about ten minutes)
    python benchmarks/speed.py --rows dm,digits   some rows alone
    python benchmarks/speed.py --write            keeps each row in docs/results/speed.json as it comes, beside those of
                                                  earlier runs, and writes speed.md from all of them
    python benchmarks/speed.py --rows '' --write  writes speed.md anew, measuring nothing
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


# plain


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


class Fraction:
    """What is run of the whole: `steps` of `of` epochs, one in `tests` of the test samples, all `seeds`."""

    def __init__(self, steps: int, of: int, tests: int, seeds: int) -> None:
        self.steps, self.of, self.tests, self.seeds = steps, of, tests, seeds


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


# limbeck


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


# rows

# name: what is done, plain, limbeck, turns, goal
ROWS: dict[str, tuple[str, Callable[[], Work], Callable[[int], Work], int, float]] = {
    "dm": ("DM step, 10 per class", plain_dm, ours_dm, 9, 3.0),
    "dc": ("DC outer iteration, 10 per class (50 epochs; 1 update and 4 epochs timed)", plain_dc, ours_dc, 5, 3.0),
    "evaluate": (
        "evaluating 16 networks (4 configurations x 4 seeds), 300 epochs of 100 images (5 epochs timed)",
        lambda: plain_evaluate(*FASHION_EVALUATION),
        lambda part: ours_evaluate(part, *FASHION_EVALUATION),
        5,
        2.5,
    ),
    "digits": (
        "digits: 64 small networks (4 configurations x 16 seeds), 150 epochs of 50 images (50 timed)",
        lambda: plain_evaluate(*DIGITS_EVALUATION),
        lambda part: ours_evaluate(part, *DIGITS_EVALUATION),
        5,
        4.0,
    ),
    "study": ("the demo study as a whole (plain from its timed parts)", plain_study, ours_study, 3, 3.0),
}
MTT = "MTT step, 20 synthetic steps"
ORDER = ("dm", "dc", "mtt", "evaluate", "digits", "study")
KEPT = Path(__file__).parents[1] / "docs" / "results" / "speed.json"
LIMITS = """## What is left

A training step of the ConvNet at width 32 (100 images of 28x28, one thread) takes about 18.5 ms of a processor. Eleven
are the second and third convolution, both ways, at 160-190 GFLOP a second in float32, which is near the processor's
peak; four the first block, which is one product a sample; three the norms, ReLUs and poolings of the other blocks.
DC's outer iteration is 450 such steps and ten updates, each 2560 real images both ways. So most of what is left is
arithmetic in float32 (decisions 0081, 0082 and 0088).

DC's plain side takes about 23 or 30 s from one start of the benchmark to the next (why is not known), so its ratio is
about 3.0 or 3.7: on 2026-11-24 2.96 [2.71, 3.05] with n = 5, 3.75 [3.30, 3.93] with n = 15, then what the table has.
"""


def serve(side: str, row: str, part: int, most: int) -> None:
    """A worker: set up once, then do the work at every line that comes in."""
    import torch

    threads = 1
    if side == "plain":
        random.seed(0)
        work = ROWS[row][1]()
        threads = quicker_threads(work, most)
    else:
        from limbeck.runners import keep_freed_memory

        torch.set_num_threads(1)
        keep_freed_memory()
        work = ROWS[row][2](part)
        if row != "study":
            work()  # to warm up
    print(threads, flush=True)
    for _ in sys.stdin:
        print(json.dumps(work()), flush=True)


def quicker_threads(work: Work, most: int) -> int:
    """How many threads, `most` at most, took less for the work, which is left set."""
    import torch

    taken = {}
    for threads in range(1, most + 1):
        torch.set_num_threads(threads)
        taken[threads] = work()
    threads = min(taken, key=taken.__getitem__)
    torch.set_num_threads(threads)
    return threads


class Worker:
    """A process that serves one side of a row; `threads` is how many it took."""

    def __init__(self, side: str, row: str, part: int, most: int) -> None:
        threads = str(most)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        command = [sys.executable, __file__, "--serve", side, row, str(part), threads]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.threads = int(self.hear())

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a worker of the benchmark ended; its error stands above")
        return line

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def compare(row: str, turns: int, most: int) -> dict[str, Any]:
    """Seconds of both sides over turns; limbeck's two processes work at the same time."""
    plain, ours = Worker("plain", row, 0, most), [Worker("ours", row, part, 1) for part in range(CORES)]
    found: dict[str, Any] = {"plain": [], "limbeck": [], "plain threads": plain.threads}
    try:
        for _ in range(turns):
            plain.go()
            found["plain"].append(float(plain.hear()))
            for worker in ours:
                worker.go()
            found["limbeck"].append(max(float(worker.hear()) for worker in ours))
    finally:
        for worker in (plain, *ours):
            worker.end()
    return found


def measure_mtt(side: str, steps: int) -> dict[str, float]:
    """Seconds of a trajectory-matching step and the growth of this process's resident set, on one thread."""
    import torch

    from limbeck.dynamics import Dynamics
    from limbeck.samples import Domain, Samples
    from limbeck.surrogates import Moment
    from limbeck.surrogates.trajectory import Trajectory
    from plain import mtt

    torch.set_num_threads(1)
    dynamics = Dynamics(f"{CONVNET}/sgd(momentum=0)/none/constant", Domain(FASHION, CLASSES))
    x, labels = images(CLASSES * PER_CLASS, FASHION)
    pixels, rate = x.requires_grad_(), torch.tensor(0.01, requires_grad=True)
    state, target = dynamics.initial(0), dynamics.initial(1).vector
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    if side == "plain":
        module = plain_network(CONVNET, FASHION)
        loss = mtt.matching_loss(module, state.vector, target, pixels, labels, rate, steps)
    else:
        moment = Moment(dynamics, state, 0, target, {"step_size": rate})
        samples = Samples.hard(pixels, labels, CLASSES)
        loss = Trajectory(synthetic_steps=steps).value(moment, samples, samples)
    loss.backward()
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def compare_mtt(turns: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {"plain 20": [], "limbeck 20": [], "limbeck 80": []}
    for turn in range(turns):
        for key, several in found.items():
            if key.endswith("80") and turn >= 3:
                continue
            command = [sys.executable, __file__, "--mtt", *key.split()]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            several.append(json.loads(output.splitlines()[-1]))
    return found


def spread(values: list[float], form: str = ".2f") -> str:
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def mtt_lines(found: dict[str, list[dict[str, float]]], measured: str) -> list[str]:
    """Rows of the table: times and peak memory."""
    plain, ours, many = (found[key] for key in ("plain 20", "limbeck 20", "limbeck 80"))
    time_ratios = [b["seconds"] / a["seconds"] for a, b in zip(plain, ours, strict=True)]
    memory_ratios = [b["mib"] / a["mib"] for a, b in zip(plain, ours, strict=True)]
    growth = [b["mib"] / a["mib"] for a, b in zip(ours, many, strict=False)]
    each = {
        key: (spread([run["seconds"] for run in runs]), spread([run["mib"] for run in runs], ".0f"))
        for key, runs in found.items()
    }
    return [
        f"| {MTT}: time, one thread | {each['plain 20'][0]} s | {each['limbeck 20'][0]} s | "
        f"{spread(time_ratios)}x the time | {goal(time_ratios, 1.2, -1)} | {len(plain)} | {measured} |",
        f"| {MTT}: peak memory | {each['plain 20'][1]} MiB | {each['limbeck 20'][1]} MiB | "
        f"{spread(memory_ratios, '.3f')}x the memory | {goal(memory_ratios, 0.25, -1)} | {len(plain)} | {measured} |",
        f"| its memory at 80 synthetic steps against 20 | | {each['limbeck 80'][1]} MiB | "
        f"{spread(growth)}x that at 20 | {goal(growth, 1.3, -1)} | {len(growth)} | {measured} |",
    ]


def row_lines(row: str, kept: dict[str, Any]) -> list[str]:
    """A kept row as lines of the table."""
    found, measured = kept["figures"], f"{kept['date']}, load {kept['load']:.1f}"
    if row == "mtt":
        return mtt_lines(found, measured)
    title, _, _, _, wanted = ROWS[row]
    ratios = [a / b for a, b in zip(found["plain"], found["limbeck"], strict=True)]
    plain = f"{spread(found['plain'], '.3g')} s"
    plain += f", {threads} thread{'s' * (threads > 1)}" if (threads := found.get("plain threads")) else ""
    cells = [title, plain, f"{spread(found['limbeck'], '.3g')} s", f"{spread(ratios)}x", goal(ratios, wanted, 1)]
    return [f"| {' | '.join(cells)} | {len(ratios)} | {measured} |"]


def goal(ratios: list[float], wanted: float, sign: int) -> str:
    """What was wanted, and whether the median falls short of it."""
    missed = sign * statistics.median(ratios) < sign * wanted
    return f"{'>=' if sign > 0 else '<='} {wanted:g}x{', **missed**' if missed else ''}"


def page(kept: dict[str, Any]) -> str:
    """The table of all rows that were ever kept, as Markdown."""
    head = [
        "# Speed over the published algorithms in plain PyTorch",
        "",
        "| work | plain, one process | limbeck, two processes | plain / limbeck | goal | n | measured |",
        "|---|---|---|---|---|---|---|",
    ]
    lines = [line for row in ORDER if row in kept for line in row_lines(row, kept[row])]
    missing = [row for row in ORDER if row not in kept]
    notes = (__doc__ or "").split("\n\n")[1]
    machines = sorted({f"torch {one['torch']}, {one['processor']}, {CORES} cores" for one in kept.values()})
    named = f"Networks: `{CONVNET}` on 1x28x28, `{SMALL}` and a 64-128-128-10 MLP on 1x8x8; 256 real images a class. "
    named += "The plain side is `benchmarks/plain/`; that both compute the same is `tests/test_plain.py`. "
    named += "Median [smallest, largest]; load is the machine's when the row was done."
    about = f"`python benchmarks/speed.py --write`; {'; '.join(machines)}."
    if missing:
        about += f" Not measured yet: {', '.join(missing)}."
    return "\n".join([*head, *lines, "", notes, "", named, "", about, "", LIMITS])


def measured(row: str, turns: int, most: int) -> dict[str, Any]:
    """A row's figures with when and where they were taken."""
    import torch

    figures = compare_mtt(turns or 5) if row == "mtt" else compare(row, turns or ROWS[row][3], most)
    load = os.getloadavg()[0]  # two threads that wait for each other suffer most where others want the cores too
    where = {"torch": torch.__version__, "processor": processor()}
    return {"date": str(datetime.date.today()), "load": load, **where, "figures": figures}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the rows in docs/results, beside those of before")
    parser.add_argument("--rows", default=",".join(ORDER), help=f"some of {','.join(ORDER)}")
    parser.add_argument("--turns", type=int, default=0, help="turns a row; 0 takes each row's own number")
    most = "the most threads that plain tries; two that wait for each other need cores that are free"
    parser.add_argument("--plain-threads", type=int, default=CORES, help=most)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--mtt", nargs=2, help=argparse.SUPPRESS)
    chosen: Any = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve[0], chosen.serve[1], int(chosen.serve[2]), int(chosen.serve[3]))
        return 0
    if chosen.mtt:
        print(json.dumps(measure_mtt(chosen.mtt[0], int(chosen.mtt[1]))))
        return 0
    rows = [row for row in chosen.rows.split(",") if row]
    if unknown := set(rows) - set(ORDER):
        parser.error(f"no such row: {', '.join(sorted(unknown))}. There are {', '.join(ORDER)}.")
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if chosen.write and KEPT.exists() else {}
    failed = []
    for row in rows:
        begun = time.perf_counter()
        try:
            kept[row] = measured(row, chosen.turns, chosen.plain_threads)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{row} failed: {error}", file=sys.stderr, flush=True)
            failed.append(row)
            continue
        print(*row_lines(row, kept[row]), f"({time.perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
        if chosen.write:
            keep(kept)
    if chosen.write:
        keep(kept)
    print(page(kept))
    return int(bool(failed))


def keep(kept: dict[str, Any]) -> None:
    """The rows, and the page that is made of them."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    fresh = KEPT.with_suffix(".new")
    fresh.write_text(json.dumps(kept, indent=1) + "\n")
    fresh.replace(KEPT)
    KEPT.with_suffix(".md").write_text(page(kept))


if __name__ == "__main__":
    sys.exit(main())
