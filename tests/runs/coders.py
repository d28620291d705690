"""A small two-level coder and a lab that has it, in a module that workers of a cluster can import."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from labkit.models.codebook import nearest_code
from labkit.runs import extraction


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
    """Stands for a lab; it leaves a mark in the folder `marks` for every process that made one."""

    names = {"vqvae": "small"}

    def __init__(self, seed: int = 0, marks: str = ""):
        self.coder = TwoLevels(seed).requires_grad_(False)
        if marks:
            Path(marks, str(os.getpid())).touch()

    def model(self, kind: str):
        assert kind == "vqvae"
        return self.coder


def make_lab() -> CoderLab:
    """What workers call."""
    return CoderLab()


def other_weights(asker: int) -> CoderLab:
    """As on a cluster whose workers have another version than the process that asks."""
    return CoderLab(0 if os.getpid() == asker else 1)


class Slow(CoderLab):
    """A coder that takes its time and writes down how many pictures it was given each time."""

    def __init__(self, log: str):
        super().__init__()

        def encode(x):
            time.sleep(0.02)
            with open(log, "a") as file:
                file.write(f"{len(x)}\n")
            return TwoLevels.encode_codes(self.coder, x)

        self.coder.encode_codes = encode


if __name__ == "__main__":  # pixels, store, log: encodes until it is killed
    extraction.SECONDS = 0.0  # each batch is committed
    pictures = np.load(sys.argv[1])
    ids = [f"scene-{k}" for k in range(len(pictures))]
    extraction.extract(pictures, ids, sys.argv[2], partial(Slow, sys.argv[3]), batch=2, n_jobs=1)
