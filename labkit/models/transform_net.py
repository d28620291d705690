"""Johnson's transform network: a net that has learned one style and puts it on any picture in one pass.

Johnson, Alahi & Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer", arXiv:1603.08155, with instance norm (Ulyanov
et al. 2016) and with nearest-neighbour upsampling before a convolution in place of transposed ones, which leave a chequerboard.
Reflected edges; convolution 9 × 9, two of stride 2, residual blocks, twice up, convolution 9 × 9; no squashing at the end.
At the published widths (32, 64, 128) and 5 blocks it has 1,679,235 parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.models.adain import padded
from labkit.models.load import load_model, tuples

STEP, LEAST = 4, 16  # sides of pictures inside the net: multiples of 4, 16 or more (a 9 × 9 kernel mirrors 4 pixels)


@dataclass(frozen=True)
class TransformNetConfig:
    """Channels at the whole, half and quarter of the side, and residual blocks at the last. Raises ValueError."""

    widths: tuple[int, int, int] = (32, 64, 128)
    blocks: int = 5

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or min(self.widths) < 1 or self.blocks < 1:
            raise ValueError(f"widths, blocks: {self.widths}, {self.blocks} must be three widths and 1 block or more")


class Block(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(*_layer(width, width, 3), nn.ReLU(), *_layer(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class TransformNet(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1], any sides → the same size, in about [-1, 1]."""

    def __init__(self, config: TransformNetConfig):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        self.body = nn.Sequential(
            *_layer(3, fine, 9), nn.ReLU(), *_layer(fine, middle, 3, 2), nn.ReLU(), *_layer(middle, coarse, 3, 2), nn.ReLU(),
            *(Block(coarse) for _ in range(config.blocks)),
            nn.Upsample(scale_factor=2), *_layer(coarse, middle, 3), nn.ReLU(),
            nn.Upsample(scale_factor=2), *_layer(middle, fine, 3), nn.ReLU(), _conv(fine, 3, 9))

    @classmethod
    def from_config(cls, config: dict) -> TransformNet:
        """Build from the JSON of its config."""
        return cls(TransformNetConfig(**tuples(config)))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(padded(x, STEP, LEAST))[..., :x.shape[2], :x.shape[3]]


def _conv(before: int, after: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, side, stride, side // 2, padding_mode="reflect")


def _layer(before: int, after: int, side: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return _conv(before, after, side, stride), nn.InstanceNorm2d(after, affine=True)


def load_transform_net(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> TransformNet:
    """A transform net with its weights: "pocket" or a file. Raises WeightsError and its kin."""
    return load_model("transform_net", name, device)
