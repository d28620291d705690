"""The bottleneck VAE: its divergence in closed form, shapes, and that a latent of nothing leaves the sentence."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from labkit.models.bottleneck import BottleneckConfig, BottleneckVAE, divergence

SMALL = BottleneckConfig(widths=(16, 16, 8, 8), latent=4, condition=6)


def test_divergence_is_that_of_gaussians():
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 7, generator=rng)
    known = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(divergence(mean, log_variance), known, atol=1e-5)
    assert divergence(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_shapes_and_that_a_seed_is_a_picture():
    torch.manual_seed(0)
    model, y = BottleneckVAE(SMALL).eval(), torch.randn(3, 6)
    mean, log_variance = model.encode(torch.zeros(3, 3, 64, 64), y)
    assert mean.shape == log_variance.shape == (3, 4)
    made = model.sample(y, seed=1)
    assert made.shape == (3, 3, 64, 64) and made.abs().max() <= 1
    assert torch.equal(made, model.sample(y, seed=1)) and not torch.equal(made, model.sample(y, seed=2))
    assert not torch.equal(made, model.sample(y.flip(0), seed=1)), "the sentence decides too"


def test_a_high_price_shuts_the_bottleneck_and_a_low_one_opens_it():
    """A few steps on noise pictures: the nats that pass fall with β."""
    nats = {}
    for beta in (0.01, 1000.0):
        torch.manual_seed(0)
        model = BottleneckVAE(SMALL).train()
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        x, y = torch.rand(8, 3, 64, 64) * 2 - 1, torch.zeros(8, 6)
        for _ in range(30):
            mean, log_variance = model.encode(x, y)
            made = model.decode(mean + torch.randn_like(mean) * (log_variance / 2).exp(), y)
            kl = divergence(mean, log_variance).mean()
            loss = (made - x).square().mean() + beta * kl / x[0].numel()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        nats[beta] = float(kl.detach())
    assert nats[1000.0] < 0.1 * nats[0.01] and nats[1000.0] == pytest.approx(0, abs=0.2)
