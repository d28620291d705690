"""VGG-16 and VGG-19 by torchvision's weights as perceptual nets, with named layers: what style transfer was published on.

Simonyan & Zisserman 2014, "Very Deep Convolutional Networks", arXiv:1409.1556, configurations D and E without batch norm. Only
the convolutions are kept; the published file's classifier is left out. torchvision's ReLUs work in place, so that what was read
before one changes after it ("conv4_2" of many implementations is in fact relu4_2); these do not: "conv3_1" is what enters the
ReLU, "relu3_1" what leaves it.

    python -m labkit zoo get vgg19                                       Lab(perceptual="vgg19")
    python -m labkit convert vgg19-dcbb9e9d.pth vgg19.safetensors        Lab(perceptual="vgg19.safetensors")
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from labkit.models.layers import NamedLayers
from labkit.weights import WeightsMismatch
from labkit.zoo import check_state

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]
DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions of each stage
WIDTHS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class VGGDepth:
    """`depth`, 16 or 19; `widths` of the five stages, the published ones unless a test makes it narrow."""

    depth: int = 19
    widths: tuple[int, ...] = WIDTHS

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS or len(self.widths) != 5:
            raise ValueError(f"depth, widths: {self.depth}, {self.widths} must be 16 or 19, and five widths")


class VGG(NamedLayers, nn.Module):
    """The convolutions of VGG-16 or -19: `layers(x, names)` of pictures (B, 3, H, W) in [-1, 1], sides of 16 or more where
    stage 5 is read."""

    style_layers: ClassVar[tuple[str, ...]] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    content_layers: ClassVar[tuple[str, ...]] = ("relu4_2",)

    def __init__(self, config: VGGDepth):
        super().__init__()
        self.config, self.names, before, body = config, [], 3, []
        for s, (count, width) in enumerate(zip(DEPTHS[config.depth], config.widths, strict=True), 1):
            for k in range(1, count + 1):
                body += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                self.names += [f"conv{s}_{k}", f"relu{s}_{k}"]
                before = width
            body.append(nn.MaxPool2d(2))
            self.names.append("")
        self.body = nn.Sequential(*body)  # numbered as torchvision's `features`

    @classmethod
    def from_config(cls, config: dict) -> VGG:
        """Build from the JSON of its config."""
        return cls(VGGDepth(config["depth"], tuple(config["widths"])))

    @property
    def title(self) -> str:
        return f"VGG-{self.config.depth} of ImageNet"

    def enter(self, x: Tensor) -> Tensor:
        mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        return ((x + 1) / 2 - mean) / std

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        yield from zip(self.names, self.body, strict=True)

    def features(self, x: Tensor) -> list[Tensor]:
        """The activations after each stage's last ReLU, finest first: what LPIPS reads, [(B, C_k, H/2^k, W/2^k)]."""
        last = [f"relu{s}_{count}" for s, count in enumerate(DEPTHS[self.config.depth], 1)]
        return list(self.layers(x, last).values())


def bare(name: str) -> VGG:
    """The net of a name of the zoo, "vgg16" or "vgg19", without its weights."""
    return VGG(VGGDepth(int(name.removeprefix("vgg"))))


def convert_torchvision(held: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict]:
    """What torchvision's published file holds → our tensors and what the new file says about itself. Raises WeightsMismatch
    unless its convolutions are those of VGG-16 or -19 without batch norm."""
    state = {f"body.{key.removeprefix('features.')}": t for key, t in held.items() if key.startswith("features.")}
    convolutions = [t for key, t in state.items() if re.fullmatch(r"body\.\d+\.weight", key) and t.ndim == 4]
    depth = len(convolutions) + 3
    if depth not in DEPTHS:
        raise WeightsMismatch(f"{name}: has {len(convolutions)} convolutions; VGG-16 has 13 and VGG-19 has 16")
    config = VGGDepth(depth, tuple(convolutions[sum(DEPTHS[depth][:s + 1]) - 1].shape[0] for s in range(5)))
    with torch.device("meta"):
        check_state(VGG(config), state, name)
    return state, {"kind": "perceptual", "architecture": "vgg", "config": asdict(config)}
