"""Kernel matching: how well does kernel ridge regression on the synthetic set predict the data?"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call, grad, vmap

from limbeck.architectures import Architecture
from limbeck.architectures.mlp import MLP
from limbeck.errors import NotApplicable
from limbeck.network import copied
from limbeck.samples import Samples
from limbeck.surrogates import Moment, Surrogate

Kernels = tuple[Tensor, Tensor]  # K_ts (real, synthetic) and K_ss (synthetic, synthetic)


class Kernel(Surrogate):
    """Error of kernel ridge regression from the synthetic set to a real batch (Nguyen et al. 2021; Zhou et al. 2022).

    Mean over real samples and classes of (y_t - K_ts (K_ss + lambda I)^-1 y_s)^2, targets centred by 1 / classes and
    lambda = `ridge` * trace(K_ss) / k, in float64: the closed form of training to the end. The kernel is one of

    - `features`: f(x) . f(x') of the network's last features, at the state (FRePo);
    - `empirical-ntk`: the dot product of the gradients of the summed logits, over sqrt(classes), in all parameters of
      the finite network at the state (Mohamadi et al. 2023: the tangent kernel up to its variance over outputs, at one
      backward pass a sample). Batch norms use their running statistics, as a sample's gradient must be its own;
    - `analytic-ntk`: the neural tangent kernel of the infinitely wide ReLU MLP of the configuration's depth, weights of
      variance `weight_variance` / fan-in and biases of `bias_variance` (Jacot et al. 2018). It reads no state.

    With `margin` above 0, the mean lead of a synthetic label's largest entry over its second, at most 1 / classes, is
    taken off `margin` * 2 / classes times, so that learned labels keep telling classes apart (Zhou et al. 2022, whose
    measure is this one times classes / 2). With any ridge it is small at the data but not zero.
    """

    kernel: Literal["features", "empirical-ntk", "analytic-ntk"] = "features"
    ridge: float = Field(1e-6, gt=0)
    margin: float = Field(0.0, ge=0)
    weight_variance: float = Field(2.0, gt=0)
    bias_variance: float = Field(0.01, ge=0)

    @property
    def zero_at_data(self) -> bool:
        return False  # a ridge shrinks every prediction

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        kernels = self.kernels(moment, synthetic.x, real.x)
        classes = synthetic.y.shape[1]
        predicted = ridge_regression(*kernels, synthetic.y.double() - 1 / classes, self.ridge)
        value = ((predicted - (real.y.double() - 1 / classes)) ** 2).mean()
        if self.margin:
            first, second = synthetic.y.double().topk(2, dim=1).values.unbind(1)
            value = value - 2 / classes * self.margin * (first - second).clamp_max(1 / classes).mean()
        return value.to(synthetic.x.dtype)

    def kernels(self, moment: Moment, synthetic: Tensor, real: Tensor) -> Kernels:
        """K_ts and K_ss in float64, differentiable in the synthetic samples. Raises `NotApplicable`."""
        if self.kernel == "analytic-ntk":
            depth = analytic_depth(moment.dynamics.configuration.architecture)
            flat, target = synthetic.flatten(1).double(), real.flatten(1).double()
            variances = (self.weight_variance, self.bias_variance)
            return analytic_ntk(target, flat, depth, *variances), analytic_ntk(flat, flat, depth, *variances)
        embed = _features if self.kernel == "features" else _tangents
        ours = embed(moment, synthetic).double()
        with torch.no_grad():
            theirs = embed(moment, real).double()
        return theirs @ ours.T, ours @ ours.T


def ridge_regression(cross: Tensor, own: Tensor, y: Tensor, ridge: float) -> Tensor:
    """Predictions cross (own + lambda I)^-1 y (t, outputs), lambda = ridge * mean of own's diagonal."""
    lift = ridge * own.diagonal().mean() * torch.eye(len(own), dtype=own.dtype, device=own.device)
    return cross @ torch.linalg.solve(own + lift, y)


def analytic_depth(architecture: Architecture) -> int:
    """The hidden layers of the infinitely wide network. Raises `NotApplicable` where its kernel is not written here."""
    if not isinstance(architecture, MLP) or architecture.norm != "none" or architecture.activation != "relu":
        raise NotApplicable(
            f"kernel=analytic-ntk is written for ReLU MLPs without norms, not for {architecture.spec}. "
            "Use kernel=empirical-ntk, which takes any network."
        )
    return architecture.depth


def analytic_ntk(first: Tensor, second: Tensor, depth: int, weight_variance: float, bias_variance: float) -> Tensor:
    """The tangent kernel (n, m) of an infinitely wide ReLU MLP with `depth` hidden layers, rows (n, d) and (m, d).

    S_0 = w x . x' / d + b, T_0 = S_0, and a layer on, with t the angle of S and r = sqrt(S(x, x) S(x', x')) / 2 pi:
    S <- w r (sin t + (pi - t) cos t) + b, T <- S + T w (pi - t) / 2 pi (Cho & Saul 2009; Jacot et al. 2018). For
    parameters drawn N(0, 1) and scaled by sqrt(w / fan-in) and sqrt(b).
    """
    features = first.shape[1]
    cross = weight_variance * first @ second.T / features + bias_variance
    tangent = cross
    lengths = [weight_variance * (x * x).sum(1) / features + bias_variance for x in (first, second)]
    for _ in range(depth):
        scale = (lengths[0][:, None] * lengths[1][None]).sqrt()
        # A sample's angle to itself is 0 whatever the sample, where arccos has no slope: the clamp gives it none.
        cosine = (cross / scale).clamp(-1 + 1e-12, 1 - 1e-12)
        angle = torch.acos(cosine)
        open_share = (math.pi - angle) / (2 * math.pi)  # of weights for which both are active
        sine = (1 - cosine * cosine).sqrt()
        cross = weight_variance * scale * (sine / (2 * math.pi) + open_share * cosine) + bias_variance
        tangent = cross + tangent * weight_variance * open_share
        lengths = [weight_variance * length / 2 + bias_variance for length in lengths]
    return tangent


def _features(moment: Moment, x: Tensor) -> Tensor:
    buffers = copied(moment.state.buffers)
    network, vector = moment.dynamics.network, moment.state.vector.detach()
    return network.features_and_logits(vector, buffers, x, training=True)[0].flatten(1)


def _tangents(moment: Moment, x: Tensor) -> Tensor:
    """The gradient of each sample's summed logits over sqrt(classes), in all parameters (n, p)."""
    network, buffers = moment.dynamics.network, moment.state.buffers
    network.module.eval()

    def summed(vector: Tensor, sample: Tensor) -> Tensor:
        logits = functional_call(network.module, (network.unflatten(vector), buffers), (sample[None],))
        return logits.sum() / math.sqrt(logits.shape[1])

    return vmap(grad(summed), in_dims=(None, 0))(moment.state.vector.detach(), x)
