"""Strokes of several sizes: whitened features whose patches are exchanged for a style's, and fused by where the eye goes.

    whiten    W = E λ^(-½) Eᵀ (F − μ),  colour  F = E_s λ_s^(½) E_sᵀ W + μ_s      Bell & Sejnowski 1997; Li et al. 2017
    swap      each patch of W_c becomes the patch of W_s with the highest cosine      Chen & Schmidt 2016, arXiv:1612.04337
    fuse      Σ_k w_k ⊙ stroke_k,  w = softmax_k(50 (1 − |a − c_k|))                  Yao et al. 2019, arXiv:1901.05127

a is the attention map in [0, 1] and c_k are the middles of its clusters by k-means, so that every place gets mainly the stroke
of its cluster. λ has a ridge: features of few places lie in fewer dimensions than there are channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

Fusion = Literal["softmax", "linear", "uniform"]
SHARPNESS = 50.0  # of the softmax, as published
RIDGE = 1e-5  # of the mean variance, added to every variance
PATCHES = 2048  # of a style that are compared at once
STARTS = 4  # of k-means


class Colour(NamedTuple):
    """What whitening takes from features: their mean (C, 1), and the roots of their covariance, (C, C) each."""

    mean: Tensor
    root: Tensor
    inverse: Tensor


def colour_of(x: Tensor, ridge: float = RIDGE) -> Colour:
    """Of features (1, C, H, W). The ridge is a share of the mean variance."""
    flat = x.flatten(2)[0].double()
    mean = flat.mean(1, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).T / flat.shape[1]
    variances, axes = torch.linalg.eigh(covariance)
    variances = variances.clamp_min(0) + ridge * variances.clamp_min(0).mean() + 1e-12
    root, inverse = (axes * variances.pow(power) @ axes.T for power in (0.5, -0.5))
    return Colour(mean.to(x.dtype), root.to(x.dtype), inverse.to(x.dtype))


def whiten(x: Tensor, of: Colour) -> Tensor:
    """Features (1, C, H, W) with mean 0 and covariance 1, where `of` is their own colour."""
    return (of.inverse @ (x.flatten(2)[0] - of.mean)).view_as(x)


def colour(x: Tensor, of: Colour) -> Tensor:
    """White features (1, C, H, W) with that mean and covariance."""
    return (of.root @ x.flatten(2)[0] + of.mean).view_as(x)


def style_swap(content: Tensor, style: Tensor, patch: int) -> Tensor:
    """Features (1, C, H, W) of the content put together of the style's patches, (1, C, H', W'): for every patch of the content,
    the one with the highest cosine; where patches overlap, their mean. Patches are no larger than either is."""
    size = tuple(min(patch, *sides) for sides in zip(content.shape[2:], style.shape[2:], strict=True))
    mine, theirs = F.unfold(content, size)[0], F.unfold(style, size)[0]  # (C · patch, places)
    unit = theirs / theirs.norm(dim=0, keepdim=True).clamp_min(1e-12)
    best, which = torch.full_like(mine[0], -math.inf), torch.zeros(mine.shape[1], dtype=torch.long, device=mine.device)
    for first in range(0, unit.shape[1], PATCHES):
        score, at = (unit[:, first:first + PATCHES].T @ mine).max(0)
        better = score > best
        best, which = torch.where(better, score, best), torch.where(better, at + first, which)
    sides = content.shape[2:]
    covered = F.fold(torch.ones_like(mine)[None], sides, size)
    return F.fold(theirs[:, which][None], sides, size) / covered


def scales(strokes: int) -> list[float]:
    """How far the style is resized for each stroke, the coarsest first: 1, 1/√2, 1/2, …"""
    return [2 ** (-k / 2) for k in range(strokes)]


def resized(x: Tensor, scale: float) -> Tensor:
    """Features (1, C, H, W) of sides `scale` times as long, box-averaged; never of a side below 1."""
    sides = [max(1, round(side * scale)) for side in x.shape[2:]]
    return x if sides == list(x.shape[2:]) else F.interpolate(x, sides, mode="area")


def middles(a: Tensor, clusters: int, seed: int = 0) -> Tensor:
    """The middles of the clusters of a map's values, ascending, (clusters,); evenly spaced over [0, 1] where the map has fewer
    values than that."""
    values = a.detach().double().cpu().numpy().reshape(-1, 1)
    if len(np.unique(values)) < clusters:
        return torch.linspace(0, 1, clusters, dtype=a.dtype, device=a.device) if clusters > 1 else torch.zeros(1).to(a)
    found = KMeans(clusters, n_init=STARTS, random_state=seed).fit(values).cluster_centers_.ravel()
    return torch.from_numpy(np.sort(found)).to(a)


def weights(a: Tensor, centres: Tensor, how: Fusion, sharpness: float = SHARPNESS) -> Tensor:
    """(strokes, H, W) that sum to 1: how much of each stroke there is at every place of the map a (H, W).

    softmax   mainly the stroke of the nearest centre.   linear   shared by the two centres between which a lies, by distance.
    uniform   all alike.
    """
    c = centres.view(-1, 1, 1)
    if how == "uniform" or len(centres) == 1:
        return torch.full((len(centres), *a.shape), 1 / len(centres), dtype=a.dtype, device=a.device)
    if how == "softmax":
        return (sharpness * (1 - (a - c).abs())).softmax(0)
    right = torch.searchsorted(centres.contiguous(), a.contiguous()).clamp(1, len(centres) - 1)
    low, high = centres[right - 1], centres[right]
    share = ((a - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    order = torch.arange(len(centres), device=a.device).view(-1, 1, 1)
    return (order == right - 1) * (1 - share) + (order == right) * share


def fuse(strokes: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Σ_k shares_k ⊙ stroke_k of features (1, C, H, W) and shares (strokes, H, W)."""
    return sum(share * stroke for share, stroke in zip(shares, strokes, strict=True))
