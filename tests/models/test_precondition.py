"""The linear part of the pocket denoiser: for Gaussian blocks it is the best guess, and the network meets unit variance."""

import pytest
import torch
import torch.nn.functional as F

from labkit.models.precondition import BlockWiener, block_components
from labkit.models.schedule import add_noise


def gaussian_pictures(n: int = 4000, f: int = 2, seed: int = 0):
    """Pictures (n, 3, 4, 4) whose 2 × 2 blocks are Gaussian with known components and variances, and these."""
    rng = torch.Generator().manual_seed(seed)
    size = 3 * f * f
    axes = torch.linalg.qr(torch.randn(size, size, generator=rng)).Q
    variance = torch.logspace(0.5, -3, size)
    mean = torch.linspace(-0.5, 0.5, size)
    blocks = (torch.randn(n, 4, size, generator=rng) * variance.sqrt()) @ axes + mean
    return F.pixel_shuffle(blocks.transpose(1, 2).reshape(n, size, 2, 2), f), mean, variance, axes


def fitted(pictures, f: int = 2) -> BlockWiener:
    wiener = BlockWiener(f)
    wiener.fit(pictures)
    return wiener


def test_components_are_those_the_blocks_were_made_of():
    pictures, mean, variance, axes = gaussian_pictures(20_000)
    m, v, a = block_components(pictures, 2)
    assert torch.allclose(a @ a.T, torch.eye(12), atol=1e-5)
    assert torch.allclose(m, mean, atol=0.03) and torch.allclose(v, variance, rtol=0.05)
    assert torch.allclose((a @ axes.T).abs(), torch.eye(12), atol=0.05)


@pytest.mark.parametrize("level", [0.02, 0.5, 0.98])
def test_alone_it_leaves_what_no_linear_guess_can_remove(level):
    pictures, _, variance, _ = gaussian_pictures()
    wiener, eps = fitted(pictures), torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    a = torch.full((len(pictures),), level)
    x, v = add_noise(pictures, eps, a), add_noise(eps, -pictures, a)
    error = (wiener(torch.zeros_like, x, a) - v).square().mean()
    assert float(error) == pytest.approx(float((variance / (level * variance + 1 - level)).mean()), rel=0.03)


@pytest.mark.parametrize("level", [0.02, 0.5, 0.98])
def test_the_network_reads_unit_variance_and_its_answer_ends_as_what_is_left_over(level):
    pictures, _, variance, _ = gaussian_pictures()
    wiener, eps, seen = fitted(pictures), torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1)), []
    a = torch.full((len(pictures),), level)
    x = add_noise(pictures, eps, a)
    alone = wiener(torch.zeros_like, x, a)
    with_one = wiener(lambda cells: seen.append(cells) or torch.ones_like(cells), x, a)
    assert torch.allclose(seen[0].var((0, 2, 3)), torch.ones(12), atol=0.06)
    assert torch.allclose(seen[0].mean((0, 2, 3)), torch.zeros(12), atol=0.05)
    added = F.pixel_unshuffle(with_one - alone, 2).permute(0, 2, 3, 1).reshape(-1, 12) @ wiener.axes.T
    assert torch.allclose(added.mean(0), (variance / (level * variance + 1 - level)).sqrt(), rtol=0.05)


def test_unfitted_it_is_the_plain_preconditioning_at_variance_one():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    out = BlockWiener(2)(lambda cells: cells, x, torch.tensor([0.3, 0.9]))
    assert torch.allclose(out, x, atol=1e-6), "at λ = 1 nothing is known and v̂ is the network's"
