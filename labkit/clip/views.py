"""Views: crops of pictures, each seen in a perspective of its own, all of them by one resampling (CLIPstyler, section 3.2).

A view is a square of the picture whose corners are pulled inwards by chance, as torchvision's `RandomPerspective` does it; the
result has the side that CLIP reads. CLIPstyler crops, warps and resizes one patch after the other. Here a homography for each

    p_crop ~ H p_out,   H the one that takes the pulled corners to the corners of the square   (3 × 3, ~ up to a factor)

carries the pixels of the result into the crop, a scaling carries these into the picture, and one `grid_sample` reads all. The
views of a picture lie below each other in one grid, so that neither the picture nor its gradient is held once for each view.

All chance is drawn first (`draw_views`), on the CPU; `look` is then a function of the picture alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

OUTSIDE = 2.0  # a place in [-1, 1]² that is in no picture


@dataclass(frozen=True)
class Views:
    """n views of each of B pictures: `homography` (B, n, 3, 3) of the result into the crop, `scale` and `centre` (B, n, 2) of
    the crop in the picture, both in its [-1, 1] across and down. `black` is what lies outside a crop, else the picture."""

    homography: Tensor
    scale: Tensor
    centre: Tensor
    black: bool

    @property
    def each(self) -> int:
        """Views of each picture."""
        return self.scale.shape[1]


def draw_views(n: int, pictures: int, height: int, width: int, sides: tuple[float, float], perspective: float,
               rng: torch.Generator, black: bool = True) -> Views:
    """Draw n views of each picture of a batch (height, width): squares of `sides` (smallest, largest), shares of the shorter
    side, anywhere inside; corners are pulled inwards by up to `perspective` / 2 of the square's side."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    short, shape = min(height, width), (pictures, n)
    side = (sides[0] + (sides[1] - sides[0]) * uniform(*shape)) * short
    scale = torch.stack([side / width, side / height], dim=-1).clamp(max=1)
    centre = (uniform(*shape, 2) * 2 - 1) * (1 - scale)
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    pulled = corners * (1 - perspective * uniform(*shape, 4, 2))
    return Views(homographies(pulled, corners.expand_as(pulled)), scale, centre, black)


def homographies(source: Tensor, target: Tensor) -> Tensor:
    """H (…, 3, 3) with H (x, y, 1) ~ (u, v, 1) for four points each, (…, 4, 2); its last entry is 1."""
    (x, y), (u, v), one = source.double().unbind(-1), target.double().unbind(-1), torch.ones(source.shape[:-1]).double()
    nothing = torch.zeros_like(one)
    rows = torch.cat([torch.stack([x, y, one, nothing, nothing, nothing, -u * x, -u * y], -1),
                      torch.stack([nothing, nothing, nothing, x, y, one, -v * x, -v * y], -1)], dim=-2)
    found = torch.linalg.solve(rows, torch.cat([u, v], dim=-1)[..., None])[..., 0]
    return torch.cat([found, torch.ones_like(found[..., :1])], dim=-1).unflatten(-1, (3, 3)).float()


def look(x: Tensor, views: Views, size: int) -> Tensor:
    """The views of pictures (B, 3, H, W): (B · n, 3, size, size), those of the first picture first. Differentiable."""
    pictures, n = views.scale.shape[:2]
    if len(x) != pictures:
        raise ValueError(f"x: {len(x)} pictures; the views were drawn for {pictures}")
    # Halve while even the smallest crop has twice the pixels that are read: a resampling alone would alias.
    pixels = float((views.scale * torch.tensor([x.shape[-1], x.shape[-2]])).amin())
    for _ in range(max(0, int(math.log2(max(1.0, pixels / size))))):
        x = F.avg_pool2d(x, 2)
    seen = F.grid_sample(x, _grid(views, size).to(x), mode="bilinear", align_corners=False,
                         padding_mode="zeros" if views.black else "reflection")
    return seen.unflatten(2, (n, size)).transpose(1, 2).flatten(0, 1)


def _grid(views: Views, size: int) -> Tensor:
    """Where the pixels of the views lie in the picture: (B, n · size, size, 2) in [-1, 1]."""
    at = (torch.arange(size) * 2 + 1) / size - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    out = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, size²)
    carried = views.homography @ out  # (B, n, 3, size²)
    crop = (carried[..., :2, :] / carried[..., 2:, :]).movedim(-2, -1)  # (B, n, size², 2)
    place = crop * views.scale[..., None, :] + views.centre[..., None, :]
    if views.black:
        place = torch.where((crop.abs() <= 1).all(-1, keepdim=True), place, torch.full((), OUTSIDE))
    return place.unflatten(2, (size, size)).flatten(1, 2)
