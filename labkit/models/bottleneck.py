"""A conditional VAE with an information bottleneck: the simple baseline that the codes report's table calls "DSVIB".

    q(z | x, y) = N(μ, diag σ²),  p(x | z, y) = N(x̂(z, y), 1/2),  z ~ N(0, I) when sampling
    L = E ‖x̂ − x‖² + β KL(q(z | x, y) ‖ N(0, I))

Sohn et al. 2015, "Learning Structured Output Representation using Deep Conditional Generative Models"; β bounds what may pass
through z (Alemi et al. 2017, "Deep Variational Information Bottleneck", eq. 17): what the sentence's vector y says is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.models.load import load_model, tuples


@dataclass(frozen=True)
class BottleneckConfig:
    """Channels at 4, 8, 16, 32 pixels; lengths of z and of the sentence's vector."""

    widths: tuple[int, ...] = (96, 80, 48, 32)
    latent: int = 32
    condition: int = 192


class BottleneckVAE(nn.Module):
    """Pictures are (B, 3, 64, 64) in [-1, 1]; y (B, condition) is the vector of their sentence."""

    def __init__(self, config: BottleneckConfig):
        super().__init__()
        self.config = config
        widths, cells = config.widths, config.widths[0] * 16
        into, out = [], []
        for a, b in zip((3, *widths[:0:-1]), widths[::-1], strict=True):
            into += [nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.SiLU()]
        for a, b in zip(widths, widths[1:], strict=False):
            out += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.SiLU()]
        self.encoder = nn.Sequential(*into, nn.Flatten())
        self.belief = nn.Linear(cells + config.condition, 2 * config.latent)
        self.cells = nn.Sequential(nn.Linear(config.latent + config.condition, 256), nn.SiLU(), nn.Linear(256, cells))
        self.decoder = nn.Sequential(nn.Unflatten(1, (widths[0], 4, 4)), nn.GroupNorm(8, widths[0]), nn.SiLU(), *out,
                                     nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1))

    @classmethod
    def from_config(cls, config: dict) -> BottleneckVAE:
        """Build from the JSON of its config."""
        return cls(BottleneckConfig(**tuples(config)))

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of q(z | x, y), (B, latent) each."""
        mean, log_variance = self.belief(torch.cat([self.encoder(x), y], dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 6)

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """x̂, not clamped."""
        return self.decoder(self.cells(torch.cat([z, y], dim=1)))

    @torch.no_grad()
    def sample(self, y: Tensor, seed: int = 0) -> Tensor:
        """A picture (B, 3, 64, 64) in [-1, 1] for each sentence's vector."""
        z = torch.randn(len(y), self.config.latent, generator=torch.Generator().manual_seed(seed))
        return self.decode(z.to(y), y).clamp(-1, 1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) in nats, (B,)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def load_bottleneck(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> BottleneckVAE:
    """A bottleneck VAE with its weights, in fp32, eval mode and frozen: "pocket" or a file. Raises WeightsError and its kin."""
    return load_model("bottleneck", name, device)
