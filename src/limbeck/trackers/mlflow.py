"""MLflow: a database file of this machine, or a server of the user's."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limbeck.errors import MissingExtra
from limbeck.trackers import Tracked, Tracker

AT_ONCE = 500
"""Numbers that are sent together; MLflow takes no more than 1000."""


class MLflow(Tracker):
    """A run of MLflow: `mlflow ui --backend-store-uri URI` shows it.

    `uri` is a database file of this machine, which takes the whole of MLflow, or a server's address, for which
    mlflow-skinny is enough. Numbers are sent in groups of 500 and at the end.
    """

    uri: str = "sqlite:///mlflow.db"
    experiment: str = "limbeck"

    def begin(self, name: str, facts: Mapping[str, Any]) -> Tracked:
        try:
            from mlflow.entities import Param
            from mlflow.tracking import MlflowClient

            client = MlflowClient(tracking_uri=self.uri)
        except ImportError as error:
            raise MissingExtra(
                f"the tracker 'mlflow' needs MLflow ({error}). Install it: pip install 'limbeck[mlflow]', and for a "
                "database file on this machine: pip install mlflow."
            ) from None
        held = client.get_experiment_by_name(self.experiment)
        experiment = held.experiment_id if held else client.create_experiment(self.experiment)
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_batch(run, params=[Param(key, str(value)) for key, value in facts.items()])
        return _Run(client, run)


@dataclass(frozen=True)
class _Run:
    client: Any
    name: str
    waiting: list[Any] = field(default_factory=list)

    def note(self, numbers: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.waiting.extend(Metric(_allowed(name), value, now, step) for name, value in numbers.items())
        if len(self.waiting) >= AT_ONCE:
            self._send()

    def end(self, failed: bool) -> None:
        self._send()
        self.client.set_terminated(self.name, "FAILED" if failed else "FINISHED")

    def _send(self) -> None:
        self.client.log_batch(self.name, metrics=self.waiting)
        self.waiting.clear()


def _allowed(name: str) -> str:
    """MLflow takes no brackets, commas or equals signs in names."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]
