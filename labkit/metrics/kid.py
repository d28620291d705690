"""Kernel Inception Distance between two sets of pictures, in the judge's features.

    KID = MMD²(f(X), f(Y)),   k(a, b) = (a·b/d + 1)³          Bińkowski et al. 2018, "Demystifying MMD GANs", section 4

Unbiased: two sets of the same kind give about 0, often a little below. The features are the judge's and not an Inception's,
which has never seen a drawn world: compare these figures with one another, never with a paper's.
"""

from __future__ import annotations

import warnings

import pandas as pd
import torch
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance

from labkit.loop import NonFiniteError


class _Features(nn.Module):
    """Pictures (B, 3, H, W) in [0, 1] → features (B, D)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net.embed(x * 2 - 1)


def kid(judge, pictures: torch.Tensor, real: torch.Tensor, subsets: int = 50, seed: int = 0) -> tuple[float, float]:
    """KID and its standard deviation over `subsets` ≥ 2 random halves. Pictures (N, 3, H, W) in [0, 1], N ≥ 20 of each kind.
    Raises ValueError for fewer, NonFiniteError where the features are not finite."""
    if subsets < 2:
        raise ValueError(f"subsets={subsets}: a spread over random halves needs 2 or more")
    n = min(len(pictures), len(real))
    if n < 20:
        raise ValueError(f"pictures: {n} of a kind are too few for a distance between sets; give 20 or more")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)  # torchmetrics draws its subsets from the global generator
        warnings.filterwarnings("ignore", "Metric .* will save all extracted features")  # a few hundred rows
        metric = KernelInceptionDistance(feature=_Features(judge.net), subsets=subsets, subset_size=n // 2)
        for part in pictures.split(100):
            metric.update(part.cpu(), real=False)
        for part in real.split(100):
            metric.update(part.cpu(), real=True)
        mean, spread = metric.compute()
    if not bool(mean.isfinite()):
        raise NonFiniteError("the judge's features of the pictures hold NaN or infinity, so that there is no distance; "
                             "see where they come from")
    return float(mean), float(spread)


def kid_table(judge, sets: dict[str, torch.Tensor], real: torch.Tensor) -> pd.DataFrame:
    """KID, spread and n of each set of pictures (N, 3, H, W) in [0, 1] against `real`, and last of noise of the real ones' mean
    and spread: as bad as it gets."""
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0)) * real.std() + real.mean()
    rows = {name: dict(zip(("KID", "spread"), kid(judge, x, real), strict=True)) | {"n": len(x)}
            for name, x in {**sets, "noise": noise.clamp(0, 1)}.items()}
    return pd.DataFrame(rows).T
