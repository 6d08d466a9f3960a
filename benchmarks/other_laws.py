"""Fits of `simple-scaling-laws`, which needs Python 3.12, for `law_coverage.py`: JSON tables in, JSON intervals out.

python3.12 benchmarks/other_laws.py < tables.json > intervals.json
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

GAP, SIZE = "test_loss__gap", "dataset_size__n_samples"


def intervals(table: dict[str, Any], draws: int) -> dict[str, Any]:
    """95 % intervals of floor, exponent and the gap at `table["at"]`, and the seconds spent; it has no required k."""
    import polars as pl
    from simple_scaling_laws import fit

    of_set = [f"{k:g}/{one:g}" for k, one in zip(table["k"], table["set"], strict=True)]
    frame = pl.DataFrame(
        {
            "training_run_id": [f"{one}/{place}" for place, one in enumerate(of_set)],
            "train_set_id": of_set,
            "test_set_id": "all",
            "optimizer_seed": list(range(len(of_set))),
            SIZE: table["k"],
            GAP: table["gap"],
        }
    )
    begun = time.process_time()
    model = fit(frame, n_draws=draws, seed=0)
    held = model.conf_int(GAP)
    point = model.predict({SIZE: [table["at"]]}).to_dicts()[0]
    found = {"floor": held["E"], "exponent": held["beta"], "gap": (point[f"{GAP}__q025"], point[f"{GAP}__q975"])}
    return {**found, "seconds": time.process_time() - begun}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps([intervals(one, 300) for one in json.load(sys.stdin)]))
