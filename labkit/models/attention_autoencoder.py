"""The attention auto-encoder: where a picture draws the eye, and a decoder of features that takes on a style's statistics.

Yao et al. 2019, "Attention-Aware Multi-Stroke Style Transfer", arXiv:1901.05127, sections 3.1 and 3.2, from the paper alone:

    F̂ = (F − μ) / σ,   A = softmax(g(F̂) f(F̂)ᵀ) h(F̂),   F′ = σ (F̂ ⊙ A + F̂) + μ
    decoder: F′ → picture; where it passes the side of a finer layer, its features get that layer's mean and deviation (AdaIN)

F is one layer of the frozen perceptual net, f, g, h are 1 × 1. The finer layers' statistics are the picture's own when it is
made again, the style's when it is styled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.image.style import gaussian_blur
from labkit.models.layers import NamedLayers
from labkit.models.load import fingerprint, load_model, tuples
from labkit.spec import SpecError

EPS = 1e-5  # under the root of a variance
QUERIES = 1024  # that attend at once
LAYER = re.compile(r"relu([1-9])_[1-9]")
OVER_MEAN = 2.0  # attention is cut off at so many times its mean
SMOOTH = 1 / 16  # of the shorter side: spread of the Gaussian that smooths a map


@dataclass(frozen=True)
class AttentionAutoencoderConfig:
    """The layer that is attended to; channels of the finer layers and of this one, finest first; convolutions at its side;
    sha256 of the net that it was trained on ("": any). Raises ValueError naming field and value."""

    layer: str = "relu3_2"
    channels: tuple[int, ...] = (24, 48, 96)
    blocks: int = 2
    encoder: str = ""

    def __post_init__(self) -> None:
        if not LAYER.fullmatch(self.layer) or int(self.layer[4]) < 2:
            raise ValueError(f"layer: {self.layer!r} must be a ReLU of the second stage or a deeper one, as in relu3_2")
        if len(self.channels) != int(self.layer[4]) or min(self.channels) < 2 or self.blocks < 1:
            raise ValueError(f"channels, blocks: {self.channels}, {self.blocks} must be {self.layer[4]} numbers of channels, "
                             "one a stage, and 1 or more")

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are read, finest first: the first ReLU of every finer stage, and `layer`."""
        return (*(f"relu{stage}_1" for stage in range(1, int(self.layer[4]))), self.layer)


class Moments(NamedTuple):
    """Mean and deviation of every channel, (B, C, 1, 1) each."""

    mean: Tensor
    deviation: Tensor


def moments(x: Tensor) -> Moments:
    """Of features (B, C, H, W), over their places; deviations are never 0."""
    variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
    return Moments(mean, (variance + EPS).sqrt())


def adain(x: Tensor, to: Moments) -> Tensor:
    """x with these means and deviations (Huang & Belongie 2017, eq. 8)."""
    mine = moments(x)
    return (x - mine.mean) / mine.deviation * to.deviation + to.mean


class SelfAttention(nn.Module):
    """softmax(g fᵀ) h over places, as published: no scale, no residual. (B, C, H, W) → the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.f, self.g = (nn.Conv2d(channels, channels // 2, 1) for _ in range(2))
        self.h = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        keys, queries, values = (part(x).flatten(2) for part in (self.f, self.g, self.h))
        rows = [values @ (queries[:, :, k:k + QUERIES].transpose(1, 2) @ keys).softmax(2).transpose(1, 2)
                for k in range(0, queries.shape[2], QUERIES)]
        return torch.cat(rows, dim=2).view_as(x)


class AttentionAutoencoder(nn.Module):
    """Attention over features, and their decoder. The net whose features they are is not part of it: `read` asks it."""

    def __init__(self, config: AttentionAutoencoderConfig):
        super().__init__()
        self.config = config
        *finer, deepest = config.channels
        self.attention = SelfAttention(deepest)
        self.middle = nn.Sequential(*(part for _ in range(config.blocks) for part in (_conv(deepest, deepest), nn.ReLU())))
        widths = [deepest, *reversed(finer)]
        self.up = nn.ModuleList(nn.Sequential(_conv(before, after), nn.ReLU(), _conv(after, after))
                                for before, after in zip(widths, widths[1:], strict=False))
        self.pixels = nn.Sequential(_conv(finer[0], finer[0]), nn.ReLU(), _conv(finer[0], 3))

    @classmethod
    def from_config(cls, config: dict) -> AttentionAutoencoder:
        """Build from the JSON of its config."""
        return cls(AttentionAutoencoderConfig(**tuples(config)))

    @property
    def cell(self) -> int:
        """Pixels on a side of what one place of the layer stands for: pictures' sides are multiples of it."""
        return 2 ** (len(self.config.channels) - 1)

    def check(self, net: NamedLayers) -> None:
        """Raises `SpecError` where the net is another than the one that this decoder was trained on."""
        if self.config.encoder and self.config.encoder != fingerprint(net):
            raise SpecError("attention_autoencoder: it was trained on the features of another perceptual net; train it on this "
                            "one, or name the two that belong together")

    def read(self, net: NamedLayers, x: Tensor) -> list[Tensor]:
        """The layers (B, C, H', W') of pictures (B, 3, H, W) in [-1, 1], finest first."""
        found = net.layers(x, self.config.layers)
        return [found[name] for name in self.config.layers]

    def attend(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """A, and F̂ ⊙ A + F̂, of features F."""
        mine = moments(features)
        normal = (features - mine.mean) / mine.deviation
        a = self.attention(normal)
        return a, normal * a + normal

    def decode(self, x: Tensor, finer: Sequence[Moments]) -> Tensor:
        """Pictures (B, 3, H, W), about [-1, 1], of features (B, C, H', W') and the finer layers' moments, finest first."""
        x = self.middle(x)
        for step, to in zip(self.up, reversed(finer), strict=True):
            x = adain(step(F.interpolate(x, scale_factor=2.0, mode="nearest")), to)
        return self.pixels(x)

    def forward(self, layers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The picture made again of its own layers (see `read`), and A."""
        *finer, features = layers
        a, attended = self.attend(features)
        mine = moments(features)
        return self.decode(attended * mine.deviation + mine.mean, [moments(layer) for layer in finer]), a


def as_map(a: Tensor) -> Tensor:
    """The map (B, H, W) in [0, 1] of attention A (B, C, H, W): mean of |A| over channels, cut off at twice its mean, smoothed
    by a Gaussian that is the same every time, scaled to 0 … 1. All 0 where attention is the same everywhere."""
    m = a.abs().mean(dim=1, keepdim=True)
    m = torch.minimum(m, OVER_MEAN * m.mean(dim=(2, 3), keepdim=True))
    m = gaussian_blur(m, max(0.5, SMOOTH * min(m.shape[2:])))
    low, high = (end(m, dim=(2, 3), keepdim=True) for end in (torch.amin, torch.amax))
    flat = high - low <= 1e-6 * high.clamp_min(1e-6)
    return torch.where(flat, torch.zeros_like(m), (m - low) / (high - low).clamp_min(1e-12))[:, 0]


@torch.no_grad()
def attention_map(lab, x: Tensor) -> Tensor:
    """Where pictures (B, 3, H, W) in [0, 1] draw the eye: (B, H, W) in [0, 1], of the lab's attention auto-encoder. Sides that
    are no multiples of its cell are filled up by the picture's edge."""
    model, (height, width) = lab.attention_autoencoder, x.shape[2:]
    x = filled(x.to(lab.device) * 2 - 1, model.cell)
    model.check(lab.perceptual)
    *_, features = model.read(lab.perceptual, x)
    seen = as_map(model.attend(features)[0])[:, None]
    return F.interpolate(seen, x.shape[2:], mode="bilinear", align_corners=False)[:, 0, :height, :width]


def filled(x: Tensor, cell: int) -> Tensor:
    """Pictures (B, C, H, W) whose sides are multiples of `cell`: what is missing at right and bottom repeats the edge."""
    return F.pad(x, (0, -x.shape[3] % cell, 0, -x.shape[2] % cell), mode="replicate")


def draw_places(chances: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """n pixels (row, column), int64 (n, 2), of a map (H, W) ≥ 0: each as likely as the map is high there, all alike where it is
    0 everywhere. `rng` is on the CPU. Raises ValueError on a map that is none."""
    flat = chances.detach().double().cpu().flatten()
    if chances.ndim != 2 or not flat.numel() or not bool(torch.isfinite(flat).all()) or float(flat.min()) < 0:
        raise ValueError(f"chances: shape {tuple(chances.shape)} must be (H, W), finite and nowhere below 0")
    upto = (flat if float(flat.sum()) > 0 else torch.ones_like(flat)).cumsum(0)
    at = torch.searchsorted(upto, torch.rand(n, generator=rng, dtype=torch.float64) * upto[-1], right=True)
    at = at.clamp(max=len(flat) - 1)
    return torch.stack([at // chances.shape[1], at % chances.shape[1]], dim=1)


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect")


def load_attention_autoencoder(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> AttentionAutoencoder:
    """The attention auto-encoder with its weights, in fp32, eval mode and frozen: "pocket" or a file. Raises WeightsError and
    its kin."""
    return load_model("attention_autoencoder", name, device)
