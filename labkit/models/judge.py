"""The judge and the perceptual net: VGG-shaped classifiers of the picture world's ground truth.

Simonyan & Zisserman 2014. The judge tells what a picture shows and is never used for guidance; the perceptual net is the
same kind of net with other widths, seed and data, whose features serve as a loss (Johnson et al. 2016, LPIPS without
learned weights). Neither shares architecture, seed or data stream with the CLIP that they are used beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from labkit.models.layers import NamedLayers
from labkit.models.load import load_model

HEADS = ("subject", "colour", "setting", "style")


@dataclass(frozen=True)
class VGGConfig:
    """Widths of each stage's convolutions (a max-pool halves the side after each stage but the last), and how many classes each
    attribute has."""

    stages: list[list[int]]
    classes: dict[str, int]


class VGGClassifier(NamedLayers, nn.Module):
    """(B, 3, 64, 64) in [-1, 1] → logits per attribute: dict of (B, classes)."""

    style_layers: ClassVar[tuple[str, ...]] = ("relu1_1", "relu2_1", "relu3_1")
    content_layers: ClassVar[tuple[str, ...]] = ("relu3_2",)
    title: ClassVar[str] = "our classifier of the picture world"

    def __init__(self, config: VGGConfig):
        super().__init__()
        self.config, before, blocks = config, 3, []
        for widths in config.stages:
            convs = []
            for width in widths:
                convs += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            blocks.append(nn.Sequential(*convs))
        self.stages = nn.ModuleList(blocks)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * before, n) for name, n in config.classes.items()})

    @classmethod
    def from_config(cls, config: dict) -> VGGClassifier:
        """Build from the JSON of its config."""
        return cls(VGGConfig(**config))

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The activations after each stage, finest first: [(B, C_k, H/2^k, W/2^k)]."""
        out = []
        for k, stage in enumerate(self.stages):
            x = stage(nn.functional.max_pool2d(x, 2) if k else x)
            out.append(x)
        return out

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        for s, stage in enumerate(self.stages, 1):
            if s > 1:
                yield "", nn.MaxPool2d(2)
            for k, part in enumerate(stage):
                yield {1: f"conv{s}_{k // 3 + 1}", 2: f"relu{s}_{k // 3 + 1}"}.get(k % 3, ""), part

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features (B, 2C): what the heads read, and what distances between sets of pictures are taken in."""
        last = self.features(x)[-1]
        return torch.cat([last.mean(dim=(2, 3)), last.amax(dim=(2, 3))], dim=1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        pooled = self.embed(x)
        return {name: head(pooled) for name, head in self.heads.items()}


def perceptual_distance(net, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean over stages of the squared distance between channel-normalised features (LPIPS, Zhang et al. 2018, eq. 1,
    with unit weights): (B,). `net` is a perceptual net, whatever has `features`."""
    total, of_x, of_y = 0.0, net.features(x), net.features(y)
    for a, b in zip(of_x, of_y, strict=True):
        a, b = (f / (f.square().sum(1, keepdim=True) + 1e-6).sqrt() for f in (a, b))
        total = total + (a - b).square().sum(1).mean(dim=(1, 2))
    return total / len(of_x)


def load_perceptual(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> nn.Module:
    """The perceptual net with its weights, frozen: "pocket" (a `VGGClassifier`), "vgg16" or "vgg19" (a `VGG`), or a file of
    either. Raises WeightsError and its kin."""
    return load_model("perceptual", name, device)
