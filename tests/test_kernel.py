"""Kernel ridge regression and tangent kernels: scikit-learn, closed forms and wide finite networks are the oracles."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.dynamics import Dynamics
from limbeck.errors import NotApplicable
from limbeck.methods.frepo import FRePo
from limbeck.methods.kip import KIP
from limbeck.samples import Domain, Samples
from limbeck.states import Scene, restored
from limbeck.states.pool import Pool
from limbeck.surrogates import Moment
from limbeck.surrogates.kernel import Kernel, analytic_ntk

DOMAIN = Domain((5,), 3)
IMAGES = Domain((2, 6, 6), 3)


def some_samples(count: int, domain: Domain = DOMAIN, seed: int = 0) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *domain.shape, generator=generator, dtype=torch.float64)
    return Samples.hard(x, torch.arange(count) % 3, 3)


def at(configuration: str, domain: Domain = DOMAIN, seed: int = 0) -> Moment:
    dynamics = Dynamics(configuration, domain, dtype=torch.float64)
    return Moment(dynamics, dynamics.initial(seed))


@pytest.mark.parametrize("kernel", ["features", "empirical-ntk", "analytic-ntk"])
def test_the_measure_is_that_of_scikit_learns_kernel_ridge(kernel: str) -> None:
    from sklearn.kernel_ridge import KernelRidge

    moment = at("mlp(width=12, depth=2)")
    synthetic, real = some_samples(9), some_samples(20, seed=1)
    surrogate = Kernel.model_validate({"kernel": kernel, "ridge": 1e-3})
    cross, own = (part.detach().numpy() for part in surrogate.kernels(moment, synthetic.x, real.x))
    fitted = KernelRidge(alpha=1e-3 * np.trace(own) / 9, kernel="precomputed").fit(own, synthetic.y.numpy() - 1 / 3)
    expected = np.mean((fitted.predict(cross) - (real.y.numpy() - 1 / 3)) ** 2)
    assert float(surrogate.value(moment, synthetic, real).detach()) == pytest.approx(expected, rel=1e-8)


def test_on_raw_features_it_is_linear_ridge_regression() -> None:
    """Without hidden layers the features are the samples, and the dual solution is the primal one."""
    synthetic, real = some_samples(9), some_samples(20, seed=1)
    lift = 0.1 * float((synthetic.x**2).sum(1).mean())
    weights = torch.linalg.solve(
        synthetic.x.T @ synthetic.x + lift * torch.eye(5, dtype=torch.float64), synthetic.x.T @ (synthetic.y - 1 / 3)
    )
    expected = ((real.x @ weights - (real.y - 1 / 3)) ** 2).mean()
    value = Kernel(kernel="features", ridge=0.1).value(at("mlp(depth=0)"), synthetic, real)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)


def test_with_a_margin_it_is_the_papers_loss_of_predictions_and_learned_labels() -> None:
    """Half the sum of squares less the labels' capped lead (Zhou et al. 2022), up to the factor classes / 2."""
    moment, real = at("mlp(width=12)"), some_samples(20, seed=1)
    logits = torch.tensor([[2.0, 1.9, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64).repeat(4, 1)[:6]
    y = torch.softmax(logits, 1)
    synthetic = replace(some_samples(6), y=y)
    cross, own = Kernel().kernels(moment, synthetic.x, real.x)
    lift = 1e-6 * torch.trace(own) / 6 * torch.eye(6, dtype=torch.float64)
    predicted = cross @ torch.linalg.inv(own + lift) @ (y - 1 / 3)
    leads = [float(y[0, 0] - y[0, 1]), 1 / 3]  # the second label's own lead is larger
    assert leads[0] < 1 / 3 < float(y[1, 1] - y[1, 2])
    paper = 0.5 * ((predicted - (real.y - 1 / 3)) ** 2).sum(1).mean() - 0.5 * sum(leads) / 2
    value = Kernel(margin=0.5).value(moment, synthetic, real)
    assert float(value) * 3 / 2 == pytest.approx(float(paper), rel=1e-7)


def test_the_empirical_kernel_of_a_linear_network_is_the_linear_one() -> None:
    synthetic, real = some_samples(6), some_samples(8, seed=1)
    cross, own = Kernel(kernel="empirical-ntk").kernels(at("mlp(depth=0)"), synthetic.x, real.x)
    torch.testing.assert_close(cross, real.x @ synthetic.x.T + 1, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(own, synthetic.x @ synthetic.x.T + 1, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("configuration", "domain"),
    [("mlp(width=8, norm=layer)", DOMAIN), ("convnet(width=4, depth=1)", IMAGES)],
)
def test_the_empirical_kernel_is_that_of_one_backward_pass_a_sample(configuration: str, domain: Domain) -> None:
    moment, samples = at(configuration, domain), some_samples(4, domain)
    rows = []
    for x in samples.x:
        vector = moment.state.vector.clone().requires_grad_()
        total = moment.dynamics.network.logits(vector, moment.state.buffers, x[None]).sum() / math.sqrt(3)
        rows.append(torch.autograd.grad(total, vector)[0])
    gradients = torch.stack(rows)
    _, own = Kernel(kernel="empirical-ntk").kernels(moment, samples.x, samples.x)
    torch.testing.assert_close(own.detach(), gradients @ gradients.T, rtol=1e-9, atol=1e-11)


def wide_kernel(x: Tensor, depth: int, width: int, seed: int, w: float, b: float) -> Tensor:
    """The tangent kernel of one finite ReLU network with N(0, 1) parameters, scaled as the limit takes them."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [x.shape[1], *[width] * depth, 1]
    parameters = []
    for inputs, outputs in itertools.pairwise(sizes):
        parameters.append(torch.randn(outputs, inputs, generator=generator, dtype=torch.float64, requires_grad=True))
        parameters.append(torch.randn(outputs, generator=generator, dtype=torch.float64, requires_grad=True))
    hidden = x
    for layer in range(depth + 1):
        weight, bias = parameters[2 * layer : 2 * layer + 2]
        hidden = math.sqrt(w / weight.shape[1]) * hidden @ weight.T + math.sqrt(b) * bias
        hidden = torch.relu(hidden) if layer < depth else hidden
    slopes = [torch.autograd.grad(out, parameters, retain_graph=True) for out in hidden[:, 0]]
    return torch.stack(
        [torch.stack([sum((p * q).sum() for p, q in zip(one, two, strict=True)) for two in slopes]) for one in slopes]
    )


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_analytic_kernel_is_the_limit_of_wide_networks(depth: int) -> None:
    """The mean over random networks of width 400 lies within four standard errors and 4 % of the limit."""
    x = some_samples(4).x
    x[1] = x[0]  # a sample twice: the angle is zero off the diagonal
    x[3] = -x[2]
    kernels = torch.stack([wide_kernel(x, depth, 400, seed, 1.7, 0.3) for seed in range(24)])
    mean, error = kernels.mean(0), kernels.std(0) / math.sqrt(24)
    expected = analytic_ntk(x, x, depth, 1.7, 0.3)
    assert ((mean - expected).abs() < 4 * error + 1e-9).all()
    assert (mean - expected).norm() < 0.04 * expected.norm()


def test_the_analytic_kernel_has_its_closed_forms() -> None:
    """Along the diagonal T_1 = w S_0 / 2 + b + w S_0 / 2; across a right angle only the cosine kernels' constants."""
    x = torch.eye(2, dtype=torch.float64) * math.sqrt(2)  # |x|^2 / d = 1
    kernel = analytic_ntk(x, x, 1, 2.0, 0.0)
    assert kernel[0, 0] == pytest.approx(4.0, rel=1e-5)
    assert kernel[0, 1] == pytest.approx(2 * 2 / (2 * math.pi), rel=1e-9)
    with_bias = analytic_ntk(x, x, 1, 2.0, 0.5)
    assert with_bias[0, 0] == pytest.approx(2.5 + 0.5 + 2.5, rel=1e-5)


def test_the_analytic_kernel_reads_no_state_and_only_mlps() -> None:
    synthetic, real = some_samples(6), some_samples(8, seed=1)
    surrogate = Kernel(kernel="analytic-ntk")
    values = {float(surrogate.value(at("mlp(width=4)", seed=seed), synthetic, real)) for seed in (0, 1)}
    assert len(values) == 1
    for refused in ("mlp(activation=tanh)", "mlp(norm=batch)"):
        with pytest.raises(NotApplicable, match="empirical-ntk"):
            surrogate.value(at(refused), synthetic, real)


def test_kip_refuses_the_analytic_kernel_of_a_convnet_before_it_starts() -> None:
    convnet = Dynamics("convnet(width=4, depth=1)", IMAGES).configuration
    KIP().check(convnet, IMAGES, 1)
    with pytest.raises(NotApplicable, match="empirical-ntk"):
        KIP(kernel="analytic-ntk").check(convnet, IMAGES, 1)


def test_a_coinciding_real_sample_leaves_a_finite_slope() -> None:
    """A set that starts from real samples coincides with some of the batch, where the tangent kernel has a cusp."""
    real = some_samples(8)
    x = real.x[:6].clone().requires_grad_()
    value = Kernel(kernel="analytic-ntk").value(at("mlp"), Samples(x, real.y[:6], real.group[:6]), real)
    assert torch.isfinite(torch.autograd.grad(value, x)[0]).all()


def test_the_pool_trains_the_network_it_showed_and_replaces_it_at_its_age() -> None:
    dynamics = Dynamics("mlp(width=4)/adam/constant", DOMAIN, dtype=torch.float64)
    scene, synthetic = Scene(dynamics, some_samples(9), 2), some_samples(6)
    states = Pool(networks=3, lifetime=6)
    carry = states.begin(scene)
    ages = [restored(carry, f"{place}.").step for place in range(3)]
    assert ages == [0, 2, 4]
    for step in range(40):
        shown = states.visit(scene, carry, step, {}).state
        place = next(p for p in range(3) if torch.equal(restored(carry, f"{p}.").vector, shown.vector))
        after = states.advance(scene, carry, step, synthetic)
        ages[place] = 0 if ages[place] + 1 == 6 else ages[place] + 1
        assert [restored(after, f"{p}.").step for p in range(3)] == ages
        moved = [
            p for p in range(3) if not torch.equal(restored(after, f"{p}.").vector, restored(carry, f"{p}.").vector)
        ]
        assert moved == [place]
        if ages[place]:
            taken = dynamics.step(shown, synthetic.x, synthetic.y)
            torch.testing.assert_close(restored(after, f"{place}.").vector, taken.vector)
        carry = after


def test_labels_are_learned_unless_they_are_to_stay_hard() -> None:
    for method in (FRePo(), KIP()):
        assert "logits" in method.optimizers()
        assert "logits" not in method.with_settings(labels="hard").optimizers()
