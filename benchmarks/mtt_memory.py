"""Peak memory of one trajectory-matching step: nearly flat in the number of synthetic steps, where the graph's is not.

Each figure is the growth of a fresh process's largest resident set (ru_maxrss) from just before the step, with
torch, the network and the data in place, to just after it. n = 3 processes each, in turn; medians and ranges.

    python benchmarks/mtt_memory.py            prints the table
    python benchmarks/mtt_memory.py --write    writes it to docs/results/mtt_memory.md
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPEATS = 3
STEPS = (20, 80)
MEMORIES = ("constant", "graph")
CONFIGURATION = "convnet(width=32)/sgd(momentum=0.0)/siamese/constant(batch=256)"
PER_CLASS = 10


def measure(memory: str, steps: int) -> dict[str, float]:
    """One step's growth of the resident set and its seconds, in this process."""
    import torch

    from limbeck.dynamics import Dynamics
    from limbeck.samples import Domain, Samples
    from limbeck.surrogates import Moment
    from limbeck.surrogates.trajectory import Trajectory

    torch.set_num_threads(1)
    domain = Domain((1, 28, 28), 10)
    dynamics = Dynamics(CONFIGURATION, domain)
    labels = torch.arange(10).repeat_interleave(PER_CLASS)
    pixels = torch.randn(len(labels), *domain.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rate = torch.tensor(0.01, requires_grad=True)
    target = dynamics.initial(1).vector
    moment = Moment(dynamics, dynamics.initial(0), 0, target, {"step_size": rate})
    samples = Samples.hard(pixels, labels, domain.classes)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    surrogate = Trajectory.model_validate({"synthetic_steps": steps, "memory": memory})
    surrogate.value(moment, samples, samples).backward()
    seconds = time.perf_counter() - begun
    assert pixels.grad is not None
    assert torch.isfinite(pixels.grad).all()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"mib": grown / 1024, "seconds": seconds, "before_mib": before / 1024}


def in_fresh_process(memory: str, steps: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", memory, str(steps)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def table(repeats: int = REPEATS) -> str:
    """The measured table, as Markdown."""
    import torch

    cells: dict[tuple[str, int], list[dict[str, float]]] = {(m, s): [] for m in MEMORIES for s in STEPS}
    for _ in range(repeats):
        for memory, steps in cells:
            cells[memory, steps].append(in_fresh_process(memory, steps))

    def middle(memory: str, steps: int, key: str) -> float:
        return statistics.median(run[key] for run in cells[memory, steps])

    def shown(memory: str, steps: int, key: str, form: str) -> str:
        values = [run[key] for run in cells[memory, steps]]
        return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"

    rows = [
        f"| {name} | {steps} | {shown(memory, steps, 'mib', '.0f')} | {shown(memory, steps, 'seconds', '.2f')} |"
        for memory, name in zip(MEMORIES, ("constant (ours, exact)", "graph (plain unroll)"), strict=True)
        for steps in STEPS
    ]
    few, many = STEPS
    ratios = {memory: middle(memory, many, "mib") / middle(memory, few, "mib") for memory in MEMORIES}
    against = {steps: middle("graph", steps, "mib") / middle("constant", steps, "mib") for steps in STEPS}
    fastest = {key: min(run["seconds"] for run in runs) for key, runs in cells.items()}
    slower = {s: fastest["constant", s] / fastest["graph", s] for s in STEPS}
    before = statistics.median(run["before_mib"] for runs in cells.values() for run in runs)
    return "\n".join(
        [
            "# Peak memory of one trajectory-matching step",
            "",
            f"From {few} to {many} synthetic steps the memory of the exact constant-memory gradient grows by "
            f"{ratios['constant']:.2f}x, that of the plain unroll by {ratios['graph']:.2f}x "
            f"(n = {repeats} fresh processes each; median [smallest, largest]).",
            "",
            "| gradient | synthetic steps | growth of the resident set, MiB | seconds |",
            "|---|---|---|---|",
            *rows,
            "",
            f"- The plain unroll takes {against[few]:.1f}x the memory at {few} steps, {against[many]:.1f}x at {many}.",
            f"- Fastest run against fastest run, ours takes {slower[few]:.2f}x the time at {few} steps and "
            f"{slower[many]:.2f}x at {many}; where the ranges of seconds overlap, other processes were at work.",
            f"- Before the step, a process with torch, network and data held {before:.0f} MiB; that is not counted.",
            f"- `{CONFIGURATION}`, {PER_CLASS} per class of 10, float32, one thread. The samples are random numbers of "
            "Fashion-MNIST's shape (1x28x28), not its images: memory does not depend on their values.",
            "- Both gradients are the same to 1e-10 in float64 (`tests/test_unroll.py`).",
            "",
            f"`python benchmarks/mtt_memory.py --write`, {datetime.date.today()}, torch {torch.__version__}, "
            f"{platform.machine()} {platform.system()}.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/results/mtt_memory.md")
    parser.add_argument("--measure", nargs=2, metavar=("MEMORY", "STEPS"), help="one step in this process, as JSON")
    chosen: Any = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure[0], int(chosen.measure[1]))))
        return
    text = table()
    print(text)
    if chosen.write:
        path = Path(__file__).parents[1] / "docs" / "results" / "mtt_memory.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
