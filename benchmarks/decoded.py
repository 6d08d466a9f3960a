"""Does it help to store images as latents of an autoencoder? Pixels and codes at equal bytes, the decoder counted.

The autoencoder is a small one, trained on the source by examples/image_autoencoder.py in 20 seconds of a core. random
and dm make sets of 10 and 30 samples a class stored as they are, and of as many codes as then cost the same bytes.

    python examples/image_autoencoder.py "fashion-mnist(train_limit=10000)" autoencoder
    python benchmarks/decoded.py --collect autoencoder    rows to docs/results/decoded.csv (about 5 core-minutes)
    python benchmarks/decoded.py --write                  the page's table from the rows (seconds)
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from kept_rows import KeptRows
from page import write_below_prose

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
KEPT = KeptRows(
    RESULTS / "decoded.csv", ["method", "arm", "per_class", "set", "seed", "bytes", "error", "step_seconds"]
)
SOURCE = "fashion-mnist(train_limit=10000)"
CONFIGURATION = "convnet(width=16, depth=3)/adamw(lr=5e-3)/none/cosine(steps=100)"
SETS = 3
STEPS = {10: 60, 30: 20}  # of dm; more samples take longer
AS_MANY = {10: 20, 30: 100}  # codes a class that cost at most the bytes of so many images
CODES = "decoder='{folder}'"


def arms(folder: str) -> Iterator[tuple[str, str, int, int, str]]:
    """Method, arm, the row's budget in images a class, samples a class, and the text of the method."""
    for budget, many in AS_MANY.items():
        for method in ("random", "dm"):
            # The step sizes are the best of 0.1, 1, 10 and 100 times 1.0 on validation samples, of set 0 at 10 a class.
            own = [] if method == "random" else [f"steps={STEPS[budget]}, batch_real=64"]
            rates = {"pixels": "lr_pixels=1.0", "codes": "lr_pixels=10.0"} if own else {}
            for arm, per_class, form in (("pixels", budget, ""), ("codes", many, CODES.format(folder=folder))):
                inner = ", ".join(part for part in [*own, rates.get(arm, ""), form] if part)
                yield method, arm, budget, per_class, method + (f"({inner})" if inner else "")


def collect(folder: str) -> None:
    import torch

    from limbeck.distillation import distill
    from limbeck.evaluation import evaluate
    from limbeck.sources import load_source

    torch.set_num_threads(1)
    source = load_source(SOURCE)
    done = {(row["method"], row["arm"], row["per_class"], row["set"]) for row in KEPT.read()}
    for which in range(SETS):
        for method, arm, _, per_class, text in arms(folder):
            if (method, arm, str(per_class), str(which)) in done:
                continue
            made = distill(source, text, CONFIGURATION, per_class, seed=which, candidates=1)
            taken = made.provenance["seconds"] / max(1, made.provenance["steps"])
            for row in evaluate(made, CONFIGURATION, source, [0]):
                KEPT.append([method, arm, per_class, which, row["seed"], made.bytes, row["error"], taken])
            print(method, arm, per_class, which, row["error"], flush=True)


def write() -> None:
    import numpy as np

    from limbeck.laws.guidance import mean_over_sets

    rows = KEPT.read()
    lines = [
        "| method | stored as | samples a class | bytes | error, % (sd over sets) | points above pixels [95 %] |",
        "|---|---|---|---|---|---|",
    ]
    stored: dict[str, float] = {}
    for method, arm, _, per_class, _ in arms(""):
        kept = [row for row in rows if (row["method"], row["arm"], int(row["per_class"])) == (method, arm, per_class)]
        own = {row["set"]: 100 * float(row["error"]) for row in kept}
        values = list(own.values())
        stored = own if arm == "pixels" else stored
        found = mean_over_sets([own[which] - stored[which] for which in own]) if arm == "codes" else None
        said = f"{found.estimate:+.1f} [{found.low:+.1f}, {found.high:+.1f}]" if found else "-"
        spread = f"{np.mean(values):.1f} ({np.std(values, ddof=1):.1f})"
        lines.append(f"| {method} | {arm} | {per_class} | {kept[0]['bytes']} | {spread} | {said} |")
    steps = " and ".join(f"{count} at {budget}" for budget, count in STEPS.items())
    lines += ["", f"{SETS} sets, one training each under `{CONFIGURATION}`; dm takes", f"{steps} images a class."]
    write_below_prose(RESULTS / "decoded.md", "\n".join(lines), "Latents of an autoencoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", metavar="FOLDER", help="of the autoencoder; makes the sets and trains on them")
    parser.add_argument("--write", action="store_true", help="write the page's table from the rows")
    chosen = parser.parse_args()
    if chosen.collect:
        collect(chosen.collect)
    if chosen.write:
        write()


if __name__ == "__main__":
    main()
