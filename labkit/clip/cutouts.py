"""Cutouts: the many looks that CLIP takes at a picture (Crowson et al. 2022, section 3.2).

All chance is drawn first (`draw`), then any part of the cutouts can be made (`cut`): a run that has to split its batch for
memory sees the same cutouts. Crop, turn and shear are one resampling of the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from labkit.spec import Spec


class Cutouts(Spec):
    """How CLIP looks at the picture."""

    cutn: int = Field(8, ge=1, le=256, description="Cutouts a step; 32 is usual for a full-size CLIP")
    method: Literal["crops", "pooled"] = Field(
        "crops", description="crops: random squares; pooled: the whole picture, (average + max pooling) / 2")
    cut_pow: float = Field(1.0, ge=0.1, le=8, description="Above 1: smaller crops; below 1: larger ones")
    smallest: float = Field(0.75, ge=0.1, le=1, description="Side of the smallest crop, as a share of the shorter side")
    augment: float = Field(1.0, ge=0, le=1, description="Strength of turns, shears and colour changes")
    noise: float = Field(0.4, ge=0, le=1, description="Largest standard deviation of the noise added to a cutout")
    chunk: int = Field(0, ge=0, le=256, description="Cutouts a batch; 0: all at once (halved when memory runs out)")

    @property
    def batch(self) -> int:
        """Cutouts that go through CLIP at once."""
        return min(self.chunk or self.cutn, self.cutn)


@dataclass(frozen=True)
class Looks:
    """Drawn cutouts: resampling matrices `theta` (n, 2, 3), colour gains and shifts (n, 3, 1, 1) each, noise
    (n, 3, size, size) or None."""

    theta: Tensor
    gain: Tensor
    shift: Tensor
    noise: Tensor | None
    pooled: bool
    size: int

    def __len__(self) -> int:
        return len(self.theta)


def draw(spec: Cutouts, height: int, width: int, size: int, rng: torch.Generator) -> Looks:
    """Draw the cutouts of one step of a (height, width) picture for a CLIP that reads `size` × `size`."""
    n, short = spec.cutn, min(height, width)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    share = torch.ones(n) if spec.method == "pooled" else (
        uniform(n) ** spec.cut_pow * (1 - spec.smallest) + spec.smallest)
    across = torch.stack([share * short / width, share * short / height], dim=1)  # of the picture's width and height
    if spec.method == "pooled":
        across = torch.ones(n, 2)
    centre = (uniform(n, 2) * 2 - 1) * (1 - across)
    turn = (uniform(n) * 2 - 1) * spec.augment * math.radians(15)
    shear = (uniform(n) * 2 - 1) * spec.augment * math.radians(5)
    cos, sin = torch.cos(turn), torch.sin(turn)
    matrix = torch.stack([torch.stack([cos, shear - sin], 1), torch.stack([sin, cos], 1)], 1)
    theta = torch.cat([matrix * across[:, :, None], centre[:, :, None]], dim=2)
    gain = 1 + (uniform(n, 3, 1, 1) * 2 - 1) * 0.15 * spec.augment
    shift = (uniform(n, 3, 1, 1) * 2 - 1) * 0.08 * spec.augment
    noise = None
    if spec.noise:
        noise = uniform(n, 1, 1, 1) * spec.noise * torch.randn(n, 3, size, size, generator=rng)
    return Looks(theta, gain, shift, noise, spec.method == "pooled", size)


def cut(picture: Tensor, looks: Looks, part: slice = slice(None)) -> Tensor:
    """The cutouts of a picture (1, 3, H, W) in [0, 1]: (n, 3, size, size), not clamped."""
    theta = looks.theta[part].to(picture)
    n, size = len(theta), looks.size
    if looks.pooled:
        source = (F.adaptive_avg_pool2d(picture, size) + F.adaptive_max_pool2d(picture, size)) / 2
    else:
        # Halve while even the smallest crop has twice the pixels that CLIP reads: grid_sample alone would alias.
        source = picture
        pixels = float(looks.theta[:, 0, :2].norm(dim=1).min()) * picture.shape[-1]
        for _ in range(max(0, int(math.log2(max(1.0, pixels / size))))):
            source = F.avg_pool2d(source, 2)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    cuts = F.grid_sample(source.expand(n, -1, -1, -1), grid, mode="bilinear", padding_mode="reflection",
                         align_corners=False)
    cuts = cuts * looks.gain[part].to(picture) + looks.shift[part].to(picture)
    return cuts if looks.noise is None else cuts + looks.noise[part].to(picture)
