"""The colours of a picture apart from its forms: luminance and chroma, and one picture's colours given to another.

    Y = 0.299 R + 0.587 G + 0.114 B                                       the luminance of YIQ (NTSC)
    x′ = Σ_c^½ Σ_s^-½ (x − μ_s) + μ_c,  over pixels in RGB                Gatys et al. 2016, "Preserving Color in Neural
                                                                          Artistic Style Transfer", section 2.1
"""

from __future__ import annotations

import torch
from torch import Tensor

YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
LEAST = 1e-5  # of a variance: a grey picture has none in two of its three directions


def luminance(x: Tensor) -> Tensor:
    """Y of pictures (B, 3, H, W) in [0, 1], as grey pictures: (B, 3, H, W)."""
    return _turned(x, x.new_tensor(YIQ))[:, :1].expand(-1, 3, -1, -1).contiguous()


def from_yiq(x: Tensor) -> Tensor:
    """RGB of luminance and chroma (B, 3, H, W)."""
    return _turned(x, torch.linalg.inv(x.new_tensor(YIQ)))


def with_luminance(x: Tensor, of: Tensor) -> Tensor:
    """The colours (I, Q) of pictures x with the luminance of others, both (B, 3, H, W): in [0, 1] as far as they allow it."""
    matrix = x.new_tensor(YIQ)
    return from_yiq(torch.cat([_turned(of, matrix)[:, :1], _turned(x, matrix)[:, 1:]], dim=1)).clamp(0, 1)


def recoloured(x: Tensor, like: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] with the mean and covariance of the colours of another one's pixels, any size; what falls
    outside is clamped."""
    (mean, root, _), (mean_x, _, inverse) = _colours(like), _colours(x)
    turned = torch.einsum("bij,bjhw->bihw", root @ inverse, x - mean_x[..., None, None])
    return (turned + mean[..., None, None]).clamp(0, 1)


def _turned(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, x)


def _colours(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (B, 3), root of the covariance and its inverse (B, 3, 3) of pixels."""
    pixels = x.flatten(2).double()
    mean = pixels.mean(2, keepdim=True)
    covariance = (pixels - mean) @ (pixels - mean).transpose(1, 2) / pixels.shape[2]
    values, vectors = torch.linalg.eigh(covariance)
    root = values.clamp_min(LEAST).sqrt()
    back = vectors.transpose(1, 2)
    return mean[..., 0].to(x), (vectors * root[:, None] @ back).to(x), (vectors / root[:, None] @ back).to(x)
