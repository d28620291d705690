"""AdaIN and EFDM: any style picture in one pass, by giving the content's features the style's statistics and decoding them.

    AdaIN   t = σ_s (f − μ_c) / σ_c + μ_s,  per channel                Huang & Belongie 2017, arXiv:1703.06868, eq. 8
    EFDM    t = the sorted s, in the order of ranks of f, per channel  Zhang et al. 2022, arXiv:2203.07740: all moments at once
    x̂ = D(α t + (1 − α) f)

The encoder is the perceptual net as far as `LAYER`; D is the decoder here. EFDM asks for as many places in the style as in the
content; where there are others, the sorted style is interpolated, as a quantile function is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.load import load_model, tuples

EPS = 1e-5  # of a variance


@dataclass(frozen=True)
class DecoderConfig:
    """`layer` of the perceptual net whose `channels` are decoded; `widths` of the decoder from coarse to fine, each twice as
    fine as the one before; `eye` says whose features they are, the sha256 of the net's file."""

    layer: str = "relu3_1"
    channels: int = 96
    widths: tuple[int, ...] = (128, 64, 32)
    eye: str = ""

    def __post_init__(self) -> None:
        if self.channels < 1 or not self.widths or min(self.widths) < 1:
            raise ValueError(f"channels, widths: {self.channels}, {self.widths} must be 1 or more")


class Decoder(nn.Module):
    """Features (B, channels, h, w) → pictures (B, 3, h·s, w·s) in about [-1, 1], s = 2 per width after the first."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config, before, body = config, config.channels, []
        for k, width in enumerate(config.widths):
            body += [nn.Upsample(scale_factor=2)] if k else []
            body += [_conv(before, width), nn.ReLU(), _conv(width, width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*body, _conv(before, 3))

    @classmethod
    def from_config(cls, config: dict) -> Decoder:
        """Build from the JSON of its config."""
        return cls(DecoderConfig(**tuples(config)))

    @property
    def step(self) -> int:
        """What the sides of a picture are to be multiples of."""
        return 2 ** (len(self.config.widths) - 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)


def _conv(before: int, after: int) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # torch's own start would all but lose the input in six layers
    nn.init.zeros_(conv.bias)
    return conv


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, (B, C, 1, 1) each. The root is of variance + eps: an even map has a gradient."""
    return features.mean(dim=(2, 3), keepdim=True), (features.var(dim=(2, 3), keepdim=True, unbiased=False) + EPS).sqrt()


def adain(content: Tensor, style: Tensor) -> Tensor:
    """The content's features (B, C, H, W) with the style's mean and deviation per channel; the style may be of another size."""
    (mean, deviation), (wanted_mean, wanted) = statistics(content), statistics(style)
    return wanted * (content - mean) / deviation + wanted_mean


def efdm(content: Tensor, style: Tensor) -> Tensor:
    """The content's features (B, C, H, W) with the style's distribution per channel: the k-th smallest becomes the style's k-th
    smallest. The gradient goes straight through to the content, as ranks have none."""
    flat, values = content.flatten(2), style.flatten(2).sort(dim=2).values
    if values.shape[2] != flat.shape[2]:
        values = _quantiles(values, flat.shape[2])
    ranks = flat.argsort(dim=2, stable=True).argsort(dim=2, stable=True)
    matched = values.expand(len(flat), -1, -1).gather(2, ranks).view_as(content)
    return matched + (content - content.detach())


def _quantiles(values: Tensor, n: int) -> Tensor:
    """Sorted values (B, C, N) at n quantiles, the middles of n equal parts; where there are fewer, each is the mean of its
    own, so that none is left out."""
    if n < values.shape[2]:
        return F.adaptive_avg_pool1d(values, n)
    return F.interpolate(values, n, mode="linear", align_corners=False)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"adain": adain, "efdm": efdm}


def padded(x: Tensor, step: int, least: int = 1) -> Tensor:
    """A picture (B, 3, H, W) whose sides are multiples of `step` and at least `least`: its last row and column go on."""
    h, w = (max(-(-side // step) * step, least) for side in x.shape[-2:])
    return F.pad(x, (0, w - x.shape[3], 0, h - x.shape[2]), mode="replicate")


def load_adain(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> Decoder:
    """The decoder with its weights: "pocket" or a file. Raises WeightsError and its kin."""
    return load_model("adain", name, device)
