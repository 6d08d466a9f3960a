"""Train on a synthetic set, or on the full data, under configurations and seeds: rows, never averages."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from limbeck.configuration import Configuration
from limbeck.digest import digest
from limbeck.dynamics import Dynamics, Trained, errors_and_losses
from limbeck.errors import Diverged, MissingData, StoreFailure, WrongPreprocessing
from limbeck.labeller import Labeller
from limbeck.replicates import train_many
from limbeck.samples import Samples
from limbeck.sources import Source, given_source
from limbeck.store import read_record, write_record
from limbeck.streams import derive
from limbeck.synthetic import SyntheticSet

Row = dict[str, Any]


def evaluate(
    synthetic: SyntheticSet,
    configuration: str | Configuration,
    source: Source | str,
    seeds: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> list[Row]:
    """One row a seed: train a fresh network on the set under the configuration, test it once, at the last step.

    `error` is the share of test samples that are misclassified, in [0, 1]; the gap to full-data training is taken
    later, against `reference` rows of the same configuration. A learned step size takes the place of the optimizer's
    where the configuration asks for it, `sgd(rate=learned)`. Beside it stand `loss` (nats),
    `validation_error`, `cost_seconds`, `flops`, `bytes`, and which set, configuration and seed (docs/json.md).

    Raises `WrongPreprocessing` where the source was prepared in another way than the set, and `Diverged` where a
    training leaves the finite range or its test loss does.
    """
    source = given_source(source)
    check_preprocessing(synthetic, source)
    facts = {"method": synthetic.method, "k": synthetic.k, "per_class": synthetic.per_class}
    facts |= {"set": synthetic.seed, "set_digest": synthetic.digest, "bytes": synthetic.bytes}
    named = Configuration.parse(configuration)
    rows = _rows(facts, synthetic.samples(), named.with_step_size(synthetic.step_size), source, seeds, device)
    return [row | {"configuration": named.spec} for row in rows]


def reference(
    source: Source | str,
    configuration: str | Configuration,
    seeds: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> list[Row]:
    """One row a seed of training on the full training split under a configuration, tested as `evaluate` tests.

    `method` is "reference"; `k`, `per_class` and `set` are None. The same seed starts the same network as in
    `evaluate`. Raises `Diverged` where a training leaves the finite range or its test loss does.
    """
    source = given_source(source)
    facts: Row = {"method": "reference", "k": None, "per_class": None, "set": None, "set_digest": None}
    facts["bytes"] = source.train.x.numel() * source.train.x.element_size()
    return _rows(facts, source.train, Configuration.parse(configuration), source, seeds, device)


def cached_reference(
    source: Source, configuration: str | Configuration, seeds: Sequence[int], *, device: torch.device | str = "cpu"
) -> list[Row]:
    """The rows of `reference`, each trained once on this machine and kept in the user's cache folder.

    What can't be kept there is trained again. Under a configuration of the user's own code nothing is kept: its
    name says not what it does, and another project may have the same.
    """
    configuration = Configuration.parse(configuration)
    if any(":" in part.spec.partition("(")[0] for part in configuration.parts):
        return reference(source, configuration, seeds, device=device)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "limbeck" / "references"
    rows = []
    for seed in seeds:
        name = digest([source.digest, configuration.digest, seed, str(device), torch.__version__])
        path = cache / name[:2] / f"{name}.json"
        try:
            row = read_record(path)["row"]
        except MissingData:
            row = reference(source, configuration, [seed], device=device)[0]
            with suppress(StoreFailure):
                write_record(path, {"row": row})
        rows.append(row)
    return rows


def with_gaps(rows: Sequence[Row]) -> list[Row]:
    """Rows with `gap`, a fraction: their error less the mean error of the reference rows of the same configuration.

    None where the rows hold no reference of it. A gap may be negative.
    """
    errors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["method"] == "reference":
            errors[row["configuration"]].append(row["error"])
    means = {configuration: fmean(held) for configuration, held in errors.items()}
    return [
        row | {"gap": row["error"] - means[row["configuration"]] if row["configuration"] in means else None}
        for row in rows
    ]


def check_preprocessing(synthetic: SyntheticSet, source: Source) -> None:
    """Raise `WrongPreprocessing` unless the set was made for samples prepared as this source's are."""
    if dict(synthetic.preprocessing) != source.preprocessing.about() or synthetic.domain.shape != source.domain.shape:
        raise WrongPreprocessing(
            f"the set was distilled from {synthetic.source} prepared by {_named(synthetic.preprocessing)} "
            f"({'x'.join(map(str, synthetic.domain.shape))}); {source.spec} is prepared by "
            f"{_named(source.preprocessing.about())} ({'x'.join(map(str, source.domain.shape))}). "
            "Load the source with the set's own settings."
        )


def _named(about: Any) -> str:
    return f"{about.get('kind', 'unknown')} {str(about.get('digest', ''))[:12]}".strip()


def _rows(
    facts: Row,
    samples: Samples,
    configuration: Configuration,
    source: Source,
    seeds: Sequence[int],
    device: torch.device | str,
) -> list[Row]:
    dynamics = Dynamics(configuration, source.domain, device=device)
    flops = configuration.flops(source.domain, len(samples)) + _labelling_flops(configuration, samples)
    runs = train_many(dynamics, samples, [derive(seed, "evaluate") for seed in seeds])
    return [
        facts
        | {"configuration": configuration.spec, "seed": seed}
        | tested
        | {"cost_seconds": run.seconds, "flops": flops}
        for seed, run, tested in zip(seeds, runs, _tested(dynamics, runs, source), strict=True)
    ]


def _labelling_flops(configuration: Configuration, samples: Samples) -> int:
    """Of the labels that a labeller gives in one training: one forward pass a view."""
    if not isinstance(samples.labeller, Labeller) or configuration.augmentation.variant_name() == "none":
        return 0
    schedule = configuration.schedule
    return samples.labeller.flops(min(len(samples), int(schedule.batch)) * int(schedule.steps))


def _tested(dynamics: Dynamics, runs: Sequence[Trained], source: Source) -> list[Row]:
    """Test and validation results of each run in the configuration's own domain."""
    shown, states = dynamics.configuration.domain, [run.state for run in runs]
    test = errors_and_losses(dynamics, states, shown.apply(source.test, source.domain))
    for _, loss in test:
        if not math.isfinite(loss):
            raise Diverged(
                f"training under {dynamics.configuration.spec} ended with a test loss of {loss}. "
                f"Lower its lr (now {dynamics.configuration.optimizer.lr:g})."
            )
    validation = errors_and_losses(dynamics, states, shown.apply(source.validation, source.domain))
    return [
        {"error": error, "loss": loss, "validation_error": held_out}
        for (error, loss), (held_out, _) in zip(test, validation, strict=True)
    ]
