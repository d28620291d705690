"""What a linear denoiser knows already, so that the network of a pocket model need not learn it.

A block of f × f pixels, rotated to its principal components, is x_k = √ᾱ c_k + √(1 − ᾱ) ε_k with var c_k = λ_k. If c were
Gaussian, the best guess of the v-target v_k = √ᾱ ε_k − √(1 − ᾱ) c_k would be Wiener's:

    v̂_k = √(ᾱ (1 − ᾱ)) (1 − λ_k) / (ᾱ λ_k + 1 − ᾱ) · x_k,       with the variance λ_k / (ᾱ λ_k + 1 − ᾱ) left over.

The network reads x_k at unit variance and adds what is left over, at unit variance too: the preconditioning of Karras et al.
2022, "Elucidating the Design Space of Diffusion-Based Generative Models", section 5, with a σ_data of its own for each
component. Fine detail has a λ near 0, so an untrained network already removes the noise there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_VARIANCE = 1e-4  # of a component: half precision keeps it, and no division meets a zero


class BlockWiener(nn.Module):
    """`wiener(network, x, alpha_bar)`: v̂ (B, 3, H, W) of pictures x (B, 3, H, W) at noise levels ᾱ (B,), where `network` maps
    cells (B, 3 f², H/f, W/f) to such cells. Until `fit` its components are the pixels, of variance 1."""

    def __init__(self, f: int):
        super().__init__()
        n = 3 * f * f
        self.f = f
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("axes", torch.eye(n))  # a row is a component
        self.register_buffer("variance", torch.ones(n))

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """Take mean, components and variances of the blocks of pictures (B, 3, H, W)."""
        mean, variance, axes = block_components(pictures, self.f)
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.variance.copy_(variance.clamp_min(LEAST_VARIANCE))

    def forward(self, network: Callable[[Tensor], Tensor], x: Tensor, alpha_bar: Tensor) -> Tensor:
        a = alpha_bar.view(-1, 1, 1, 1).to(x)
        mean, variance = (part.float().view(1, -1, 1, 1) for part in (self.mean, self.variance))
        axes = self.axes.float()[:, :, None, None]
        seen = a * variance + 1 - a
        cells = F.conv2d(F.pixel_unshuffle(x, self.f) - a.sqrt() * mean, axes)
        linear = (a * (1 - a)).sqrt() * (1 - variance) / seen * cells
        left = (variance / seen).sqrt() * network(cells / seen.sqrt())
        v = F.conv_transpose2d((linear + left).float(), axes) - (1 - a).sqrt() * mean
        return F.pixel_shuffle(v, self.f)


def block_components(pictures: Tensor, f: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (n,), variances (n,), falling, and orthonormal components (n, n), one a row, of the f × f blocks of pictures
    (B, 3, H, W), n = 3 f² in the order of `pixel_unshuffle`."""
    blocks = F.pixel_unshuffle(pictures, f).permute(0, 2, 3, 1).flatten(0, 2)
    variance, axes = torch.linalg.eigh(torch.cov(blocks.T))
    return blocks.mean(0), variance.flip(0), axes.T.flip(0)
