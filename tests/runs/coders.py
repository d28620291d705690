"""A small two-level coder and a lab that has it, in a module that workers of a cluster can import."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from labkit.models.codebook import nearest_code


class TwoLevels(nn.Module):
    """Codes of features at a quarter of the side (bottom) and at an eighth (top), by convolutions that a seed decides."""

    n_embed = 32

    def __init__(self, seed: int = 0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(6, 3, 4, 4, generator=rng) / 7)
        self.register_buffer("top", torch.randn(self.n_embed, 6, generator=rng))
        self.register_buffer("bottom", torch.randn(self.n_embed, 6, generator=rng))

    def grids(self, height: int, width: int):
        return (height // 8, width // 8), (height // 4, width // 4)

    def encode_codes(self, x):
        h = F.conv2d(x, self.weight, stride=4)
        return nearest_code(F.avg_pool2d(h, 2), self.top), nearest_code(h, self.bottom)


class CoderLab:
    """Stands for a lab; it leaves a mark in the folder that $MARKS names for every process that made one."""

    names = {"vqvae": "small"}

    def __init__(self, seed: int = 0):
        self.coder = TwoLevels(seed).requires_grad_(False)
        if folder := os.environ.get("MARKS"):
            Path(folder, str(os.getpid())).touch()

    def model(self, kind: str):
        assert kind == "vqvae"
        return self.coder


def make_lab() -> CoderLab:
    """What workers call."""
    return CoderLab()


def other_weights() -> CoderLab:
    """As on a cluster whose workers have another version: those of the process that asks are 0, of all others 1."""
    return CoderLab(0 if str(os.getpid()) == os.environ["ASKER"] else 1)
