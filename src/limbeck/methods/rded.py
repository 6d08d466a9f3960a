"""RDED: realistic, diverse and efficient data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics, State
from limbeck.errors import BadData, NotApplicable
from limbeck.methods import Labelling, Taught, indices_by_class, stored_labels
from limbeck.parameterizations.pixels import Pixels
from limbeck.samples import Domain, Samples
from limbeck.sources import Source
from limbeck.states import ExpertPlan, Scene, restored
from limbeck.streams import numpy_stream, stream


class RDED(Taught):
    """Crops that a teacher is surest of, tiled into images and labelled by it (Sun et al., CVPR 2024). No optimisation.

    Of `pool` images a class `crops` random squares each, of an area of `smallest` to 1, are shrunk to 1 / `factor` of
    the side. Each image's best crop by the teacher's cross-entropy (on the crop at full size) is kept, the best
    per_class * factor^2 of them are tiled factor x factor. The set carries the teacher, which labels every view of them
    softmax(logits / `temperature`) while a network trains; `labels=soft` stores what it says of each image as it
    stands. Where a class has fewer images, further crops of them follow. The paper has factor 1 for 32x32 images and 2
    for large ones; its crops are of an area of .08 to 1, and one that is smaller than an image is judged with a border
    of zeros where it is enlarged here.

    On Fashion-MNIST at 10 a class its images have errors of 23.2 % with the teacher's labels of every view, 25.4 % with
    one stored label and 30.2 % with hard ones, those of `k-means` 20.0, 21.6 and 23.0 % (docs/results/labels.md). A
    teacher of five epochs in place of one gives its one stored label 2 points, which leaves it 2 below `random`
    (docs/results/methods.md).

    It falls short of `random` where a class gets many of its images: the surest are the easiest, and crops of small
    images leave out what they are told by. On the digits (test errors, sd over 2 sets x 2 seeds, `convnet(width=16,
    depth=2, norm=batch)/adamw(lr=5e-3)/siamese/cosine(steps=150)`, labels=soft, teacher_epochs=20) it has .19 +- .02
    against .25 +- .01 at 1 a class and .08 +- .01 against .04 +- .01 at 10. There whole images, `crops=1, smallest=1`,
    have .06 +- .02, and unsorted ones beside, `pool=10`, .05 +- .01. At temperature 1 it is .21 +- .01 and .10 +- .02.
    """

    paper: ClassVar[str] = "sun2024rded"
    surrogate_name: ClassVar[str] = "-"
    states_name: ClassVar[str] = "teacher"
    cost: ClassVar[str] = "forward of pool x crops x classes; teachers x teacher_epochs of the data before"
    trial: ClassVar[Mapping[str, Any]] = {"factor": 2}

    pool: int = Field(300, gt=0)
    crops: int = Field(5, gt=0)
    smallest: float = Field(0.5, gt=0, le=1)
    factor: int = Field(1, gt=0)
    labels: Labelling = "teacher"

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        if not domain.is_image:
            raise NotApplicable(f"this method crops images; the source has vectors of {domain.shape[0]} features.")
        sides = domain.shape[1:]
        if any(side % self.factor or side // self.factor < 4 for side in sides):
            raise NotApplicable(
                f"it can't tile {sides[0]}x{sides[1]} images {self.factor} x {self.factor}: a tile needs whole sides "
                "of 4 pixels or more. Lower its factor."
            )

    def labelling(self) -> Labelling:
        return self.labels

    def parameterization(self) -> Pixels:
        return Pixels(labels=stored_labels(self.labels))

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        return self.teacher_configuration(configuration)

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan:
        return self.taught().plan(dynamics)

    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        teacher, dynamics = restored(self.taught().begin(scene)), scene.dynamics
        random = numpy_stream(scene.seed, "choice")
        images = []
        for label, own in enumerate(indices_by_class(source, per_class)):
            chosen = own[torch.from_numpy(random.permutation(len(own))[: self.pool])]
            x = source.train.x[chosen].to(dynamics.device, dynamics.dtype)
            best = self._best_crops(dynamics, teacher, x, label, per_class, stream(scene.seed, "crops", label))
            images.append(self._tiled(best))
        x = torch.cat(images)
        y = torch.softmax(dynamics.predict(teacher, x) / self.temperature, 1)
        return Samples(x, y, torch.arange(source.domain.classes).repeat_interleave(per_class))

    def _best_crops(
        self, dynamics: Dynamics, teacher: State, x: Tensor, label: int, per_class: int, generator: torch.Generator
    ) -> Tensor:
        """The crops to be tiled, surest first (per_class * factor^2, channels, height / factor, width / factor)."""
        needed = per_class * self.factor**2
        if needed > len(x) * self.crops:
            raise BadData(
                f"{needed} crops of class {label} are asked for, and {len(x)} images have {len(x) * self.crops}. "
                "Lower per_class or factor, or raise crops."
            )
        crops = self._random_crops(x.repeat_interleave(self.crops, 0), generator)
        full = functional.interpolate(crops, size=x.shape[-2:], mode="bilinear", align_corners=False)
        loss = -torch.log_softmax(dynamics.predict(teacher, full), 1)[:, label].view(len(x), self.crops)
        rank = loss.argsort(1).argsort(1)  # of a crop among those of its image
        order = sorted(range(loss.numel()), key=lambda i: (int(rank.flatten()[i]), float(loss.flatten()[i])))
        return crops[order[:needed]]

    def _random_crops(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A random square of each image, resampled to 1 / factor of its side."""
        area, down, right = torch.rand(3, len(x), generator=generator).to(x)
        scale = (self.smallest + (1 - self.smallest) * area).sqrt()
        zero = torch.zeros_like(scale)
        shift = [(1 - scale) * (2 * u - 1) for u in (right, down)]  # in units of half a side
        rows = [torch.stack([scale, zero, shift[0]], 1), torch.stack([zero, scale, shift[1]], 1)]
        height, width = (side // self.factor for side in x.shape[-2:])
        grid = functional.affine_grid(torch.stack(rows, 1), [len(x), x.shape[1], height, width], align_corners=False)
        return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _tiled(self, crops: Tensor) -> Tensor:
        """Images of factor x factor crops in a row each (per_class, channels, height, width)."""
        count, channels, height, width = crops.shape
        grid = crops.view(count // self.factor**2, self.factor, self.factor, channels, height, width)
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, self.factor * height, self.factor * width)
