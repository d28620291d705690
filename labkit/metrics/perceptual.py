"""Perceptual distances between pairs of pictures: LPIPS where its network is at hand, the pocket one under its own name.

    pocket_distance(lab.perceptual, x, y)     features of the picture world, never calibrated on people: not called LPIPS
    lpips(x, y, net="alex")                   Zhang et al. 2018, torchmetrics'; needs torchvision's network on this disk

Both are 0 for equal pictures and compare only with themselves: of the same network, pictures of the same side. Nothing is
downloaded: where the network is missing, `MissingNetwork` says which file to put where.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

from labkit.metrics.score import Score, mean_score
from labkit.models.judge import VGGClassifier, perceptual_distance

HOST = "https://download.pytorch.org/models/"
TRUNKS = {  # torchvision's file, whose name ends in the first digits of its sha256; MB
    "alex": ("alexnet-owt-7be5be79.pth", 233), "vgg": ("vgg16-397923af.pth", 528), "squeeze": ("squeezenet1_1-b8a52dc0.pth", 5),
}  # fmt: skip


class MissingNetwork(FileNotFoundError):
    """LPIPS' network is not on this disk, or is another file."""


def trunk_of(net: str = "alex") -> Path:
    """The file with the network of LPIPS: torchvision's, where torchvision keeps it. Raises `MissingNetwork`, which says what
    to get; ValueError for a network that LPIPS does not have."""
    if net not in TRUNKS:
        raise ValueError(f"net: must be one of {', '.join(TRUNKS)}; got {net!r}")
    name, megabytes = TRUNKS[net]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise MissingNetwork(f"LPIPS ({net}): {path} is missing; download {HOST}{name} ({megabytes} MB) and put it there. "
                             "`pocket_distance` stands in, under its own name")
    wanted = path.stem.rpartition("-")[2]
    if hashlib.sha256(path.read_bytes()).hexdigest()[:len(wanted)] != wanted:
        raise MissingNetwork(f"LPIPS ({net}): {path} is not torchvision's file (its sha256 does not begin with {wanted}); get "
                             f"{HOST}{name} again")
    return path


def lpips(x: Tensor, y: Tensor, net: str = "alex", draws: int = 1000, seed: int = 0) -> Score:
    """LPIPS of pairs of pictures (N, 3, H, W) in [0, 1], the mean over pairs. Raises `MissingNetwork`, ValueError."""
    trunk_of(net)
    a, b = _checked(x, y)
    values = torch.stack([learned_perceptual_image_patch_similarity(p[None], q[None], net_type=net, normalize=True)
                          for p, q in zip(a, b, strict=True)])
    return mean_score(f"LPIPS ({net})", f"v0.1, torchvision's {net}, {x.shape[-1]} px, pixels given in [0, 1] (torchmetrics)",
                      values.cpu().numpy(), "0 … about 1", "lower", draws, seed)


@torch.no_grad()
def pocket_distance(net, x: Tensor, y: Tensor, draws: int = 1000, seed: int = 0) -> Score:
    """The perceptual distance of pairs of pictures (N, 3, H, W) in [0, 1] by a lab's perceptual net, the mean over pairs: no
    LPIPS."""
    a, b = _checked(x, y)
    values = [perceptual_distance(net, p * 2 - 1, q * 2 - 1).cpu().numpy()
              for p, q in zip(a.split(100), b.split(100), strict=True)]
    return mean_score("pocket perceptual distance" if isinstance(net, VGGClassifier) else "perceptual distance",
                      f"{net.title}, unit weights, {x.shape[-1]} px",
                      np.concatenate(values), "0 … 4", "lower", draws, seed)


def _checked(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape != y.shape or x.ndim != 4 or x.shape[1] != 3 or not len(x):
        raise ValueError(f"x, y: {tuple(x.shape)} and {tuple(y.shape)} must both be (N, 3, H, W) with N ≥ 1")
    for name, pixels in (("x", x), ("y", y)):
        if not (pixels.min() >= -1e-4 and pixels.max() <= 1 + 1e-4):
            raise ValueError(f"{name}: pixels of {float(pixels.min()):.2f} … {float(pixels.max()):.2f} must lie in [0, 1]")
    return x.float().clamp(0, 1), y.float().clamp(0, 1)
