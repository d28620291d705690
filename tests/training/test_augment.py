"""Training-time augments: one generator, bounds that hold."""

import pytest
import torch

from labkit.training.augment import blur, perturb, random_crops, reconstruction, spoil
from tests.conformance import TinyLab, assert_same, global_randomness


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, side: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=rng(7)) * 2 - 1


@pytest.mark.parametrize("augment", [
    random_crops, spoil, lambda x, g: perturb(x, lambda p: p.square().sum(), 1.0, g)])
def test_the_generator_decides_and_the_input_stays(augment):
    x, before = pictures(), global_randomness()
    kept = x.clone()
    out = augment(x, rng())
    assert out.shape == x.shape and torch.equal(augment(x, rng()), out) and not torch.equal(augment(x, rng(1)), out)
    assert torch.equal(x, kept) and out.abs().max() <= 1 + 1e-5 and not out.requires_grad
    assert_same(global_randomness(), before)


def test_crops_of_a_constant_picture_are_constant():
    x = torch.tensor([0.3, -0.5, 0.9]).view(1, 3, 1, 1).expand(5, 3, 16, 16)
    assert torch.allclose(random_crops(x, rng()), x, atol=1e-5)


def test_a_crop_of_the_whole_is_the_picture():
    x = pictures()
    assert torch.allclose(random_crops(x, rng(), 1.0, 1.0), x, atol=1e-5)


def test_blur_keeps_the_mean_of_a_constant_and_smooths():
    x = torch.full((1, 3, 9, 9), 0.4)
    assert torch.allclose(blur(x, 1.0), x, atol=1e-6)
    spike = torch.zeros(1, 3, 9, 9)
    spike[..., 4, 4] = 1
    out = blur(spike, 1.0)
    assert torch.allclose(out.sum((2, 3)), torch.ones(1, 3), atol=1e-5) and out.max() < 0.2
    ratio = torch.exp(torch.tensor(-0.5))
    assert torch.allclose(out[..., 4, 5] / out[..., 4, 4], ratio.expand(1, 3), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_perturbed_pictures_stay_in_the_ball_and_lose(radius, steps):
    x, target = pictures(64) * 0.5, torch.zeros(64, 3, 16, 16)
    out = perturb(x, lambda p: (p - target).square().sum(), radius, rng(), steps)
    moved = (out - x).flatten(1).norm(dim=1)
    assert moved.max() <= radius + 1e-4 and moved.max() > radius / 2
    assert ((out.square().flatten(1).sum(1) > x.square().flatten(1).sum(1)).float().mean()) > 0.9


def test_more_steps_find_a_worse_picture_in_the_same_ball():
    x = pictures(64) * 0.3

    def loss(p):  # wavy, so that one long step along the gradient overshoots
        return torch.sin(6 * p).sum()

    one, many = (perturb(x, loss, 6.0, rng(), steps) for steps in (1, 8))
    assert loss(many) > loss(one) > loss(x)


def test_spoiled_pictures_are_partly_clean_and_partly_reconstructed():
    x, seen = pictures(64), []
    out = spoil(x, rng(), reconstruct=lambda p: (seen.append(len(p)), p * 0)[1])
    untouched = (out == x).flatten(1).all(1).sum()
    assert 0 < untouched < 40 and 3 < sum(seen) < 30
    assert torch.equal(spoil(x, rng(), share=0), x)


def test_reconstruction_is_the_vqgan_s_own():
    vqgan = TinyLab().vqgan
    x = pictures(2)
    assert torch.equal(reconstruction(vqgan)(x), vqgan(x).clamp(-1, 1))
