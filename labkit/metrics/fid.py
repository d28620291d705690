"""Fréchet distance between two sets of pictures, in the judge's features.

    FID = |μ_x - μ_y|² + Tr(Σ_x + Σ_y - 2·(Σ_x Σ_y)^½)               Heusel et al. 2017, "GANs Trained by a Two Time-Scale …"

Biased upwards by about 1/n: compare sets of one size only, and prefer KID (`labkit.metrics.kid`) where n is small. The features
are the judge's, not an Inception's: a figure of ours means nothing beside a paper's.
"""

from __future__ import annotations

import torch
from scipy import linalg
from torch import Tensor

from labkit.loop import NonFiniteError
from labkit.metrics.kid import kid
from labkit.metrics.score import Score


@torch.no_grad()
def features(judge, x: Tensor, batch: int = 256) -> Tensor:
    """The judge's pooled features (N, D) of pictures (N, 3, H, W) in [0, 1], float64 on the CPU. Raises NonFiniteError."""
    out = torch.cat([judge.net.embed(judge.prepare(part)) for part in x.split(batch)]).double().cpu()
    if not bool(out.isfinite().all()):
        raise NonFiniteError("the judge's features of the pictures hold NaN or infinity, so that there is no distance; see "
                             "where they come from")
    return out


def frechet(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance of two Gaussians with the means and covariances of features a (N, D) and b (M, D)."""
    means, spreads = [f.mean(0) for f in (a, b)], [torch.cov(f.T).reshape(f.shape[1], f.shape[1]) for f in (a, b)]
    # Tr (Σx Σy)^½ is the sum of the roots of the eigenvalues, which are those of the symmetric Σx^½ Σy Σx^½ and so ≥ 0
    values, vectors = torch.linalg.eigh(spreads[0])
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.from_numpy(linalg.eigvalsh((root @ spreads[1] @ root).numpy())).clamp_min(0).sqrt().sum()
    return float((means[0] - means[1]).square().sum() + spreads[0].trace() + spreads[1].trace() - 2 * cross)


def fid(judge, pictures: Tensor, real: Tensor) -> Score:
    """FID in the judge's features of pictures (N, 3, H, W) in [0, 1] against real ones. It has no interval: resampling adds
    doubles, which move it by more than chance does.

    Raises ValueError for fewer pictures of a kind than features, as the covariance then has no full rank; NonFiniteError.
    """
    a, b = features(judge, pictures), features(judge, real)
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(f"pictures: {min(len(a), len(b))} of a kind are no more than the judge's {a.shape[1]} features, so "
                         "that their covariance has no full rank; give more, or use KID")
    return Score("FID (judge)", f"judge's {a.shape[1]} pooled features, against {len(b)} real pictures", frechet(a, b),
                 float("nan"), float("nan"), len(a), "0 … ∞", "lower", "none: biased by 1/n")


def kid_score(judge, pictures: Tensor, real: Tensor, subsets: int = 50, seed: int = 0) -> Score:
    """KID in the judge's features as a `Score`, with mean ± 1.96 spreads of its random halves."""
    value, spread = kid(judge, pictures, real, subsets, seed)
    return Score("KID (judge)", f"judge's pooled features, degree 3, {subsets} random halves, against {len(real)} real ones",
                 value, value - 1.96 * spread, value + 1.96 * spread, len(pictures), "about 0 … ∞", "lower",
                 "± 1.96 standard deviations over halves")
