"""With how many runs is the worst configuration of a family found? Planted families, three ways to choose the runs.

python benchmarks/family_planning.py --families 200 --write
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np

from limbeck.testing.searches import RULES, planted_family, runs_until_found
from limbeck.testing.worlds import World

PAGE = Path(__file__).parents[1] / "docs" / "results" / "family_planning.md"
ONE = {"dims": 2, "sets": 1, "seeds": 1, "seed_sd": 0.0, "levels": (20,), "scale": 0.4}
WORLDS = {
    "24 clusters of 4 near-duplicates": World(clusters=24, copies=4, spread=1.0, **ONE),  # type: ignore[arg-type]
    "60 distinct, close": World(clusters=60, copies=1, spread=1.0, **ONE),  # type: ignore[arg-type]
    "60 distinct, far apart": World(clusters=60, copies=1, spread=4.0, **ONE),  # type: ignore[arg-type]
}
MARK = "## The table"


def measured(families: int, first: int) -> str:
    """Markdown, a line a world and rule."""
    lines = ["| family | runs chosen | mean runs | median | 90 % | of the even choice |", "|---|---|---|---|---|---|"]
    for name, world in WORLDS.items():
        drawn = [planted_family(world, seed) for seed in range(first, first + families)]
        even = np.ones(families)
        for rule in RULES:
            counts = np.array([runs_until_found(*one, rule, seed=seed) for seed, one in enumerate(drawn)], float)
            even = counts if rule == "even" else even
            ratio = counts.mean() / even.mean()
            spread = ratio * np.std(counts / counts.mean() - even / even.mean(), ddof=1) / families**0.5
            lines.append(
                f"| {name} | {rule} | {counts.mean():.1f} | {np.median(counts):.0f} | {np.quantile(counts, 0.9):.0f} | "
                f"{ratio:.2f} ± {spread:.2f} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Run, print, and write on demand: the table at the end of the page, below what is written by hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000, help="seed of the first family")
    parser.add_argument("--write", action="store_true", help="write docs/results/family_planning.md")
    arguments = parser.parse_args()
    table = measured(arguments.families, arguments.first)
    if arguments.write:
        said = PAGE.read_text(encoding="utf-8").partition(MARK)[0] if PAGE.exists() else ""
        command = f"python benchmarks/family_planning.py --families {arguments.families} --write"
        about = f"`{command}`, {datetime.date.today().isoformat()}, n = {arguments.families} families a line."
        PAGE.write_text(f"{said}{MARK}\n\n{about}\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
