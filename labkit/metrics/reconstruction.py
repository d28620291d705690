"""How near reconstructions are to their pictures: MSE, PSNR, SSIM, with the range of the pixels said.

    PSNR = 10·log10(R² / MSE),  R: the pixels' range       the same pictures in [-1, 1] have 4 × the MSE of [0, 1], and the
                                                           same PSNR; an MSE taken in one and R in the other is 6 dB off

PSNR here is the mean of the pictures' own; the PSNR of the mean MSE is lower (Jensen). SSIM is torchmetrics' (Wang et al. 2004:
11 × 11 Gaussian window, σ = 1.5), on RGB.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from labkit.loop import NonFiniteError
from labkit.metrics.score import Score, mean_score

LEAST = 11  # pixels of a side: SSIM's window


def reconstruction_scores(x: Tensor, y: Tensor, draws: int = 1000, seed: int = 0, data_range: tuple[float, float] = (0.0, 1.0),
                          ) -> list[Score]:
    """MSE, PSNR and SSIM of reconstructions y against pictures x, both (N, 3, H, W) in `data_range`, H and W ≥ 11.

    A picture that came back exactly has no PSNR (infinite) and makes the mean infinite. Raises ValueError on unequal shapes and
    on pixels beyond the range, NonFiniteError on NaN.
    """
    low, high = data_range
    if x.shape != y.shape or x.ndim != 4 or not len(x) or min(x.shape[-2:]) < LEAST:
        raise ValueError(f"x, y: {tuple(x.shape)} and {tuple(y.shape)} must both be (N, 3, H, W), N ≥ 1, sides ≥ {LEAST}")
    for name, pixels in (("x", x), ("y", y)):
        if not bool(pixels.isfinite().all()):
            raise NonFiniteError(f"{name}: holds NaN or infinity")
        if pixels.min() < low - 1e-4 or pixels.max() > high + 1e-4:
            raise ValueError(f"{name}: pixels of {float(pixels.min()):.2f} … {float(pixels.max()):.2f} are beyond the stated "
                             f"range {low:g} … {high:g}; state the range they have, or clamp them")
    peak, pixels = high - low, f"pixels in [{low:g}, {high:g}]"
    mse = (x.double() - y.double()).square().mean(dim=(1, 2, 3)).cpu().numpy()
    with np.errstate(divide="ignore"):
        psnr = 10 * np.log10(peak**2 / mse)
    ssim = torch.cat([structural_similarity_index_measure(a.float(), b.float(), data_range=peak, reduction="none").reshape(-1)
                      for a, b in zip(y.split(256), x.split(256), strict=True)]).cpu().numpy()
    some = {"draws": draws, "seed": seed}
    return [mean_score("MSE", f"mean over pictures, {pixels}", mse, f"0 … {peak**2:g}", "lower", **some),
            mean_score("PSNR", f"dB, mean of the pictures' own, peak {peak:g}, {pixels}", psnr, "0 … ∞", "higher", **some),
            mean_score("SSIM", f"11 × 11 Gaussian window, RGB, {pixels} (torchmetrics)", ssim, "-1 … 1", "higher", **some)]


def psnr_of(mse: float, peak: float = 1.0) -> float:
    """The PSNR in dB that an MSE means, of pixels with this range; inf for 0. Raises ValueError on what is negative."""
    if not (mse >= 0 and peak > 0):
        raise ValueError(f"mse={mse}, peak={peak}: need mse >= 0 and peak > 0")
    return 10 * math.log10(peak**2 / mse) if mse else math.inf


def mse_of(psnr: float, peak: float = 1.0) -> float:
    """The MSE that a PSNR in dB means, of pixels with this range."""
    return peak**2 * 10 ** (-psnr / 10)
