"""Does it work? Every method at an equal budget, beside every selection: test accuracy, seconds, memory, bytes.

Each set is made in a fresh process of one thread with `--seconds` of processor time for experts, teachers and steps,
which is wall-clock time on a core of its own. The better of two candidates on validation samples is kept, then trained
on under one configuration with several seeds; test accuracy is that of the last epoch. Rows are written as they come:
a run that was cut off goes on where it was.

    python benchmarks/methods.py --choose --seconds 5 --sets 1      step sizes, on validation samples only
    python benchmarks/methods.py --seconds 20 --write               everything with them, into docs/results/methods.md
    python benchmarks/methods.py --methods dm,idc --per-class 10    some of it
    python benchmarks/methods.py --source 'embeddings(path=r8.npz)' vectors, with an MLP
    python benchmarks/methods.py --table                            the table of the rows that are there
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "results"
IMAGES = "convnet(width=32, depth=3)/adamw(lr=5e-3)/siamese/cosine(steps=150)"
VECTORS = "mlp(width=128)/adamw(lr=1e-3)/none/cosine(steps=300)"

# The papers' defaults are made for hours on an accelerator. Here stand smaller real batches and shorter expert
# trainings for minutes on one core. The step size of pixels is that of FACTORS times what stands here (or the default)
# that --choose found best on validation samples, where its rows are in the file; the test split plays no part in it.
FACTORS = (0.1, 1.0, 10.0)
EXPERT = {
    "experts": 1, "expert_epochs": 1, "expert_lr": 0.05, "expert_batch": 64, "ahead": 1, "max_start": 1,
    "lr_pixels": 300.0, "step_size": 0.05, "lr_step_size": 1e-6,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "dc": {"batch_real": 64, "initial": "real", "length": 10, "epochs": 5},
    "dsa": {"batch_real": 64, "length": 10, "epochs": 5},
    "dcc": {"batch_real": 64, "initial": "real", "length": 10, "epochs": 5, "warm_networks": 1},
    "idc": {"batch_real": 32, "lr_pixels": 0.03, "passes": 2, "length": 20},
    "dm": {"batch_real": 64},
    "cafe": {"batch_real": 64, "initial": "real", "epochs": 2},
    "datadam": {"batch_real": 64, "lr_pixels": 0.1},
    "idm": {"batch_real": 64, "networks": 5, "renew": 10, "passes": 2, "lr_pixels": 0.2},
    "m3d": {"batch_real": 64, "lr_pixels": 10.0, "passes": 2, "length": 20},
    "ncfm": {"batch_real": 64, "frequencies": 256, "experts": 1, "expert_epochs": 1},
    "mtt": {**EXPERT, "synthetic_steps": 5},
    "tesla": {**EXPERT, "synthetic_steps": 5},
    "ftd": {**EXPERT, "synthetic_steps": 5},
    "datm": {**EXPERT, "synthetic_steps": 5, "first_max_start": 1, "growth": 1, "judges": 1},
    "bptt": {"batch_real": 16, "total": 10},
    "rat-bptt": {"batch_real": 16, "total": 30, "window": 10, "lr_pixels": 0.01},
    "frepo": {"networks": 2, "batch_real": 50},
    "kip": {"batch_real": 8},
    "forgetting": {"epochs": 1},
    # One stored label a sample: what labels of every view bring to any images is in docs/results/labels.md.
    "sre2l": {"labels": "soft", "teachers": 1, "teacher_epochs": 1},
    "rded": {"labels": "soft", "teachers": 1, "teacher_epochs": 1},
}  # fmt: skip
# Vectors, whose networks train in a moment, have more experts; steps on them may be larger, on their samples not.
OF_VECTORS: dict[str, dict[str, Any]] = {
    "ncfm": {"experts": 5, "expert_lr": 0.1, "lr_pixels": 0.1},
    "tesla": {"lr_pixels": 30.0},
    **{name: {"experts": 5, "lr_pixels": 100.0, "step_size": 0.3} for name in ("mtt", "ftd", "datm")},
}
# Where a set has a minute or more, experts and teachers are trained for longer, and segments begin at several epochs.
OF_MINUTES: dict[str, dict[str, Any]] = {
    **{name: {"experts": 2, "expert_epochs": 3, "max_start": 2} for name in ("mtt", "tesla", "ftd", "datm")},
    **{name: {"teacher_epochs": 5} for name in ("sre2l", "rded")},
}
OF_MINUTES["datm"] |= {"judges": 2, "growth": 40}
INTRODUCTION = """\
A set is given a number of seconds of one core for all that it needs: experts, teachers and updates. Two candidates,
and of trajectory methods the start and running averages, are judged on validation samples on top of that, so "core
seconds" is more, most for sets in tiles. What is short here is time: the papers give hours of an accelerator, and
methods that need experts, or an unrolled training an update, get few updates ("steps"); where there are minutes,
experts and teachers are trained for longer. Selections take next to none of it. Above random and above k-means are
differences of accuracy in points; the standard error of a difference is about the spreads' root mean square times .8.
The settings are those that differ from the papers'; sre2l and rded store one label a sample here, as labels of every
view would help any images ([labels](labels.md))."""
KEYS = ("source", "method", "per_class", "set", "seconds", "settings", "choosing")
NEED_NORMS = ("sre2l",)  # distilled with batch norms, trained on without, as all
LEFT_OUT = {"mgd3": "needs the weights of a latent diffusion model, which are not here"}


def settings(name: str, source: str, seconds: float) -> dict[str, Any]:
    """The declared settings that the method has for a source and a budget."""
    from limbeck.variants import find

    known = find("methods", name).model_fields
    declared = SETTINGS.get(name, {}) | (OF_VECTORS.get(name, {}) if source.startswith("embeddings") else {})
    declared |= OF_MINUTES.get(name, {}) if seconds >= 60 else {}
    return {key: value for key, value in declared.items() if key in known}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Make one set in this process and train on it: one row, with validation accuracy alone where only choosing."""
    import torch

    from limbeck.dynamics import Dynamics, error_and_loss, train
    from limbeck.errors import LimbeckError
    from limbeck.evaluation import evaluate
    from limbeck.sources import load_source
    from limbeck.variants import build, find

    torch.set_num_threads(1)
    source = load_source(task["source"])
    configuration = IMAGES if source.domain.is_image else VECTORS
    row = {key: task[key] for key in KEYS} | {"configuration": configuration, "date": str(datetime.date.today())}
    begun = time.process_time()
    walked = configuration.replace("(width", "(norm=batch, width") if task["method"] in NEED_NORMS else configuration
    try:
        made = made_within(source, build(find("methods", task["method"]), task["settings"]), walked, task)
    except (LimbeckError, MemoryError) as error:
        return row | {"refused": f"{type(error).__name__}: {error}"}
    row |= {"steps": made.provenance["steps"], "spent": round(time.process_time() - begun, 2)}
    row |= {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "bytes": made.bytes, "k": made.k}
    if task["choosing"]:
        dynamics = Dynamics(configuration, source.domain)
        states = [train(dynamics, made.samples(), seed).state for seed in range(task["seeds"])]
        return row | {"validation": [1 - error_and_loss(dynamics, state, source.validation)[0] for state in states]}
    rows = evaluate(made, configuration, source, range(task["seeds"]))
    row |= {"validation": [1 - one["validation_error"] for one in rows]}
    return row | {"accuracy": [1 - one["error"] for one in rows]}


def made_within(source: Any, method: Any, configuration: str, task: dict[str, Any]) -> Any:
    """A set after so many steps as fit into the budget with what the method has to train before.

    Short runs tell what comes before the first step and what a step takes: longer ones until a tenth of the budget is
    spent on one, or quick steps would be lost in what surrounds them. The first run only warms up.
    """
    from limbeck.distillation import distill
    from limbeck.methods import Matching

    own: dict[str, Any] = {"per_class": task["per_class"], "seed": task["set"]}
    if not isinstance(method, Matching):
        return distill(source, method, configuration, **own)
    begun = time.process_time()
    own["experts"] = trained_experts(source, method, configuration, task["per_class"])
    taken: list[tuple[int, float]] = []
    for steps in (1, 1, 5, 25, 125):
        before = time.process_time()
        distill(source, method, configuration, steps=steps, candidates=1, **own)
        taken.append((steps, time.process_time() - before))
        if steps > 1 and taken[-1][1] > task["seconds"] / 10:
            break
    (few, short), (many, long) = taken[-2:]
    step = max((long - short) / (many - few), long / (10 * many))
    steps = max(5, int((task["seconds"] - (time.process_time() - begun)) / step))
    return distill(source, method, configuration, steps=steps, candidates=1 if task["choosing"] else 2, **own)


def trained_experts(source: Any, method: Any, configuration: str, per_class: int) -> Any:
    """The method's experts, trained once for all three runs; nothing for a method without."""
    from limbeck.configuration import Configuration
    from limbeck.dynamics import Dynamics
    from limbeck.states.experts import train_expert

    walked = method.dynamics_configuration(Configuration.parse(configuration), source.domain, per_class)
    plan = method.expert_plan(Dynamics(walked, source.domain))
    if plan is None:
        return None
    trained = Dynamics(plan.configuration, source.domain)
    return [train_expert(plan, trained, source.train, number) for number in range(plan.count)].__getitem__


def in_fresh_process(task: dict[str, Any]) -> dict[str, Any]:
    """The row, from a process of its own with one thread; a crash is a row too."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", json.dumps(task)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    if run.returncode:
        return {key: task[key] for key in KEYS} | {
            "refused": f"the process ended with {run.returncode}: {run.stderr[-300:]}"
        }
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def identity(row: dict[str, Any]) -> str:
    return json.dumps([row[key] for key in KEYS])


def tasks(chosen: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set by set, so that a run that is cut off has whole replicates of every method."""
    from limbeck.variants import members

    every = [name for name in sorted(members("methods")) if name not in LEFT_OUT]
    names = chosen.methods.split(",") if chosen.methods else every
    shared = {"source": chosen.source, "seconds": chosen.seconds, "seeds": chosen.seeds, "choosing": chosen.choose}
    found = []
    for which in range(chosen.sets):
        for per_class in map(int, chosen.per_class.split(",")):
            for name in names:
                own = {**shared, "method": name, "per_class": per_class, "set": which}
                variants = (
                    candidates(name, chosen.source, chosen.seconds)
                    if chosen.choose
                    else [best(name, chosen.source, per_class, chosen.seconds, rows)]
                )
                found += [{**own, "settings": variant} for variant in variants]
    return found


def candidates(name: str, source: str, seconds: float) -> list[dict[str, Any]]:
    """The declared settings with each step size that is compared; none for a method without steps."""
    from limbeck.variants import find

    field = find("methods", name).model_fields.get("lr_pixels")
    if field is None:
        return []
    declared = settings(name, source, seconds)
    rate = declared.get("lr_pixels", field.default)
    return [{**declared, "lr_pixels": float(f"{rate * factor:.3g}")} for factor in FACTORS]


def best(name: str, source: str, per_class: int, seconds: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the settings that --choose compared, those with the highest validation accuracy at this size."""
    own = [row for row in rows if (row["method"], row["source"], row["choosing"]) == (name, source, True)]
    own = [row for row in own if "validation" in row and row["per_class"] == per_class]
    own = [row for row in own if row["settings"] in candidates(name, source, seconds)]
    if not own:
        return settings(name, source, seconds)
    best_row = max(own, key=lambda row: statistics.fmean(row["validation"]))
    return dict(best_row["settings"])


def table(rows: list[dict[str, Any]]) -> str:
    """Accuracy in percent: mean over sets of each set's mean over seeds, standard deviation over sets."""
    blocks = defaultdict(list)
    for row in rows:
        if not row["choosing"]:
            blocks[row["source"], row["seconds"], row["per_class"]].append(row)
    lines = ["# Every method at an equal budget", "", INTRODUCTION, ""]
    for (source, seconds, per_class), own in sorted(blocks.items()):
        lines += [f"## {source}, {per_class} per class, {seconds:g} s of one core a set", ""]
        days = " to ".join(sorted({row["date"] for row in own if "date" in row}))
        command = f"python benchmarks/methods.py --source '{source}' --seconds {seconds:g} --per-class {per_class}"
        lines += [f"`{command}`, {days}", "", *_block(own)]
    return "\n".join(lines)


def _block(rows: list[dict[str, Any]]) -> list[str]:
    done, refused = defaultdict(list), {}
    for row in rows:
        if "accuracy" in row:
            done[row["method"]].append(row)
        else:
            refused[row["method"]] = row["refused"]
    means = {name: [100 * statistics.fmean(row["accuracy"]) for row in own] for name, own in done.items()}
    bars = {name: statistics.fmean(means[name]) for name in ("random", "k-means") if name in means}
    lines = [
        "| method | accuracy, % (sd over sets) | sets x seeds | above random | above k-means | steps | core seconds | "
        "peak memory, MB | bytes | settings |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(means, key=lambda name: -statistics.fmean(means[name])):
        own, mean = done[name], statistics.fmean(means[name])
        spread = f"{statistics.stdev(means[name]):.1f}" if len(own) > 1 else "one set"
        above = [f"{mean - bars[bar]:+.1f}" if bar in bars else "-" for bar in ("random", "k-means")]
        facts = [f"{statistics.fmean(row[key] for row in own):.{d}f}" for key, d in (("steps", 0), ("spent", 1))]
        facts += [f"{max(row['peak_bytes'] for row in own) / 1e6:.0f}", f"{own[0]['bytes']}"]
        text = ", ".join(f"{key}={value}" for key, value in own[0]["settings"].items()) or "defaults"
        cells = [name, f"{mean:.1f} ({spread})", f"{len(own)} x {len(own[0]['accuracy'])}", *above, *facts, text]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"Trained on under `{next((r['configuration'] for r in rows if 'configuration' in r), '-')}`."]
    for bar in bars:
        below = [name for name in means if name != bar and statistics.fmean(means[name]) <= bars[bar]]
        lines.append(f"Not above {bar}: {', '.join(below) or 'none'}.")
    lines += [f"No result for {name}: {reason}" for name, reason in {**refused, **LEFT_OUT}.items()]
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="fashion-mnist(train_limit=10000)")
    parser.add_argument("--methods", default="", help="names, by commas; all by default")
    parser.add_argument("--per-class", default="1,10")
    parser.add_argument("--seconds", type=float, default=20.0, help="budget of one set, in seconds of one core")
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", action="store_true", help="compare step sizes on validation error; nothing tested")
    parser.add_argument("--table", action="store_true", help="print the table of the rows that are there")
    parser.add_argument("--write", action="store_true", help="write docs/results/methods.md at the end")
    parser.add_argument("--rows", type=Path, default=FOLDER / "methods.json", help="file that rows are appended to")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    chosen: Any = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(json.loads(chosen.measure))))
        return
    rows: list[dict[str, Any]] = json.loads(chosen.rows.read_text()) if chosen.rows.exists() else []
    if not chosen.table:
        done = {identity(row) for row in rows}
        left = [task for task in tasks(chosen, rows) if identity(task) not in done]
        for number, task in enumerate(left, 1):
            row = in_fresh_process(task)
            rows.append(row)
            _replace(chosen.rows, json.dumps(rows, indent=1) + "\n")
            kept = row.get("refused") or [f"{a:.3f}" for a in row["validation"]]
            print(f"{number}/{len(left)} {task['method']} {task['settings']} k={task['per_class']}: {kept}", flush=True)
    text = table(rows) + (
        f"{platform.machine()} {platform.system()}, one thread a process. Accuracy is that of the last epoch on the\n"
        "test split; sets and step sizes (`--choose`, where its rows are there) were chosen on validation samples.\n"
    )
    print(text)
    if chosen.write:
        (FOLDER / "methods.md").write_text(text)


def _replace(path: Path, text: str) -> None:
    """The whole file or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(text)
    beside.replace(path)


if __name__ == "__main__":
    main()
