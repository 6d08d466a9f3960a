"""Statistics matching and teacher-scored crops, against closed forms and direct computation."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch.nn import functional

from limbeck.distillation import distill
from limbeck.dynamics import Dynamics, soft_cross_entropy
from limbeck.errors import NotApplicable
from limbeck.evaluation import evaluate
from limbeck.methods.rded import RDED
from limbeck.methods.sre2l import SRe2L
from limbeck.parameterizations.pixels import Pixels
from limbeck.samples import Domain, Samples
from limbeck.sources import Source, load_source
from limbeck.states import Scene, buffers_on, restored
from limbeck.states.experts import train_expert
from limbeck.states.teacher import Teacher
from limbeck.surrogates import Moment
from limbeck.surrogates.statistics import Statistics
from limbeck.testing.blobs import blobs

CONVNET = "convnet(width=4, depth=1, norm=batch)/sgd(lr=0.05)/none/constant(steps=2, batch=16)"


def test_the_measure_is_its_formula_on_a_first_batch_norm() -> None:
    """Behind one linear layer, mean and variance of the norm's input are those of W x + b."""
    dynamics = Dynamics("mlp(width=4, depth=1, norm=batch)", Domain((5,), 3), dtype=torch.float64)
    state = dynamics.initial(0)
    generator = torch.Generator().manual_seed(1)
    running = {"2.running_mean": torch.randn(4, generator=generator, dtype=torch.float64)}
    running |= {"2.running_var": torch.rand(4, generator=generator, dtype=torch.float64) + 0.5}
    state.buffers.update(running)
    x = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    samples = Samples.hard(x, torch.arange(7) % 3, 3)
    weights = dynamics.network.unflatten(state.vector)
    hidden = x @ weights["1.weight"].T + weights["1.bias"]
    away = (hidden.mean(0) - running["2.running_mean"]).norm()
    away = away + (hidden.var(0, correction=0) - running["2.running_var"]).norm()
    loss = soft_cross_entropy(dynamics.network.logits(state.vector, state.buffers, x), samples.y)
    value = Statistics(weight=0.3).value(Moment(dynamics, state), samples, samples)
    torch.testing.assert_close(value, loss + 0.3 * away, rtol=1e-12, atol=0)


def test_the_first_batch_norm_may_weigh_more_than_the_others() -> None:
    dynamics = Dynamics("mlp(width=4, depth=2, norm=batch)", Domain((5,), 3), dtype=torch.float64)
    moment, x = Moment(dynamics, dynamics.initial(0)), torch.randn(7, 5, dtype=torch.float64)
    samples = Samples.hard(x, torch.arange(7) % 3, 3)
    plain, tenfold, nothing = (
        Statistics(weight=1.0, first=f).value(moment, samples, samples) for f in (1.0, 10.0, 0.0)
    )
    weights = dynamics.network.unflatten(moment.state.vector)
    hidden = x @ weights["1.weight"].T + weights["1.bias"]
    first = hidden.mean(0).norm() + (hidden.var(0, correction=0) - 1).norm()
    torch.testing.assert_close(tenfold - plain, 9 * first, rtol=1e-10, atol=0)
    torch.testing.assert_close(plain - nothing, first, rtol=1e-10, atol=0)


def test_at_the_data_only_the_teachers_loss_is_left() -> None:
    """Where the running statistics are those of these very samples, both distances vanish."""
    source = blobs((1, 8, 8), (20, 20, 20))
    dynamics = Dynamics(CONVNET, source.domain, dtype=torch.float64)
    vector = dynamics.initial(0).vector
    state = dynamics.restarted(vector, buffers_on(dynamics, vector, source.train))
    data = source.train.to(dtype=torch.float64)
    moment = Moment(dynamics, state)
    assert len(data) <= 256, "one batch, whose statistics are the data's"
    only_loss, both = (Statistics(weight=weight).value(moment, data, data) for weight in (0.0, 1.0))
    # running variances are unbiased, those that are matched are not: a factor of n / (n - 1), n = samples x places
    assert abs(float(both - only_loss)) < 1e-3
    other = Samples(data.x * 2 + 1, data.y, data.group)
    assert float(Statistics(weight=1.0).value(moment, other, other)) > float(both) + 0.5


def test_a_network_without_batch_norms_is_refused_before_anything_runs() -> None:
    source = blobs((1, 8, 8), (20, 20, 20))
    with pytest.raises(NotApplicable, match=r"norm=batch.*Methods that can run here: .*dm") as refused:
        distill(source, "sre2l", "convnet(width=4, depth=1)", 1)
    assert "sre2l," not in str(refused.value)


def test_vectors_and_small_images_are_refused_by_rded_in_words() -> None:
    with pytest.raises(NotApplicable, match=r"crops images.*Methods that can run here: "):
        distill(blobs((12,), (20, 20, 20)), "rded", "mlp(width=4)", 1)
    for factor in (3, 4):
        with pytest.raises(NotApplicable, match="factor"):
            distill(blobs((1, 8, 8), (20, 20, 20)), RDED(factor=factor), "convnet(width=4, depth=1)", 1)


def scene_of(source: Source, configuration: str, plan: Teacher, seed: int = 0) -> Scene:
    dynamics = Dynamics(configuration, source.domain)
    experts = cache(lambda number: train_expert(plan.plan(dynamics), dynamics, source.train, number))
    return Scene(dynamics, source.train, seed, experts)


def test_a_teacher_is_the_end_of_a_training_and_sets_draw_different_ones() -> None:
    source = blobs((1, 8, 8), (20, 20, 20))
    states = Teacher(teachers=3, epochs=2)
    seen = set()
    for seed in range(12):
        scene = scene_of(source, CONVNET, states, seed)
        state = restored(states.begin(scene))
        assert scene.experts is not None
        ends = [scene.experts(number) for number in range(3)]
        assert all(len(end) == 2 for end in ends), "a start and an end"
        seen |= {number for number in range(3) if torch.equal(ends[number][-1], state.vector)}
        assert (state.buffers["1.running_mean"] != 0).any()
    assert seen == {0, 1, 2}


def test_labels_are_what_the_teacher_says_of_the_final_samples() -> None:
    source = blobs((1, 8, 8), (20, 20, 20))
    method = SRe2L(steps=3, teachers=1, teacher_epochs=4, temperature=2.0)
    made = distill(source, method, CONVNET, 2, candidates=1)
    scene = scene_of(source, str(method.dynamics_configuration(Dynamics(CONVNET, source.domain).configuration,
                                                               source.domain, 2)), method.states(2))  # fmt: skip
    teacher = restored(method.states(2).begin(scene))
    said = torch.softmax(scene.dynamics.predict(teacher, made.samples().x) / 2.0, 1)
    torch.testing.assert_close(made.samples().y, said, rtol=1e-4, atol=1e-5)


def test_pixels_stay_in_the_range_of_the_data_and_end_at_a_rate_of_zero() -> None:
    source = blobs((1, 8, 8), (20, 20, 20))
    made = distill(source, SRe2L(steps=5, teachers=1, teacher_epochs=2, lr_pixels=50.0), CONVNET, 2, candidates=1)
    least, largest = source.train.x.min(), source.train.x.max()
    pixels = made.tensors["pixels"]
    assert pixels.min() == least
    assert pixels.max() == largest
    assert [SRe2L().pace(progress, []) for progress in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    features = Scene(
        Dynamics("mlp(width=4)", Domain((3,), 2)), Samples.hard(torch.randn(9, 3), torch.arange(9) % 2, 2), 0
    )
    torch.testing.assert_close(features.extremes[0], features.train.x.min(0).values)


def test_crops_are_squares_of_the_image_and_whole_where_they_are_as_large() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).repeat(5, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    whole = RDED(smallest=1.0)._random_crops(x, generator)
    torch.testing.assert_close(whole, x)
    halves = RDED(smallest=1.0, factor=2)._random_crops(x, generator)
    # At half the side, bilinear sampling of pixel centres is the mean of four.
    torch.testing.assert_close(halves, functional.avg_pool2d(x, 2))
    crops = RDED(smallest=0.25)._random_crops(x.repeat(20, 1, 1, 1), generator)
    ranges = crops.flatten(1).amax(1) - crops.flatten(1).amin(1)
    full = 63.0
    assert (ranges <= full + 1e-3).all()
    assert ranges.min() < 0.65 * full, "squares down to half the side"


def test_tiles_stand_row_by_row() -> None:
    crops = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 4, 4)
    tiled = RDED(factor=2)._tiled(crops)
    assert tiled.shape == (2, 1, 8, 8)
    assert tiled[0, 0, ::4, ::4].tolist() == [[0, 1], [2, 3]]
    assert tiled[1, 0, ::4, ::4].tolist() == [[4, 5], [6, 7]]


def test_the_best_crop_of_each_image_comes_first_by_the_teachers_loss() -> None:
    source = blobs((1, 8, 8), (20, 20, 20))
    method = RDED(teacher_epochs=3, teachers=1, crops=3)
    scene = scene_of(source, CONVNET, method.taught())
    teacher = restored(method.taught().begin(scene))
    own = (source.train.group == 1).nonzero().flatten()[:4]
    x = source.train.x[own]

    def losses(images: torch.Tensor) -> torch.Tensor:
        return -torch.log_softmax(scene.dynamics.predict(teacher, images), 1)[:, 1]

    every = method._random_crops(x.repeat_interleave(3, 0), torch.Generator().manual_seed(5))
    best = method._best_crops(scene.dynamics, teacher, x, 1, 6, torch.Generator().manual_seed(5))
    by_image = losses(every).view(4, 3).sort(1).values
    assert len(best) == 6
    torch.testing.assert_close(losses(best[:4]), by_image[:, 0].sort().values)
    torch.testing.assert_close(losses(best[4:]), by_image[:, 1].sort().values[:2])


def test_soft_labels_are_folded_as_they_are_and_certain_ones_keep_a_slope() -> None:
    domain = Domain((2,), 4)
    y = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.0, 1.0, 0.0, 0.0]])
    start = Samples(torch.zeros(2, 2), y, torch.tensor([0, 1]))
    form = Pixels(labels="soft")
    unfolded = form.unfold(form.fold(start, domain), start.group, domain)
    torch.testing.assert_close(unfolded.y[0], y[0])
    torch.testing.assert_close(unfolded.y[1], torch.tensor([0.025, 0.925, 0.025, 0.025]))


@pytest.mark.slow
def test_recovered_digits_are_better_than_random_ones_at_one_a_class() -> None:
    """Three sets each, by validation error, with two standard errors between them."""
    source, walked = load_source("digits"), "convnet(width=16, depth=2, norm=batch)/adamw(lr=5e-3)/siamese/cosine"

    def errors(method: str) -> torch.Tensor:
        sets = [distill(source, method, walked, 1, seed=seed, candidates=1) for seed in range(3)]
        return torch.tensor([evaluate(made, walked, source, [0])[0]["validation_error"] for made in sets])

    recovered, random = errors("sre2l(teacher_epochs=20)"), errors("random")
    assert random.mean() - recovered.mean() > 2 * ((recovered.var() + random.var()) / 3).sqrt()
