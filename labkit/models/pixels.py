"""No autoencoder at all, where a VQGAN is asked for: `Lab(vqgan="pixels")`.

A method that descends through a VQGAN then descends on the pixels themselves. It is what a VQGAN or a diffusion model is to be
compared with: what CLIP alone makes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """A `VQGAN` whose f is 1, whose code is the pixel's colour and whose decoder changes nothing; its "codes" are the colours
    of a cube, for random starts and bounds. Pictures (B, 3, H, W) in [-1, 1]."""

    f = 1

    def __init__(self, levels: int = 16):
        super().__init__()
        axis = torch.linspace(-1, 1, levels)
        self.codebook = nn.Parameter(torch.cartesian_prod(axis, axis, axis), requires_grad=False)
        self.n_embed = len(self.codebook)

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        """The picture."""
        return x, None

    def quantize(self, z: Tensor) -> tuple[Tensor, None]:
        """The same colours: nothing is rounded."""
        return z, None

    def decode(self, z: Tensor) -> Tensor:
        """The picture."""
        return z

    def lookup(self, indices: Tensor) -> Tensor:
        """Colours (B, 3, H, W) of indices (B, H, W)."""
        return self.codebook[indices].permute(0, 3, 1, 2)
