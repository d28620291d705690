"""Walks between two pictures' latents: straight, and along the sphere where the latents lie on one.

    slerp(a, b, t) = sin((1 - t)·Ω)/sin Ω · a + sin(t·Ω)/sin Ω · b,    cos Ω = a·b/(|a| |b|)          Shoemake 1985

A Gaussian's points of many dimensions lie near a sphere, and CLIP's on one: the middle of a straight walk between two of them
is shorter than any point that the model has seen (White 2016, arXiv:1609.04468), so walk on the sphere there. A VQGAN's cells
lie on no sphere: walk straight; each cell is then brought to its nearest code, which makes the walk one of small jumps.
"""

from __future__ import annotations

from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from labkit.image import to_pil
from labkit.latents.sources import fitted
from labkit.spec import SpecError

PARALLEL = 1e-4  # radians: below, and as near to opposite, an arc's formula divides by nearly nothing


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The point at t in [0, 1] of the straight line from a to b."""
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The point at t in [0, 1] of the arc from a to b, seen as vectors of the last dimension; their lengths go over linearly.

    Where they point the same way, the straight line; of opposite ones there is no one arc: raises `SpecError`.
    """
    lengths = [v.norm(dim=-1, keepdim=True) for v in (a, b)]
    u, v = (x / length.clamp_min(1e-12) for x, length in zip((a, b), lengths, strict=True))
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))  # exact near 0 and π
    if bool((angle > torch.pi - PARALLEL).any()):
        raise SpecError("a, b: point in opposite directions, between which no arc is the shortest; go over a third point")
    straight = angle < PARALLEL
    sine = torch.where(straight, torch.ones_like(angle), angle.sin())
    arc = torch.where(straight, lerp(u, v, t), ((1 - t) * angle).sin() / sine * u + (t * angle).sin() / sine * v)
    return lerp(*lengths, t) * arc


def walk(a: Tensor, b: Tensor, n: int = 8, way: Literal["linear", "spherical"] = "linear") -> Tensor:
    """n ≥ 2 points from a to b, both ends among them: (n, *shape). Raises `SpecError`."""
    if n < 2 or way not in ("linear", "spherical"):
        raise SpecError(f"n, way: need 2 points or more, linear or spherical; got {n} and {way!r}")
    if a.shape != b.shape:
        raise SpecError(f"a, b: of shapes {tuple(a.shape)} and {tuple(b.shape)}; they must be alike")
    step = lerp if way == "linear" else slerp
    return torch.stack([step(a, b, k / (n - 1)) for k in range(n)])


@torch.no_grad()
def picture_walk(vqgan, first: Image.Image, last: Image.Image, n: int = 8, quantise: bool = True) -> list[Image.Image]:
    """n ≥ 2 pictures from the one to the other, through a VQGAN's continuous latents at its own side. Without `quantise` the
    cells between codes are decoded as they are, which is smoother and blurrier."""
    z = vqgan.encode_continuous(fitted(vqgan, [first.convert("RGB"), last.convert("RGB")]))
    steps = walk(z[0], z[1], n)
    if quantise:
        steps = vqgan.quantize(steps)[0]
    return [to_pil(x / 2 + 0.5) for x in vqgan.decode(steps)]
