"""A tracker is told the numbers that the run itself ends with, and none can harm the run."""

from __future__ import annotations

import json
import math
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from command import Command
from limbeck.cli.tracking import tracked
from limbeck.errors import BadSetting, MissingExtra
from limbeck.store import read_record
from limbeck.study import StudyFolder, table
from limbeck.trackers import Tracked, Tracker
from limbeck.variants import make
from little import CONFIGURATIONS, little_toml, write_arrays

Series = dict[str, list[tuple[int, float]]]


def tensorboard(folder: Path) -> Series:
    """The scalars of the one event file in a folder."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no TensorBoard here")
    read = events.EventAccumulator(str(folder)).Reload()
    return {name: [(one.step, one.value) for one in read.Scalars(name)] for name in read.Tags()["scalars"]}


def mlflow(uri: str) -> tuple[Series, Any]:
    """The metrics of the one run, and the run."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("limbeck").experiment_id])
    names = run.data.metrics
    return {n: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, n)] for n in names}, run


def wandb(folder: Path) -> tuple[Series, dict[str, Any], int]:
    """The numbers, facts and exit code of the one run of Weights & Biases, whose own process writes after its end."""
    for _ in range(300):
        found = wandb_file(folder)
        if found[2] >= 0:
            return found
        time.sleep(0.1)
    pytest.fail("the run's end was not written within 30 s")


def wandb_file(folder: Path) -> tuple[Series, dict[str, Any], int]:
    """What its file holds by now, records in the form of LevelDB's log; the exit code is -1 until it is there."""
    records = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="no Weights & Biases here")
    (path,) = folder.rglob("*.wandb")
    data, place, held = path.read_bytes(), 7, b""
    series: Series = defaultdict(list)
    facts, code = {}, -1
    while place + 7 <= len(data):
        if (left := 2**15 - place % 2**15) < 7:  # no header is split between blocks
            place += left
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        held, place = held + data[place + 7 : place + 7 + size], place + 7 + size
        if kind not in (1, 4):  # the first or a middle part of a record
            continue
        record, held = records.Record.FromString(held), b""
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name in items.keys() - {"step", "_step", "_runtime", "_timestamp"}:
            series[name].append((items["step"], items[name]))
        facts |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        code = record.exit.exit_code if record.HasField("exit") else code
    return series, facts, code


def distilled(limbeck: Command, place: Path, tracker: str) -> list[tuple[int, float]]:
    """The losses of a distillation that was tracked, as its own set remembers them."""
    source = f"npz(path='{write_arrays(place / 'arrays.npz')}')"
    words = ("-k", 2, "-c", CONFIGURATIONS[0], "-o", place / "set", "--tracker", tracker, "--json")
    assert limbeck("distill", source, "dm(steps=4, batch_real=8)", *words).code == 0
    return [(step + 1, loss) for step, loss in read_record(place / "set" / "set.json")["about"]["provenance"]["losses"]]


def test_tensorboard_is_told_every_loss(limbeck: Command, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed here")
    losses = distilled(limbeck, tmp_path, f"tensorboard(folder='{tmp_path / 'events'}')")
    assert len(losses) == 4
    assert tensorboard(tmp_path / "events" / "set") == {"loss": [(step, pytest.approx(loss)) for step, loss in losses]}


def test_tensorboard_is_told_every_cell_of_a_study(limbeck: Command, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed here")
    (tmp_path / "little.toml").write_text(little_toml(tmp_path))
    words = ("--runs", tmp_path / "runs", "--runner", "serial", "--tracker", f"tensorboard(folder='{tmp_path}')")
    assert limbeck("study", "run", tmp_path / "little.toml", *words, "--json").code == 0
    told, folder = tensorboard(tmp_path / "little"), StudyFolder(tmp_path / "runs" / "little")
    errors: dict[str, dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in table(folder):
        place = (row["k"], row["set"]) if row["k"] else row["seed"]
        errors[f"error/{row['method']}/{row['configuration']}"][place].append(row["error"])
    assert {name for name in told if name.startswith("error/")} == set(errors)
    for name, held in errors.items():
        assert sorted(value for _, value in told[name]) == pytest.approx(sorted(map(fmean, held.values())))
    assert {step for step, _ in told["error/reference/" + folder.study.evaluated[0].spec]} == {0}
    assert sum(len(held) for name, held in told.items() if name.startswith("seconds/")) == len(folder.cells())


def test_mlflow_is_told_every_loss_and_what_the_run_is(limbeck: Command, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed here")
    pytest.importorskip("sqlalchemy", reason="a database file takes the whole of MLflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    losses = distilled(limbeck, tmp_path, f"mlflow(uri='{uri}')")
    series, run = mlflow(uri)
    assert series == {"loss": [(step, pytest.approx(loss)) for step, loss in losses]}
    assert run.data.params["method"] == "dm(steps=4, batch_real=8)"
    assert (run.info.run_name, run.info.status) == ("set", "FINISHED")


def test_weights_and_biases_is_told_every_loss_offline(limbeck: Command, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed here")
    losses = distilled(limbeck, tmp_path, f"wandb(folder='{tmp_path / 'wandb'}')")
    series, facts, code = wandb(tmp_path / "wandb")
    assert series == {"loss": [(step, pytest.approx(loss)) for step, loss in losses]}
    assert (facts["method"], facts["per_class"], code) == ("dm(steps=4, batch_real=8)", 2, 0)


def test_weights_and_biases_keeps_numbers_whose_steps_come_in_any_order(tmp_path: Path) -> None:
    """Cells of a study end in any order of k; W&B's own counter would drop those that come late."""
    pytest.importorskip("wandb", reason="Weights & Biases is not installed here")
    run = make("trackers", f"wandb(folder='{tmp_path}')").begin("x", {})
    for step in (30, 10, 20):
        run.note({"error/random/mlp(width=8)/adamw": step / 100}, step)
    run.end(True)
    series, _, code = wandb(tmp_path)
    assert series == {"error/random/mlp(width=8)/adamw": [(30, 0.3), (10, 0.1), (20, 0.2)]}
    assert code == 1


@pytest.mark.parametrize(
    ("tracker", "module"),
    [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow.tracking"), ("wandb", "wandb")],
)
def test_a_tracker_that_is_not_installed_is_said_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tracker: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "mlflow.entities", None)
    with pytest.raises(MissingExtra, match=rf"pip install 'limbeck\[{tracker}\]'"):
        make("trackers", tracker).begin("x", {})


class Failing(Tracker):
    """Takes numbers up to a step, and then no more."""

    last: int
    told: list[Any] = []

    def begin(self, name: str, facts: Mapping[str, Any]) -> Tracked:
        if self.last < 0:
            raise OSError("no route")
        return self

    def note(self, numbers: Mapping[str, float], step: int) -> None:
        if step > self.last:
            raise ConnectionError("the server is gone")
        self.told.append((step, *numbers.values()))

    def end(self, failed: bool) -> None:
        self.told.append(failed)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    def made(family: str, text: str) -> Failing:
        return tracker if text == "good" else Failing(last=-1)

    tracker = Failing(last=2)
    monkeypatch.setattr("limbeck.variants.make", made)
    return tracker


def test_a_tracker_that_fails_is_left_alone_and_said_once(failing: Failing, capsys: pytest.CaptureFixture[str]) -> None:
    with tracked("good", "x", {}) as note:
        assert note is not None
        for step in range(5):
            note({"loss": math.sqrt(step)}, step)
    assert failing.told == [(0, 0.0), (1, 1.0), (2, math.sqrt(2))]
    assert capsys.readouterr().err == "limbeck: good takes no more (the server is gone); the run goes on without it.\n"


def test_a_run_is_ended_as_it_ended(failing: Failing) -> None:
    with pytest.raises(KeyboardInterrupt), tracked("good", "x", {}):
        raise KeyboardInterrupt
    with tracked("good", "x", {}):
        pass
    assert failing.told == [True, False]


def test_a_tracker_that_can_not_begin_is_a_mistake_that_can_be_mended(failing: Failing) -> None:
    with pytest.raises(BadSetting, match="can't begin a run: no route"), tracked("bad", "x", {}):
        pass
    with tracked("", "x", {}) as note:
        assert note is None
