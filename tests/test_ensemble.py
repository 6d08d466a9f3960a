"""Layers side by side compute what torch's vmap of the network computes, and the quicker way is remembered."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch.func import vmap

from limbeck import calibration
from limbeck.calibration import quickest
from limbeck.dynamics import Dynamics
from limbeck.ensemble import Ensemble
from limbeck.replicates import _stack, train_many
from limbeck.samples import Domain, Samples

IMAGES = Domain((2, 8, 8), 3)
VECTORS = Domain((5,), 3)
KNOWN = {
    "mlp(width=6)": IMAGES,
    "mlp(width=6, depth=1)": VECTORS,
    "convnet(width=4, depth=2)": IMAGES,
    "convnet(width=4, depth=1, norm=batch, pooling=max)": IMAGES,
    "convnet(width=4, depth=1, norm=group, activation=swish, pooling=none)": IMAGES,
}


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("network", KNOWN)
def test_layers_side_by_side_equal_vmap_in_logits_slopes_and_running_statistics(network: str, shared: bool) -> None:
    domain = KNOWN[network]
    held = Dynamics(network, domain, dtype=torch.float64).network
    assert held._ensemble is not None
    dynamics = Dynamics(network, domain, dtype=torch.float64)
    state = _stack([dynamics.initial(seed) for seed in range(3)])
    shape = (4, *domain.shape) if shared else (3, 4, *domain.shape)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for ours in (True, False):
        vectors = state.vector.clone().requires_grad_()
        buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
        if ours:
            logits = held.stacked_logits(vectors, buffers, x, training=True)
        else:
            one = lambda v, b, z: held.logits(v, b, z, training=True)  # noqa: E731
            logits = vmap(one, (0, 0, None if shared else 0))(vectors, buffers, x)
        (slope,) = torch.autograd.grad(logits.square().sum(), vectors)
        found.append((logits.detach(), slope, buffers))
    for first, second in zip(found[0][:2], found[1][:2], strict=True):
        torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-11)
    for name, buffer in found[1][2].items():
        torch.testing.assert_close(found[0][2][name], buffer, rtol=1e-12, atol=0)


@pytest.mark.parametrize("network", ["mlp(width=4, norm=layer)", "resnet18(width=4)"])
def test_a_network_with_a_layer_that_is_not_known_is_left_to_vmap(network: str) -> None:
    domain = Domain((1, 16, 16), 3)
    dynamics = Dynamics(f"{network}/cosine(steps=2)", domain, dtype=torch.float64)
    assert Ensemble.of(dynamics.network.module) is None
    x = torch.randn(4, *domain.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = Samples.hard(x, torch.arange(4) % 3, 3)
    stacked = train_many(dynamics, samples, [1, 2], how="stacked")
    alone = train_many(dynamics, samples, [1, 2], how="loop")
    for one, other in zip(stacked, alone, strict=True):
        torch.testing.assert_close(one.state.vector, other.state.vector, rtol=1e-8, atol=1e-9)


def test_the_quickest_way_is_measured_once_and_the_first_to_write_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass

    ways = {"slow": slow, "quick": lambda: calls.append("quick")}
    assert quickest("test", [1], ways) == "quick"
    assert calls.count("slow") == calls.count("quick") == calibration.ROUNDS + 1
    assert quickest("test", [1], ways) == "quick"
    monkeypatch.setattr(calibration, "_decided", {})  # as in another process
    assert quickest("test", [1], ways) == "quick"
    assert calls.count("slow") == calibration.ROUNDS + 1
    (written,) = tmp_path.rglob("*.json")
    written.write_text('{"quickest": "slow"}')
    monkeypatch.setattr(calibration, "_decided", {})
    assert quickest("test", [1], ways) == "slow"
    written.write_text("{ half")  # a broken file is measured again, here without being replaced
    monkeypatch.setattr(calibration, "_decided", {})
    assert quickest("test", [1], ways) == "quick"
    assert quickest("test", [2], ways) == "quick"
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_a_cache_that_cannot_be_written_decides_for_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(calibration, "_decided", {})
    assert quickest("test", [1], {"one": lambda: None}) == "one"
