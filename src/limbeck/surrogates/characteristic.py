"""Characteristic-function matching: do the features have the same distribution, frequency by frequency?"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.network import copied
from limbeck.samples import Samples
from limbeck.streams import stream
from limbeck.surrogates import Moment, Surrogate, class_losses, real_features

SCALE = 300.0  # as released: the published step sizes belong to it
SMALLEST = 1e-12  # of what stands under the square root
ROWS = 16  # the network makes one frequency of this many; as released, where each is repeated


class Characteristic(Surrogate):
    """Class-wise distance of the characteristic functions of normalised features (Wang et al. 2025).

    Phi(t) = mean exp(i <t, f>), f the input of the last linear layer scaled to norm 1, for `frequencies` t.
    Per class: 300 mean_t sqrt(C(t)), C = `amplitude` (|Phi_r| - |Phi_s|)^2 + 2 (1 - `amplitude`) (|Phi_r| |Phi_s|
    - Re Phi_r Re Phi_s - Im Phi_r Im Phi_s), the second part |Phi_r| |Phi_s| (1 - cos of the phase difference) twice.
    Frequencies are drawn from N(0, I), or made from such draws by a network that is learned to raise the distance
    (`sampling=learned`; moment.learned["sampler"]). `calibration` weighs the sum over classes of the mean
    cross-entropy of the synthetic samples under the moment's target network, or its own where it has none.
    """

    frequencies: int = Field(1024, gt=0)
    amplitude: float = Field(0.5, ge=0, le=1)
    sampling: Literal["normal", "learned"] = "normal"
    calibration: float = Field(0.0, ge=0)

    zero_within = 1e-4  # sqrt(SMALLEST) times SCALE is left at the data

    @property
    def zero_at_data(self) -> bool:
        return self.calibration == 0

    @property
    def reads_labels(self) -> bool:
        return self.calibration > 0

    def value(self, moment: Moment, synthetic: Samples, real: Samples) -> Tensor:
        network, state = moment.dynamics.network, moment.state
        vector = state.vector.detach()
        target, _ = real_features(moment, real)
        features, _ = network.features_and_logits(vector, state.buffers, synthetic.x)
        chosen = self._frequencies(moment, features)
        total = features.new_zeros(())
        for label in torch.unique(synthetic.group).tolist():
            own, other = features[synthetic.group == label], target[real.group == label]
            total = total + self.distance(functional.normalize(own), functional.normalize(other), chosen)
        if self.calibration:
            # The statistics of batch norms are the state's own: under a target they are those of the set itself.
            elsewhere = moment.target is not None
            judge = vector if moment.target is None else moment.target
            logits = network.logits(judge, copied(state.buffers), synthetic.x, training=elsewhere)
            total = total + self.calibration * class_losses(logits, synthetic)
        return total

    def distance(self, synthetic: Tensor, real: Tensor, frequencies: Tensor) -> Tensor:
        """The distance of two samples (m, d) and (n, d) over frequencies (t, d)."""
        real_part, imaginary_part = _characteristic(synthetic, frequencies)
        real_target, imaginary_target = _characteristic(real, frequencies)
        norm = _norm(real_part, imaginary_part)
        norm_target = _norm(real_target, imaginary_target)
        along = real_part * real_target + imaginary_part * imaginary_target
        phase = 2 * (norm * norm_target - along)
        total = self.amplitude * (norm - norm_target) ** 2 + (1 - self.amplitude) * phase
        return SCALE * total.clamp_min(SMALLEST).sqrt().mean()

    def _frequencies(self, moment: Moment, features: Tensor) -> Tensor:
        """(frequencies, d), the same for the same moment."""
        size = features.shape[1]
        generator = stream(moment.seed, "frequencies")
        if self.sampling == "normal":
            return torch.randn(self.frequencies, size, generator=generator, dtype=features.dtype).to(features.device)
        sampler = moment.learned.get("sampler")
        sampler = initial_sampler(size).to(features) if sampler is None else sampler
        rows = max(2, self.frequencies // ROWS)
        noise = torch.randn(rows, size, generator=generator, dtype=features.dtype).to(features.device)
        return sampled(_Uphill.apply(sampler), noise)


def initial_sampler(size: int) -> Tensor:
    """The frequency network's parameters (3 layers of size x size weights and size biases) before learning."""
    bound = size**-0.5  # the default of torch's linear layers
    return (2 * torch.rand(3 * size * (size + 1), generator=stream(0, "sampler"), dtype=torch.float64) - 1) * bound


def sampled(sampler: Tensor, noise: Tensor) -> Tensor:
    """Frequencies of noise (rows, d): three times linear and batch norm, leaky ReLU 0.2 between, tanh at the end."""
    size = noise.shape[1]
    out = noise
    for place, layer in enumerate(sampler.view(3, -1)):
        out = functional.linear(out, layer[: size * size].view(size, size), layer[size * size :])
        out = functional.batch_norm(out, None, None, training=True)
        out = functional.leaky_relu(out, 0.2) if place < 2 else torch.tanh(out)
    return out


class _Uphill(torch.autograd.Function):
    """The identity, whose gradient is turned round: descending on the set is ascending on what passes here."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def _characteristic(features: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the empirical characteristic function at each frequency (t,)."""
    phase = features @ frequencies.T  # (n, t)
    return torch.cos(phase).mean(0), torch.sin(phase).mean(0)


def _norm(real: Tensor, imaginary: Tensor) -> Tensor:
    return (real * real + imaginary * imaginary).clamp_min(1e-30).sqrt()
