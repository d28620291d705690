"""What style is in a net's features, and how far two pictures are apart in it: Gram, moments, W2; and the content beside it.

Of a layer's features f(p) ∈ R^C at places p, with weights w(p) ≥ 0 that sum to 1 (1 / HW, or a mask's):

    μ = Σ w f        M = Σ w f fᵀ        Σ = M − μ μᵀ                                       raw moments, and the covariance
    gram      ‖G − G*‖² / ‖G*‖²,   G = F Fᵀ / (C·H·W) = M / C                               Gatys et al. 2016, eq. 3–5
    moments   ‖μ − μ*‖² / tr M*  +  ‖M − M*‖² / ‖M*‖²                                       a Gram forgets what of M is mean
    w2        (‖μ − μ*‖² + tr(Σ + Σ* − 2 (Σ*^½ Σ Σ*^½)^½)) / tr M*                          Olkin & Pukelsheim 1982
    content   ‖F − F*‖² / ‖F*‖²                                                             Gatys et al. 2016, eq. 1

Each is divided by its target's own size, where the papers are not: then one weight serves every style picture and every net.

Several styles: places that are drawn from style k with probability a_k have the moments Σ a_k μ_k and Σ a_k M_k. Raw moments
may therefore be blended linearly, and a Gram matrix is one; covariances and standard deviations may not (Σ of a mixture has the
spread of its means in it as well). A mask goes in as w: the mask resized to the layer, divided by its sum (the guided Gram of
Gatys et al. 2017, "Controlling Perceptual Factors", eq. 6, with T² = w).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6  # of what is divided by
LEAST = 1e-9  # of an eigenvalue beside the squared trace: a root has no gradient at 0


@dataclass(frozen=True)
class Moments:
    """Raw moments of a layer: `mean` (B, C) and `second` (B, C, C), with E[f fᵀ] about 0."""

    mean: Tensor
    second: Tensor

    @property
    def gram(self) -> Tensor:
        """F Fᵀ / (C·H·W), (B, C, C)."""
        return self.second / self.mean.shape[1]

    @property
    def covariance(self) -> Tensor:
        return self.second - self.mean[:, :, None] * self.mean[:, None]

    @property
    def power(self) -> Tensor:
        """E ‖f‖² = tr M, (B,)."""
        return self.second.diagonal(dim1=1, dim2=2).sum(1)


def moments(features: Tensor, mask: Tensor | None = None) -> Moments:
    """Raw moments of features (B, C, H, W), of all places or weighted by a mask (H', W') ≥ 0, which is resized to the layer.
    Raises ValueError where the mask is 0 everywhere."""
    b, c, h, w = features.shape
    flat = features.flatten(2)
    if mask is None:
        return Moments(flat.mean(2), flat @ flat.transpose(1, 2) / (h * w))
    weight = F.interpolate(mask[None, None], (h, w), mode="area").flatten()
    total = weight.sum()
    if not total > 0:
        raise ValueError("mask: is 0 everywhere, so there is nothing to take moments of")
    weighed = flat * (weight / total)
    return Moments(weighed.sum(2), weighed @ flat.transpose(1, 2))


def blended(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """The moments of places drawn from several styles with these weights, which need not sum to 1: linear, in raw moments."""
    total = sum(weights)
    if not total > 0:
        raise ValueError(f"weights: {list(weights)} sum to nothing")
    shares = [w / total for w in weights]
    return Moments(sum(a * p.mean for a, p in zip(shares, parts, strict=True)),
                   sum(a * p.second for a, p in zip(shares, parts, strict=True)))


def gram_loss(now: Moments, target: Moments) -> Tensor:
    """Relative squared distance of Gram matrices, (B,)."""
    return _relative(now.second - target.second, target.second)


def moments_loss(now: Moments, target: Moments) -> Tensor:
    """The same, and that of the means, relative to the target's E ‖f‖²: (B,)."""
    return (now.mean - target.mean).square().sum(1) / (target.power + EPS) + gram_loss(now, target)


def w2_loss(now: Moments, target: Moments) -> Tensor:
    """Squared 2-Wasserstein distance of the Gaussians that have these moments, relative to the target's E ‖f‖²: (B,)."""
    return gaussian_w2(now.mean, now.covariance, target.mean, target.covariance) / (target.power + EPS)


def gaussian_w2(mean: Tensor, covariance: Tensor, other_mean: Tensor, other: Tensor) -> Tensor:
    """W2² of two Gaussians, means (B, C) and covariances (B, C, C): (B,).

    The trace of the root is the sum of the roots of eigenvalues, which have a gradient where eigenvectors of equal eigenvalues
    have none; a small part of the trace is added to each, as the root has none at 0.
    """
    root = matrix_root(other)
    between = root @ covariance @ root
    between = (between + between.transpose(1, 2)) / 2
    trace = lambda a: a.diagonal(dim1=1, dim2=2).sum(1)  # noqa: E731
    tiny = (LEAST * trace(other).square() / other.shape[1]).clamp_min(1e-12).detach()[:, None]
    roots = ((torch.linalg.eigvalsh(between).clamp_min(0) + tiny).sqrt() - tiny.sqrt()).sum(1)
    return ((mean - other_mean).square().sum(1) + trace(covariance) + trace(other) - 2 * roots).clamp_min(0)


def matrix_root(a: Tensor) -> Tensor:
    """The root of symmetric matrices (B, C, C) without negative eigenvalues; those that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh((a + a.transpose(1, 2)) / 2)
    return vectors * values.clamp_min(0).sqrt()[:, None] @ vectors.transpose(1, 2)


def content_loss(now: Tensor, target: Tensor) -> Tensor:
    """Relative squared distance of features (B, C, H, W): (B,)."""
    return _relative(now - target, target)


def _relative(difference: Tensor, target: Tensor) -> Tensor:
    return difference.square().flatten(1).sum(1) / (target.square().flatten(1).sum(1) + EPS)


LOSSES: dict[str, Callable[[Moments, Moments], Tensor]] = {"gram": gram_loss, "moments": moments_loss, "w2": w2_loss}


@dataclass(frozen=True)
class Region:
    """Where one style, or one blend of styles, is to hold: its moments by layer, the mask (H, W) or None for everywhere, and
    the share of the picture that it covers."""

    targets: dict[str, Moments]
    mask: Tensor | None = None
    share: float = 1.0

    def loss(self, features: dict[str, Tensor], kind: str) -> Tensor:
        """The mean over layers of the style loss of these features, times the share: (B,)."""
        each = [LOSSES[kind](moments(features[name], self.mask), target) for name, target in self.targets.items()]
        return self.share * torch.stack(each).mean(0)
