"""Augmentations have the published ranges, are differentiable, and can be shared by batches."""

from __future__ import annotations

import kornia
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.nn import functional

from limbeck.augmentations import Augmentation
from limbeck.errors import NotApplicable
from limbeck.samples import Domain
from limbeck.streams import stream
from limbeck.variants import make, members

OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")
VIEWS = [*(f"siamese(operations=[{name}])" for name in OPERATIONS), "siamese", "flip-crop", "cutmix(probability=1)"]
MIXING = ("cutmix", "mixup")
VIEWS += ["mixup(alpha=1)", "noise"]
VIEWS += ["chain(of=['siamese(operations=[crop])', 'cutmix(probability=1)'])"]
GREY, COLOUR = Domain((1, 12, 12), 4), Domain((3, 12, 10), 4)


def samples(domain: Domain, count: int, seed: int = 0, dtype: torch.dtype = torch.double) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *domain.shape, generator=generator, dtype=dtype)
    return x, torch.randn(count, domain.classes, generator=generator, dtype=dtype).softmax(1)


def view(text: str, x: Tensor, count: int, seed: int = 0, **domain: bool) -> Tensor:
    """One draw applied to images."""
    augmentation: Augmentation = make("augmentations", text)
    transform = augmentation.draw(count, Domain(tuple(x.shape[1:]), 4, **domain), stream(seed, "view"))
    return transform(x, x.new_ones(len(x), 4) / 4)[0]


def uniform(values: Tensor, low: float, high: float) -> bool:
    """Whether values are in [low, high] and a Kolmogorov-Smirnov test at 0.1 % lets them be uniform there."""
    inside = bool((values > low - 1e-6).all() and (values < high + 1e-6).all())
    return inside and stats.kstest(values.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


def ramps(count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images (count, 2, height, width) of x and y in pixels from the centre: bilinear sampling of them is exact."""
    across = torch.arange(width, dtype=torch.double) - (width - 1) / 2
    down = torch.arange(height, dtype=torch.double)[:, None] - (height - 1) / 2
    image = torch.stack([across.expand(height, width), down.expand(height, width)])
    return image.expand(count, -1, -1, -1), across, down


def test_every_augmentation_of_images_is_tried_here() -> None:
    assert {text.partition("(")[0] for text in VIEWS} == set(members("augmentations")) - {"none"}


def test_a_chain_is_its_parts_in_order() -> None:
    x, y = samples(GREY, 6)
    generator = stream(3, "view")
    for text in ("siamese(operations=[scale])", "cutmix(probability=1)"):
        part = make("augmentations", text).draw(6, GREY, generator)
        x, y = part(x, y)
    whole = make("augmentations", "chain(of=[siamese(operations=[scale]), cutmix(probability=1)])")
    assert make("augmentations", whole.full_spec) == whole
    chained = whole.draw(6, GREY, stream(3, "view"))(*samples(GREY, 6))
    assert torch.equal(chained[0], x)
    assert torch.equal(chained[1], y)
    with pytest.raises(NotApplicable):
        whole.check(Domain((5,), 4))


@pytest.mark.parametrize("text", VIEWS)
@pytest.mark.parametrize("domain", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("count", [1, 6])
def test_views_come_from_the_given_stream_alone(text: str, domain: Domain, count: int) -> None:
    augmentation = make("augmentations", text)
    x, y = samples(domain, 6, dtype=torch.float32)
    kept, state = x.clone(), torch.get_rng_state()
    first, again, other = (augmentation.draw(count, domain, stream(seed))(x, y) for seed in (1, 1, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert first[0].shape == x.shape
    assert first[0].dtype == first[1].dtype == torch.float32
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    later = [augmentation.draw(count, domain, stream(seed))(x, y)[0] for seed in range(4, 12)]
    assert any(not torch.equal(first[0], view) for view in (other[0], *later))


@pytest.mark.parametrize("text", [text for text in VIEWS if not any(name in text for name in MIXING)])
def test_one_draw_gives_two_batches_the_same_view(text: str) -> None:
    x, y = samples(COLOUR, 7)
    for seed in range(8):
        transform = make("augmentations", text).draw(1, COLOUR, stream(seed))
        together, apart = transform(x, y)[0], [transform(x[:2], y[:2])[0], transform(x[2:], y[2:])[0]]
        torch.testing.assert_close(together, torch.cat(apart), rtol=1e-12, atol=1e-12)
        alike = transform(x[:1].expand(3, -1, -1, -1), y[:3])[0]
        assert torch.equal(alike[0], alike[2])


@pytest.mark.parametrize("text", VIEWS)
def test_each_image_can_have_its_own_view(text: str) -> None:
    x = samples(COLOUR, 1)[0].expand(40, -1, -1, -1)
    # mixing equal images shows nothing, so that each gets a level of its own
    x = x + torch.arange(40.0)[:, None, None, None] if any(name in text for name in MIXING) else x
    change = (view(text, x, 40) - x).flatten(1)
    assert len((change != 0).unique(dim=0) if "cutmix" in text else change.unique(dim=0)) > 1


@pytest.mark.parametrize("text", VIEWS)
@pytest.mark.parametrize("count", [1, 3])
def test_views_are_differentiable_in_images_and_labels(text: str, count: int) -> None:
    domain = Domain((3, 6, 5), 4)
    x, y = samples(domain, 3)
    for seed in range(3):
        transform = make("augmentations", text).draw(count, domain, stream(seed))
        assert torch.autograd.gradcheck(transform, (x.requires_grad_(), y.requires_grad_()))


@pytest.mark.parametrize("text", VIEWS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_transform_can_be_mapped_over_stacked_batches(text: str, count: int) -> None:
    batches = [samples(COLOUR, 3, seed) for seed in range(2)]
    transform = make("augmentations", text).draw(count, COLOUR, stream(5))
    x, y = torch.func.vmap(transform)(*(torch.stack(part) for part in zip(*batches, strict=True)))
    for index, batch in enumerate(batches):
        expected = transform(*batch)
        torch.testing.assert_close(x[index], expected[0])
        torch.testing.assert_close(y[index], expected[1])


@pytest.mark.parametrize("name", sorted(set(members("augmentations")) - {"none", "mixup", "noise"}))
def test_vectors_are_refused_by_views_of_images(name: str) -> None:
    augmentation = make("augmentations", name)
    with pytest.raises(NotApplicable, match="64 features"):
        augmentation.check(Domain((64,), 4))
    with pytest.raises(NotApplicable, match="mixup, noise or none"):
        augmentation.draw(1, Domain((64,), 4), stream(0))


def test_no_augmentation_takes_anything_and_changes_nothing() -> None:
    augmentation = make("augmentations", "none")
    x, y = samples(Domain((64,), 4), 3)
    augmentation.check(Domain((64,), 4))
    seen = augmentation.draw(3, Domain((64,), 4), stream(0))(x, y)
    assert seen[0] is x
    assert seen[1] is y


def kind(x: Tensor, seen: Tensor) -> str:
    """What was done to a grey image without zeros, where it can be told."""
    if torch.equal(seen, x.flip(3)):
        return "flip"
    if ((seen == 0) | (seen == x)).all() and (seen == 0).any():
        return "cutout"
    pairs = torch.stack([x.flatten(), seen.flatten()])
    return "color" if torch.corrcoef(pairs)[0, 1] > 1 - 1e-9 and not torch.equal(x, seen) else "other"


@pytest.mark.parametrize("mirror", [True, False])
def test_siamese_draws_each_operation_as_often_and_flips_only_what_may_be_mirrored(mirror: bool) -> None:
    x = 9 + samples(GREY, 1)[0]
    seen = [kind(x, view("siamese", x, 1, seed, mirror=mirror)) for seed in range(1200)]
    share = {"color": 1 / 6, "cutout": 1 / 6, "flip": 1 / 12} if mirror else {"color": 1 / 5, "cutout": 1 / 5}
    share["other"] = 1 - sum(share.values())
    assert set(seen) == set(share)
    assert stats.chisquare([seen.count(name) for name in share], [1200 * part for part in share.values()]).pvalue > 1e-3


def test_siamese_with_nothing_to_draw_says_so() -> None:
    augmentation = make("augmentations", "siamese(operations=[flip])")
    with pytest.raises(NotApplicable, match="flip=yes"):
        augmentation.check(Domain((1, 8, 8), 10, mirror=False))
    make("augmentations", "siamese(operations=[flip], flip=yes)").check(Domain((1, 8, 8), 10, mirror=False))


def test_color_is_affine_with_the_published_ranges() -> None:
    x = samples(COLOUR, 1500)[0]
    seen = view("siamese(operations=[color])", x, 1500)
    over = (1, 2, 3)
    assert uniform(seen.mean(over) - x.mean(over), -0.5, 0.5)  # brightness
    grey, seen_grey = x.mean(1, keepdim=True), seen.mean(1, keepdim=True)
    contrast = (seen_grey.std((2, 3)) / grey.std((2, 3)))[:, 0]
    assert uniform(contrast, 0.5, 1.5)
    saturation = (seen - seen_grey).std(over) / (x - grey).std(over) / contrast
    assert uniform(saturation, 0, 2)
    # and nothing else: the three numbers give the image back
    brightness = (seen.mean(over) - x.mean(over))[:, None, None, None]
    contrast, saturation = contrast[:, None, None, None], saturation[:, None, None, None]
    mean = x.mean(over, keepdim=True)
    rebuilt = mean + brightness + contrast * (grey - mean + saturation * (x - grey))
    torch.testing.assert_close(seen, rebuilt, rtol=1e-9, atol=1e-9)


def test_color_of_kornia_agrees_where_it_means_the_same() -> None:
    x = samples(GREY, 1)[0]
    seen = view("siamese(operations=[color])", x, 1)
    factor = (seen.std() / x.std()).item()
    shift = (seen.mean() - x.mean()).item()
    bright = kornia.enhance.adjust_brightness(x, shift, clip_output=False)
    # kornia's contrast turns about zero; ours about the image's mean
    mean = bright.mean()
    expected = kornia.enhance.adjust_contrast(bright - mean, factor, clip_output=False) + mean
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(
    ("text", "reach"),
    [("siamese(operations=[crop])", (2, 1)), ("flip-crop(flip=no)", (2, 1)), ("flip-crop(reach=0.3, flip=no)", (4, 3))],
)
def test_crops_are_whole_pixel_moves_with_zeros_coming_in(text: str, reach: tuple[int, int]) -> None:
    """12.5 % of 12 rows is 1.5 pixels, which rounds up to 2; of 10 columns 1.25, which is 1."""
    n, height, width = 2000, 12, 10
    x = (1 + torch.arange(float(height * width))).reshape(1, 1, height, width).expand(n, 2, -1, -1)
    seen = view(text, x, n)
    place = seen[:, 0, height // 2, width // 2].long() - 1
    down, right = height // 2 - place // width, width // 2 - place % width
    for move, most in ((down, reach[0]), (right, reach[1])):
        counts = torch.bincount(move + most, minlength=2 * most + 1)
        assert len(counts) == 2 * most + 1
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    for index in range(200):
        d, r = int(down[index]), int(right[index])
        expected = functional.pad(x[index], (r, -r, d, -d))  # a negative pad cuts
        assert torch.equal(seen[index], expected)
    assert torch.equal(view(text, x[:5], 1), functional.pad(x[:5], _pads(view(text, x[:1], 1)[0, 0], height, width)))


def _pads(seen: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    place = int(seen[height // 2, width // 2]) - 1
    down, right = height // 2 - place // width, width // 2 - place % width
    return right, -right, down, -down


@pytest.mark.parametrize("side", [8, 9, 28])
def test_cutout_zeroes_half_the_side_and_is_clipped_by_the_border(side: int) -> None:
    n = 3000
    x = torch.ones(n, 1, side, side)
    gone = view("siamese(operations=[cutout])", x, n)[:, 0] == 0
    size = (side + 1) // 2
    rows, columns = gone.any(2), gone.any(1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])  # a rectangle
    for band in (rows, columns):
        assert (band.diff(dim=1).sum(1) <= 2).all()  # without holes
        assert band.sum(1).max() == size
        assert band.sum(1).min() == (size + 1) // 2
        # the centre is uniform on side + 1 places between pixels, or on side pixels where the size is odd
        places = side + (size + 1) % 2
        starts = np.arange(places) - size // 2
        expected = sum(((np.arange(side) >= s) & (np.arange(side) < s + size)) for s in starts) / places
        z = (band.double().mean(0).numpy() - expected) / np.sqrt(expected * (1 - expected) / n)
        assert np.abs(z).max() < 4.5
    kept = samples(GREY, 5)[0]
    seen = view("siamese(operations=[cutout])", kept, 5)
    assert ((seen == kept) | (seen == 0)).all()


@pytest.mark.parametrize("text", ["siamese(operations=[flip])", "flip-crop(reach=0)"])
def test_flips_mirror_half_of_the_images(text: str) -> None:
    n = 2000
    x = samples(Domain((2, 3, 4), 4), n)[0]
    seen = view(text, x, n)
    turned = (seen == x.flip(3)).all(1).all(1).all(1)
    assert torch.equal(seen, torch.where(turned[:, None, None, None], x.flip(3), x))
    assert stats.binomtest(int(turned.sum()), n, 0.5).pvalue > 1e-3
    assert torch.equal(view(text, seen, n), x)  # the same draw again undoes it
    together = [torch.equal(view(text, x[:2], 1, seed), x[:2].flip(3)) for seed in range(200)]
    assert stats.binomtest(sum(together), 200, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("flip", ["auto", "yes", "no"])
def test_flip_follows_the_domain_unless_told(flip: str) -> None:
    x = samples(GREY, 64)[0]
    for mirror in (True, False):
        seen = view(f"flip-crop(reach=0, flip={flip})", x, 64, mirror=mirror)
        assert torch.equal(seen, x) is (flip == "no" or (flip == "auto" and not mirror))


@pytest.mark.parametrize("corners", ["false", "true"])
def test_scaling_stretches_both_axes_by_the_published_factors(corners: str) -> None:
    n, height, width = 1500, 12, 10
    x, across, down = ramps(n, height, width)
    seen = view(f"siamese(operations=[scale], align_corners={corners})", x, n)
    # the central pixels are sampled inside the image, where the ramp is reproduced exactly
    across_factor = seen[:, 0, height // 2, width // 2] / across[width // 2]
    down_factor = seen[:, 1, height // 2, width // 2] / down[height // 2, 0]
    assert uniform(across_factor, 1 / 1.2, 1.2)
    assert uniform(down_factor, 1 / 1.2, 1.2)
    assert abs(torch.corrcoef(torch.stack([across_factor, down_factor]))[0, 1]) < 0.1
    zoomed = (across_factor < 1) & (down_factor < 1)  # nothing but the border is sampled outside
    expected = (across_factor[:, None, None] * across).expand(-1, height, -1)
    inner = slice(1, -1)
    torch.testing.assert_close(seen[zoomed, 0, inner, inner], expected[zoomed, inner, inner], rtol=1e-6, atol=1e-6)


def rotations(x: Tensor, corners: str, n: int) -> tuple[Tensor, Tensor]:
    """The angles in degrees of n draws, read from rotated ramps, and the same draws of an image."""
    height, width = x.shape[-2:]
    ramp, across, down = ramps(n, height, width)
    text = f"siamese(operations=[rotate], align_corners={corners})"
    seen = view(text, ramp, n)[:, :, height // 2, width // 2]
    here = torch.atan2(down[height // 2, 0], across[width // 2])
    return torch.rad2deg(torch.atan2(seen[:, 1], seen[:, 0]) - here), view(text, x.expand(n, -1, -1, -1), n)


@pytest.mark.parametrize("corners", ["false", "true"])
def test_rotation_is_uniform_up_to_fifteen_degrees(corners: str) -> None:
    degrees, _ = rotations(samples(COLOUR, 1)[0], corners, 1500)
    assert uniform(degrees, -15, 15)


def test_rotation_and_scaling_equal_kornias() -> None:
    """kornia takes pixel centres to [-1, 1] as `align_corners=true` does."""
    x = samples(Domain((3, 12, 10), 4), 1)[0]
    degrees, seen = rotations(x, "true", 20)
    expected = kornia.geometry.transform.rotate(x.expand(20, -1, -1, -1), degrees, align_corners=True)
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-5)
    text = "siamese(operations=[scale], align_corners=true)"
    ramp, across, down = ramps(20, 12, 10)
    sampled = view(text, ramp, 20)[:, :, 6, 5] / torch.stack([across[5], down[6, 0]])
    expected = kornia.geometry.transform.scale(x.expand(20, -1, -1, -1), 1 / sampled, align_corners=True)
    torch.testing.assert_close(view(text, x.expand(20, -1, -1, -1), 20), expected, rtol=1e-5, atol=1e-5)


def test_rotation_of_square_images_is_that_of_the_affine_grid() -> None:
    x = samples(Domain((3, 9, 9), 4), 1)[0]
    ramp = ramps(1, 8, 8)[0]
    for seed in range(5):
        text = "siamese(operations=[rotate])"
        turned = view(text, ramp, 1, seed)[0, :, 4, 4]
        angle = torch.atan2(turned[1], turned[0]) - torch.pi / 4
        cosine, sine = angle.cos(), angle.sin()
        zero = torch.zeros_like(cosine)
        theta = torch.stack([torch.stack([cosine, -sine, zero]), torch.stack([sine, cosine, zero])])[None]
        grid = functional.affine_grid(theta, [1, 3, 9, 9], align_corners=False)
        expected = functional.grid_sample(x, grid, align_corners=False)
        torch.testing.assert_close(view(text, x, 1, seed), expected, rtol=1e-5, atol=1e-5)


def expected_share(beta: float) -> float:
    """Mean fraction of an image inside a rectangle whose sides are s = sqrt(1 - l) and whose centre is uniform.

    A band of length s about a uniform centre covers s - s^2 / 4 of the unit interval on average.
    """
    density = stats.beta(beta, beta).pdf
    return integrate.quad(lambda t: ((t**0.5 - t / 4) ** 2) * density(t), 0, 1)[0]


@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_cutmix_mixes_labels_by_area(beta: float) -> None:
    n = 8000
    domain = Domain((1, 16, 20), n)
    x = torch.arange(float(n))[:, None, None, None].expand(-1, *domain.shape)  # each image shows its own number
    y = torch.arange(float(n), dtype=torch.double)[:, None]  # in place of a label: linear in it all the same
    seen, label = make("augmentations", f"cutmix(beta={beta}, probability=1)").draw(n, domain, stream(0))(x, y)
    torch.testing.assert_close(label[:, 0], seen.double().mean((1, 2, 3)), rtol=1e-5, atol=1e-3)
    own = seen == x
    share = 1 - own.double().mean((1, 2, 3))
    assert abs(share.mean() - expected_share(beta)) < 4 * share.std() / n**0.5 + 2e-3
    partners = torch.where(own, -1.0, seen).amax((1, 2, 3))
    partners = partners[partners >= 0]
    assert len(partners.unique()) == len(partners)  # a permutation: no image is over-used


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_cutmix_keeps_the_label_mass_and_mixes_as_often_as_told(probability: float) -> None:
    n = 2000
    x, y = samples(GREY, n)
    seen, label = make("augmentations", f"cutmix(probability={probability})").draw(n, GREY, stream(0))(x, y)
    torch.testing.assert_close(label.sum(1), torch.ones(n, dtype=torch.double))
    assert label.min() >= 0
    mixed = (seen != x).flatten(1).any(1)
    # a rectangle below one pixel shows nothing: with beta = 1 that is a matter of P(sqrt(1 - l) < 1 / 12) < 1 %
    assert probability * n * 0.95 - 80 < mixed.sum() <= probability * n + 80
    if probability == 0:
        assert torch.equal(label, y)


def test_one_cutmix_rectangle_serves_batches_of_any_size() -> None:
    domain = Domain((1, 12, 12), 4)
    for seed in range(5):
        transform = make("augmentations", "cutmix(probability=1)").draw(1, domain, stream(seed))
        masks = []
        for n in (2, 9):
            x = torch.arange(1.0, n + 1)[:, None, None, None].expand(-1, *domain.shape)
            seen, label = transform(x, torch.eye(n))
            torch.testing.assert_close(label.sum(1), torch.ones(n))
            torch.testing.assert_close(label @ torch.arange(1.0, n + 1), seen.mean((1, 2, 3)))
            masks.append(seen[0, 0] != x[0, 0])
        assert torch.equal(*masks)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("shape", [(5,), (1, 4, 4)], ids=["vectors", "images"])
def test_mixup_mixes_samples_and_labels_by_shares_from_beta(alpha: float, shape: tuple[int, ...]) -> None:
    n = 4000
    number = torch.arange(float(n), dtype=torch.double)
    x = number.view(-1, *[1] * len(shape)).expand(-1, *shape)  # each sample shows its own number
    y = torch.stack([number, number.square()], 1)  # from i and i^2 mixed alike, share and partner can be solved for
    seen, label = make("augmentations", f"mixup(alpha={alpha})").draw(n, Domain(shape, n), stream(0))(x, y)
    torch.testing.assert_close(seen, label[:, 0].view(-1, *[1] * len(shape)).expand_as(seen))
    moved = (label[:, 0] - number).abs() > 1e-6
    partner = ((label[:, 1] - number.square()) / (label[:, 0] - number) - number)[moved]  # i + j = their ratio
    assert float((partner - partner.round()).abs().max()) < 0.2
    assert len(partner.round().unique()) == len(partner)  # a permutation: no sample is over-used
    share = (label[:, 0] - number)[moved] / (partner.round() - number[moved])  # 1 - l
    assert stats.kstest(share.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_one_share_of_mixup_serves_batches_of_any_size() -> None:
    transform = make("augmentations", "mixup(alpha=1)").draw(1, Domain((3,), 4), stream(1))
    kept = []
    for n in (2, 9):
        seen, label = transform(torch.eye(n), torch.eye(n))
        assert torch.equal(seen, label)
        torch.testing.assert_close(label.sum(1), torch.ones(n))
        kept.append(label.diagonal())
    torch.testing.assert_close(kept[0][:1].expand(9), kept[1])


@pytest.mark.parametrize("count", [1, 4000])
def test_noise_is_normal_of_the_sd_told_and_leaves_labels_alone(count: int) -> None:
    x, y = samples(Domain((6,), 4), 4000)
    seen, label = make("augmentations", "noise(sd=0.3)").draw(count, Domain((6,), 4), stream(2))(x, y)
    assert torch.equal(label, y)
    change = seen - x
    if count == 1:
        torch.testing.assert_close(change, change[:1].expand_as(change))
        return
    assert stats.kstest((change / 0.3).flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(float(torch.corrcoef(change.T)[0, 1])) < 0.1
