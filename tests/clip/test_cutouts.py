"""Cutouts: chance is drawn once and from one generator, and every look stays within the picture."""

import math

import pytest
import torch

from labkit.clip.cutouts import Cutouts, cut, draw
from labkit.spec import SpecError
from tests.conformance import assert_same, global_randomness


def looks(spec: Cutouts, height: int = 24, width: int = 32, size: int = 16, seed: int = 0):
    return draw(spec, height, width, size, torch.Generator().manual_seed(seed))


def picture(height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(9))


both = pytest.mark.parametrize("method", ["crops", "pooled"])


@both
def test_shape_and_number(method):
    drawn = looks(Cutouts(cutn=5, method=method))
    assert len(drawn) == 5 and cut(picture(), drawn).shape == (5, 3, 16, 16)


@both
@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 64])
def test_chunks_concatenate_to_the_whole(method, chunk):
    drawn, x = looks(Cutouts(cutn=5, method=method)), picture(80, 64)
    whole = cut(x, drawn)
    parts = torch.cat([cut(x, drawn, slice(k, k + chunk)) for k in range(0, 5, chunk)])
    assert torch.allclose(parts, whole, atol=1e-6)


@both
def test_one_generator_feeds_everything(method):
    before = global_randomness()
    first, again, other = (cut(picture(), looks(Cutouts(method=method), seed=s)) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert_same(global_randomness(), before)


@both
@pytest.mark.parametrize("size", [(24, 32), (64, 16), (200, 140)])
def test_a_constant_picture_gives_constant_cuts(method, size):
    """Nothing from beyond the border ever comes in, however the crop is turned."""
    x = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, *size)
    plain = cut(x, looks(Cutouts(method=method, noise=0, augment=0), *size))
    assert torch.allclose(plain, x[..., :1, :1].expand_as(plain), atol=1e-5)
    turned = cut(x, looks(Cutouts(method=method, noise=0, augment=1, smallest=0.1), *size))
    assert turned.amax((2, 3)).sub(turned.amin((2, 3))).max() < 1e-4, "gain and shift are one per cutout and channel"
    assert (turned.mean((2, 3)) - x.mean((2, 3))).abs().max() <= 0.9 * 0.15 + 0.08 + 1e-4


def corners(drawn) -> torch.Tensor:
    """Where a cutout's corners lie in the picture, in [-1, 1]."""
    unit = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]])
    return torch.einsum("nij,kj->nki", drawn.theta, unit)


@pytest.mark.parametrize("size", [(24, 32), (64, 16)])
def test_crops_are_squares_within_the_picture_of_the_asked_sizes(size):
    height, width = size
    spec = Cutouts(cutn=256, augment=0, smallest=0.3)
    placed = corners(looks(spec, height, width))
    assert placed.abs().max() <= 1 + 1e-6
    across = (placed[:, 1, 0] - placed[:, 0, 0]) / 2 * width
    down = (placed[:, 2, 1] - placed[:, 0, 1]) / 2 * height
    assert torch.allclose(across, down, atol=1e-4)
    share = across / min(size)
    assert 0.3 - 1e-6 <= share.min() < 0.35 and 0.95 < share.max() <= 1 + 1e-6
    assert share.mean() == pytest.approx(0.65, abs=0.05)


def test_a_high_power_makes_small_crops():
    small, large = (corners(looks(Cutouts(cutn=200, augment=0, smallest=0.1, cut_pow=p))) for p in (4.0, 0.25))
    assert (small[:, 1, 0] - small[:, 0, 0]).mean() < (large[:, 1, 0] - large[:, 0, 0]).mean() / 2


def test_turned_crops_stay_square_in_pixels():
    drawn = looks(Cutouts(cutn=50, augment=1), 16, 64)
    placed = corners(drawn) * torch.tensor([64.0, 16.0]) / 2
    right, down = placed[:, 1] - placed[:, 0], placed[:, 2] - placed[:, 0]
    angle = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0]))
    assert angle.abs().max() <= 15 + 1e-3 and angle.std() > 4
    skew = (right * down).sum(1) / (right.norm(dim=1) * down.norm(dim=1))
    assert skew.abs().max() <= math.sin(math.radians(5)) + 0.01


@both
@pytest.mark.parametrize("size", [(24, 32), (96, 80)])
def test_gradient_reaches_every_pixel(method, size):
    x = picture(*size).requires_grad_()
    seen = torch.zeros(size)
    for seed in range(6):
        out = cut(x, looks(Cutouts(cutn=16, method=method), *size, seed=seed))
        weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(seed))
        seen += torch.autograd.grad((out * weights).sum(), x)[0].abs().sum((0, 1))
    # Of random crops that stay within the picture few come into its very corners; all else is seen.
    assert (seen > 0).float().mean() >= (1 if method == "pooled" else 0.98)
    inner = seen[size[0] // 8 : -(size[0] // 8), size[1] // 8 : -(size[1] // 8)]
    assert (inner > 0).all()


def test_pooled_is_the_mean_of_average_and_maximum():
    x = picture(32, 32)
    (out,) = cut(x, looks(Cutouts(cutn=1, method="pooled", augment=0, noise=0), 32, 32))
    blocks = x.view(3, 16, 2, 16, 2)
    assert torch.allclose(out, (blocks.mean((2, 4)) + blocks.amax((2, 4))) / 2, atol=1e-5)


def test_a_large_picture_is_averaged_not_skipped_through():
    """A checkerboard of single pixels is grey from afar; sampled without averaging it would be black and white."""
    x = ((torch.arange(128)[:, None] + torch.arange(128)) % 2).float().expand(1, 3, 128, 128)
    out = cut(x, looks(Cutouts(cutn=8, augment=0, noise=0, smallest=1), 128, 128))
    assert (out - 0.5).abs().max() < 0.01


def test_noise_is_bounded_by_its_level_and_0_is_none():
    assert looks(Cutouts(noise=0)).noise is None
    noise = looks(Cutouts(cutn=64, noise=0.2)).noise
    levels = noise.flatten(1).std(1)
    assert levels.max() < 0.22 and levels.min() < 0.05 and abs(float(noise.mean())) < 0.01


@pytest.mark.parametrize(("field", "value", "bound"), [
    ("cutn", 0, "1"), ("cutn", 257, "256"), ("cut_pow", 0, "0.1"), ("smallest", 1.2, "1"), ("augment", -0.1, "0"),
    ("noise", 2, "1"), ("chunk", -1, "0"), ("method", "squares", "crops"), ("noise", math.nan, "finite"),
])
def test_bad_values_name_field_value_and_bound(field, value, bound):
    with pytest.raises(SpecError, match=rf"(?s)^{field}: .*{bound}.*got {value!r}"):
        Cutouts(**{field: value})
