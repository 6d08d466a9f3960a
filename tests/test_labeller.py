"""A set that carries its labeller: closed forms, the run on stored labels, and files that were tampered with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from command import Command
from limbeck.configuration import Configuration
from limbeck.cost import forecast
from limbeck.distillation import distill
from limbeck.dynamics import Dynamics
from limbeck.errors import BadData, CorruptFile, LimbeckError, NotTrusted
from limbeck.evaluation import evaluate
from limbeck.export import export_huggingface, export_npz
from limbeck.labeller import PREFIX, SETTINGS, Labeller
from limbeck.measures.objective import Objective
from limbeck.replicates import train_many
from limbeck.runners import run_study
from limbeck.samples import Domain, Samples
from limbeck.states.experts import train_expert
from limbeck.store import read_record
from limbeck.streams import derive, stream
from limbeck.study import StudyFolder
from limbeck.study.work import load_set, run_cell
from limbeck.synthetic import SyntheticSet
from limbeck.testing.blobs import blobs
from limbeck.testing.trials import tiny
from limbeck.unrolling import unroll
from limbeck.variants import make
from little import opened

SIAMESE = "convnet(width=4, depth=1, norm=batch)/sgd(lr=0.05)/siamese/constant(steps=6, batch=16)"
PLAIN = SIAMESE.replace("siamese", "none")
IMAGES = Domain((1, 6, 6), 3)


@dataclass(frozen=True)
class Linear:
    """softmax(W x / T) of the flattened view: a labeller that is known."""

    weight: Tensor
    temperature: float

    def __call__(self, x: Tensor) -> Tensor:
        return torch.softmax(x.flatten(1) @ self.weight.T / self.temperature, 1)

    def to(self, device: Any, dtype: Any) -> Linear:
        return replace(self, weight=self.weight.to(device, dtype))


def known(n: int = 5) -> Samples:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, *IMAGES.shape, generator=generator, dtype=torch.float64)
    labeller = Linear(torch.randn(3, 36, generator=generator, dtype=torch.float64), 2.0)
    return Samples(x, labeller(x), torch.arange(n) % 3, labeller)


@cache
def carrying(method: str = "random", temperature: float = 2.0, per_class: int = 2) -> SyntheticSet:
    """A set of small images with a teacher of a few epochs."""
    chosen = tiny(method, labels="teacher", teacher_epochs=3, temperature=temperature)
    return distill(blobs(), chosen, SIAMESE, per_class, candidates=1)


def test_one_step_is_the_closed_form_with_labels_of_the_view() -> None:
    """Softmax regression: the step is -lr (softmax(W v) - y(v)) v^T / n, v the view that was drawn."""
    dynamics = Dynamics("mlp(depth=0)/sgd(lr=0.1)/siamese/constant(steps=1)", IMAGES, dtype=torch.float64)
    samples = known()
    x, y = dynamics.view(samples, 7, 0)
    view = dynamics.configuration.augmentation.draw(5, IMAGES, stream(7, "augment", 0))(samples.x, samples.y)[0]
    assert not torch.equal(view, samples.x)
    assert samples.labeller is not None
    torch.testing.assert_close(x, view, rtol=0, atol=0)
    torch.testing.assert_close(y, samples.labeller(view), rtol=0, atol=0)
    reached = train_many(dynamics, samples, [7])[0].state.vector
    begun = dynamics.initial(derive(7, "init")).vector
    weights = dynamics.network.unflatten(begun)
    away = torch.softmax(view.flatten(1) @ weights["1.weight"].T + weights["1.bias"], 1) - samples.labeller(view)
    expected = torch.cat([(away.T @ view.flatten(1)).flatten() / 5, away.mean(0)])
    torch.testing.assert_close(reached, begun - 0.1 * expected, rtol=1e-11, atol=1e-13)


def test_views_that_are_the_samples_keep_the_labels_that_are_there() -> None:
    samples = known()
    dynamics = Dynamics("mlp(depth=0)", IMAGES, dtype=torch.float64)
    assert dynamics.view(samples, 0, 0) == (samples.x, samples.y)
    picked = samples[torch.tensor([2, 0])]
    assert picked.labeller is samples.labeller
    joined = Samples.concatenated(list(samples.by_class().values()))
    assert joined.labeller is samples.labeller


@pytest.mark.parametrize("memory", ["graph", "constant"])
def test_an_unrolled_training_is_differentiated_through_its_labels(memory: Any) -> None:
    """Finite differences in float64, along random directions of the samples."""
    configuration = "mlp(width=5, depth=1, activation=tanh)/sgd(lr=0.3)/siamese/constant(steps=3)"
    dynamics = Dynamics(configuration, IMAGES, dtype=torch.float64)
    samples, start = known(), dynamics.initial(derive(4, "init"))

    def end(x: Tensor) -> Tensor:
        return unroll(dynamics, start, replace(samples, x=x), steps=3, seed=4, memory=memory).square().sum()

    x = samples.x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(end(x), x)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        numeric = (end(samples.x + 1e-5 * direction) - end(samples.x - 1e-5 * direction)) / 2e-5
    assert float((slope * direction).sum()) == pytest.approx(float(numeric), rel=1e-6)
    reached = train_many(dynamics, samples, [4])[0].state.vector
    unrolled = unroll(dynamics, start, samples, steps=3, seed=4, memory=memory)
    torch.testing.assert_close(unrolled.detach(), reached, rtol=1e-11, atol=1e-13)


def test_without_augmentation_it_is_the_run_on_stored_labels_to_the_bit() -> None:
    source, own = blobs(), carrying()
    bare = {name: tensor for name, tensor in own.tensors.items() if not name.startswith("labeller")}
    labeller = own.labeller
    assert labeller is not None
    logits = labeller.network.logits(labeller.vector, labeller.buffers, own.samples().x) / 2.0
    stored = replace(own, tensors={**bare, "logits": logits}, parameterization="pixels(labels=soft)")
    first, second = (evaluate(made, PLAIN, source, [0, 1]) for made in (own, stored))
    assert [row["loss"] for row in first] == [row["loss"] for row in second]
    views = [evaluate(made, SIAMESE, source, [0])[0]["loss"] for made in (own, stored)]
    assert views[0] != views[1]


def test_the_labels_are_the_teachers_softmax_in_evaluation_mode() -> None:
    """Against torch's own module with the set's tensors loaded into it."""
    own = carrying()
    network = make("architectures", "convnet(width=4, depth=1, norm=batch)").build(own.domain).eval()
    stored = {name.removeprefix(PREFIX): t for name, t in own.tensors.items() if name.startswith(PREFIX)}
    network.load_state_dict(stored)
    view = torch.randn(5, *own.domain.shape, generator=torch.Generator().manual_seed(0))
    labeller = own.labeller
    assert labeller is not None
    with torch.no_grad():
        torch.testing.assert_close(labeller(view), torch.softmax(network(view) / 2.0, 1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(own.samples().y, torch.softmax(network(own.samples().x) / 2.0, 1))
    assert (stored["1.running_mean"] != 0).any()


def test_one_after_the_other_and_side_by_side_reach_the_same() -> None:
    source, own = blobs(), carrying(per_class=4)
    for batch in (5, 64):
        dynamics = Dynamics(SIAMESE.replace("batch=16", f"batch={batch}"), source.domain, dtype=torch.float64)
        loop, stacked = (train_many(dynamics, own.samples(), [1, 2], how=how) for how in ("loop", "stacked"))  # type: ignore[arg-type]
        for one, other in zip(loop, stacked, strict=True):
            torch.testing.assert_close(one.state.vector, other.state.vector, rtol=1e-9, atol=1e-11)


def test_what_is_measured_along_the_path_sees_the_same_labels() -> None:
    samples = known()
    dynamics = Dynamics("mlp(depth=0)/sgd/siamese", IMAGES, dtype=torch.float64)
    state = dynamics.initial(0)
    view = dynamics.configuration.augmentation.draw(5, IMAGES, stream(0, "view", 0))(samples.x, samples.y)[0]
    assert samples.labeller is not None
    expected = dynamics.loss(state.vector, {}, view, samples.labeller(view))
    assert Objective(dynamics, samples).value(state) == pytest.approx(float(expected), rel=1e-12)


def test_bytes_count_the_labeller_and_a_set_carries_it(tmp_path: Path) -> None:
    own, bare = carrying(), distill(blobs(), "random", SIAMESE, 2)
    settings = json.dumps({"architecture": make("architectures", SIAMESE.split("/")[0]).full_spec, "temperature": 2.0})
    network = 4 * (4 * 9 + 4 + 8 + 4 * 16 * 3 + 3) + 4 * 8 + 8  # weights, running statistics, a count of batches
    assert own.bytes - bare.bytes == network + len(settings)
    assert own.digest != bare.digest
    read = SyntheticSet.load(own.save(tmp_path))
    assert read.digest == own.digest
    assert torch.equal(read.samples().y, own.samples().y)
    formats = [read_record(tmp_path / "set.json")["about"]["format"]]
    formats += [read_record(bare.save(tmp_path / "bare") / "set.json")["about"]["format"]]
    assert formats == [2, 1], "a version that knows of no labeller refuses the one and reads the other"
    rows = [evaluate(made, SIAMESE, blobs(), [3])[0] for made in (own, read)]
    assert rows[0]["loss"] == rows[1]["loss"]
    assert rows[0]["bytes"] == own.bytes
    plain = evaluate(bare, SIAMESE, blobs(), [3])[0]["flops"]
    assert rows[0]["flops"] == plain + plain // 3, "a forward pass a view on top of forward and backward"
    assert evaluate(own, PLAIN, blobs(), [3])[0]["flops"] == plain


def test_a_part_and_another_temperature_of_a_set() -> None:
    own = carrying(per_class=3)
    part = own.first(1)
    assert (part.k, part.labeller is not None) == (3, True)
    assert torch.equal(part.samples().y, own.samples().y[::3])
    labeller = own.labeller
    assert labeller is not None
    sharper = own.labelled_by(replace(labeller, temperature=0.5))
    assert sharper.tensors.keys() == own.tensors.keys()
    assert sharper.samples().y.amax(1).mean() > own.samples().y.amax(1).mean()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda held: held | {PREFIX + "0.weight": torch.zeros(4, 2, 3, 3)}, BadData, "'0.weight' is missing or missh"),
        (lambda held: held | {PREFIX + "5.bias": torch.zeros(7)}, BadData, "1x8x8 samples and 3 classes"),
        (lambda held: {n: t for n, t in held.items() if n != PREFIX + "1.running_var"}, BadData, "'1.running_var'"),
        (lambda held: held | {PREFIX + "0.bias": torch.full((4,), torch.nan)}, BadData, "not finite"),
        (lambda held: {n: t for n, t in held.items() if n != SETTINGS}, CorruptFile, "settings of this set's labeller"),
        (lambda held: held | {SETTINGS: said("convnet", 0.0)}, CorruptFile, "temperature of 0.0"),
        (lambda held: held | {SETTINGS: said("convnot", 1.0)}, CorruptFile, "Did you mean 'convnet'"),
        (lambda held: held | {SETTINGS: said("antigravity:fly", 1.0)}, NotTrusted, "antigravity"),
    ],
)
def test_what_is_no_labeller_of_these_samples_is_refused_in_words(
    spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]], error: type[LimbeckError], words: str
) -> None:
    own = carrying()
    with pytest.raises(error, match=words):
        replace(own, tensors=spoil(dict(own.tensors))).samples()


def said(architecture: str, temperature: float) -> Tensor:
    text = json.dumps({"architecture": architecture, "temperature": temperature})
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def test_a_flipped_bit_of_a_labeller_is_found(tmp_path: Path) -> None:
    carrying().save(tmp_path)
    path = tmp_path / "set.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFile):
        SyntheticSet.load(tmp_path)


def test_the_command_line_says_who_labels_a_set(limbeck: Command, tmp_path: Path) -> None:
    carrying().save(tmp_path)
    shown = limbeck("show", tmp_path)
    assert "labelled by a convnet(width=4, depth=1, norm=batch) that the set carries" in shown.out
    assert limbeck("show", tmp_path, "--json").json["labeller"]["temperature"] == 2.0
    assert limbeck("export", tmp_path, tmp_path / "set.npz").code == 0
    assert limbeck("verify", tmp_path).code == 0


def test_exports_hand_the_labeller_on(tmp_path: Path) -> None:
    own = carrying()
    network = make("architectures", "convnet(width=4, depth=1, norm=batch)").build(own.domain).eval()
    with np.load(export_npz(own, tmp_path / "set.npz"), allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))["labeller"]
        held = {n.removeprefix(PREFIX): torch.from_numpy(stored[n]) for n in stored.files if n.startswith(PREFIX)}
        x, y = (torch.from_numpy(stored[name]) for name in ("x", "y"))
    network.load_state_dict(held)
    assert make("architectures", about["architecture"]) == make("architectures", SIAMESE.split("/")[0])
    with torch.no_grad():
        torch.testing.assert_close(torch.softmax(network(x) / about["temperature"], 1), y)
    pytest.importorskip("pyarrow")
    from safetensors.torch import load_file

    export_huggingface(own, tmp_path / "hub")
    loaded = load_file(tmp_path / "hub" / "labeller.safetensors")
    assert {name: t.tolist() for name, t in loaded.items()} == {name: t.tolist() for name, t in held.items()}
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "softmax(network(view) / 2)" in card
    export_huggingface(distill(blobs(), "random", SIAMESE, 1), tmp_path / "plain")
    assert "labeller" not in (tmp_path / "plain" / "README.md").read_text()


@pytest.mark.parametrize("method", ["random", "k-means", "herding"])
def test_a_selection_labelled_by_a_teacher_is_the_same_samples(method: str) -> None:
    source = blobs()
    chosen = distill(source, method, SIAMESE, 2, seed=1)
    soft, teacher = (
        distill(source, f"{method}(labels={labels}, teacher_epochs=2)", SIAMESE, 2, seed=1)
        for labels in ("soft", "teacher")
    )
    for made in (soft, teacher):
        assert torch.equal(made.samples().x, chosen.samples().x)
    torch.testing.assert_close(soft.samples().y, teacher.samples().y, rtol=1e-5, atol=1e-6)
    assert (soft.labeller, teacher.labeller is None) == (None, False)


def test_images_do_not_depend_on_who_labels_them_but_for_learned_labels() -> None:
    source = blobs()
    for method in ("dm", "dc", "sre2l", "rded"):
        configuration = SIAMESE.replace("siamese", "none")
        sets = [
            distill(source, tiny(method, labels=labels), configuration, 2, candidates=1)
            for labels in ("hard", "teacher")
        ]
        assert torch.equal(sets[0].tensors["pixels"], sets[1].tensors["pixels"])


def test_tiles_are_labelled_each_for_itself() -> None:
    own = distill(blobs(), tiny("dm", labels="teacher", factor=2, teacher_epochs=3), SIAMESE, 2, candidates=1)
    y = own.samples().y.unflatten(0, (-1, 4))
    assert (y - y.mean(1, keepdim=True)).abs().max() > 1e-4


def test_teachers_are_experts_that_may_come_from_elsewhere_and_cost_what_is_foretold() -> None:
    source, method = blobs(), make("methods", "dm(steps=2, batch_real=8, labels=teacher, teachers=2, teacher_epochs=2)")
    plan = method.teacher_plan(Configuration.parse(SIAMESE), source.domain)
    assert (plan.count, plan.checkpoints, plan.configuration.schedule.batch) == (2, 2, 64)
    dynamics = Dynamics(plan.configuration, source.domain)
    ends = [train_expert(plan, dynamics, source.train, number) for number in range(2)]
    here = distill(source, method, SIAMESE, 2, candidates=1)
    given = distill(source, method, SIAMESE, 2, candidates=1, teachers=ends.__getitem__)
    assert given.digest == here.digest
    foretold = forecast(source, method, SIAMESE, 2, candidates=1)
    assert (foretold.experts, foretold.bytes) == (2, here.bytes)


def test_a_study_trains_a_teacher_once_for_all_methods_and_finds_the_same_sets(tmp_path: Path) -> None:
    settings = "labels=teacher, teachers=2, teacher_epochs=1"
    methods = [f"random({settings})", f"dm(steps=2, batch_real=8, {settings})", "random"]
    folder = opened(tmp_path, methods=methods, per_class=[2], sets=2)
    kinds = [cell.kind for cell in folder.cells()]
    assert kinds.count("expert") == 2, "shared by both methods"
    run_study(folder, "serial")
    assert not folder.failed()
    for cell in folder.cells():
        if cell.kind == "distill" and "labels=teacher" in cell.payload["method"]:
            made = load_set(folder, cell.id)
            alone = distill(
                made.source, cell.payload["method"], cell.payload["configuration"], 2,
                seed=cell.payload["seed"], candidates=1,
            )  # fmt: skip
            assert made.labeller is not None
            assert made.digest == alone.digest


def test_a_study_knows_its_own_network_where_it_labels_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that only trains on the set has to import the teacher's code, which the set alone could not ask for."""
    own = "def net(shape, classes):\n    from torch import nn\n    size = shape[0] * shape[1] * shape[2]\n"
    own += "    return nn.Sequential(nn.Flatten(), nn.Linear(size, classes))\n"
    (tmp_path / "labelling_net.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    methods = ["random(labels=teacher, teachers=1, teacher_epochs=1)"]
    changes: dict[str, Any] = {"distill_configuration": "labelling_net:net/sgd/none/constant(steps=2)"}
    folder = opened(tmp_path, methods=methods, per_class=[2], sets=1, **changes)
    later = []
    for cell in folder.cells():
        later.append(cell) if cell.kind == "evaluate" else run_cell(folder, cell)
    monkeypatch.delitem(sys.modules, "labelling_net")
    made = load_set(folder, later[0].needs[0])
    with pytest.raises(NotTrusted):
        made.samples()
    elsewhere = StudyFolder(folder.path)  # as another process opens it
    assert all("failed" not in run_cell(elsewhere, cell) for cell in later)


def test_a_labeller_in_double_precision_is_the_same_function() -> None:
    labeller = carrying().labeller
    assert isinstance(labeller, Labeller)
    view = torch.randn(4, *labeller.domain.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(labeller.to(None, torch.float64)(view.double()).float(), labeller(view))
    assert labeller.to(None, torch.float32) is labeller
