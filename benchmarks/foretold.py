"""Memory and time that `distill --dry-run` foretells, against what the distillation then takes, on data of real size.

Each side is a process of its own. The memory used is the largest high-water mark of resident memory that is seen from
outside, every 2 ms; the time used is what the finished set says of its making.

    python benchmarks/foretold.py [--write]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from limbeck.synthetic import SyntheticSet

PAGE = Path(__file__).parents[1] / "docs" / "results" / "foretold.md"
CLASSES = 50
SHAPES = {"100,000 vectors of 768, float32": (100_000, 768), "25,000 images 3x32x32, uint8": (25_000, 3, 32, 32)}
METHODS = ("random", "k-means", "dm(steps=20)")
CONFIGURATION = "mlp/adamw/none/cosine(steps=100)"
HEAD = """# What a dry run foretells, and what is used

`distill --dry-run` and then the same distillation, 5 a class of {classes} classes, under `{configuration}`,
each in a process of its own. Memory is the largest resident memory, reading the source included; time is wall time
after reading. n = 1 each, on {day}; other work was running on the machine, which shows in the times.
Command: `python benchmarks/foretold.py --write`.

| data | file | method | memory foretold | used | time foretold | used |
|---|---|---|---|---|---|---|
"""


def written(path: Path, shape: tuple[int, ...]) -> Path:
    """Samples about a centre for each class; images as bytes."""
    random = np.random.default_rng(0)
    y = np.arange(shape[0]) % CLASSES
    centres = random.normal(size=(CLASSES, *shape[1:])).astype(np.float32)
    x = centres[y] + random.standard_normal(shape, dtype=np.float32)
    np.savez(path, x_train=np.clip(40 * x + 128, 0, 255).astype(np.uint8) if len(shape) == 4 else x, y_train=y)
    return path


def used(command: list[str]) -> int:
    """The largest resident memory of a process, in bytes."""
    marks = [0]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                continue
            marks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
            time.sleep(0.002)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return max(marks)


def compared(file: Path, method: str, out: Path) -> tuple[float, float, float, float]:
    """Gigabytes foretold and used, seconds foretold and used."""
    command = [sys.executable, "-m", "limbeck", "distill", f"npz(path={file})", method, "-k", "5", "-c", CONFIGURATION]
    told = json.loads(subprocess.run([*command, "--dry-run", "--json"], check=True, capture_output=True).stdout)
    memory = used([*command, "-o", str(out)])
    seconds = SyntheticSet.load(out).provenance["seconds"]
    return told["peak_memory_bytes"] / 1e9, memory / 1e9, told["seconds"], seconds


def main() -> None:
    """Measure every pair, print the table and with `--write` the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        for title, shape in SHAPES.items():
            file = written(Path(place) / f"{len(rows)}.npz", shape)
            for method in METHODS:
                told, took, ahead, after = compared(file, method, Path(place) / f"set-{len(rows)}")
                size = file.stat().st_size / 1e6
                numbers = f"{told:.2f} GB | {took:.2f} GB | {ahead:.2g} s | {after:.2g} s"
                row = f"| {title} | {size:.0f} MB | `{method}` | {numbers} |"
                rows.append(row)
                print(row, flush=True)
    if asked.write:
        head = HEAD.format(classes=CLASSES, configuration=CONFIGURATION, day=datetime.now(UTC).date())
        PAGE.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
