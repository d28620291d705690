"""The picture world's fruit and vegetables in a look that CLIP has not seen, labelled: what fine-tuning starts with, offline.

    data = world_set(40, size=64)               # 7 classes, 40 pictures each in train, a quarter of that in the others
    write_world_set("out/groceries", 40)        # the same as files: train|validation|test/CLASS/0000.png
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from labkit.files import writable, write_atomically
from labkit.image.convert import png_bytes
from labkit.pairs.labelled import LabelledSet, Part
from labkit.pairs.pair import PairsError
from labkit.world.looks import GROCERIES, grocery, render_look

OF_WORLD = {"train": "train", "validation": "val", "test": "test"}
SIDES = (64, 128, 256)  # that the world is drawn at


def _many(split: str, n: int) -> int:
    return n if split == "train" else max(2, n // 4)


@lru_cache(maxsize=4)
def world_set(n: int = 40, size: int = 64) -> LabelledSet:
    """`n` pictures a class to learn from, a quarter of that (two at least) to validate and to test on, at `size` × `size`."""
    if not 1 <= n <= 10_000:
        raise PairsError(f"n: must be 1 to 10,000 pictures a class; got {n}")
    parts = {}
    for split in OF_WORLD:
        pixels = [_drawn(subject, k, split, size) for subject in GROCERIES for k in range(_many(split, n))]
        labels = np.repeat(np.arange(len(GROCERIES)), _many(split, n))
        names = tuple(f"{split}/{GROCERIES[label]}/{k % _many(split, n):04d}.png" for k, label in enumerate(labels))
        parts[split] = Part(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), labels, names)
    return LabelledSet(GROCERIES, **parts)


def _drawn(subject: str, k: int, split: str, size: int) -> np.ndarray:
    side = next((side for side in SIDES if side >= size), SIDES[-1])
    pixels = render_look(grocery(subject, k, OF_WORLD[split]), side)
    return pixels if side == size else np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def write_world_set(folder: str | os.PathLike, n: int = 40, size: int = 64,
                    done: Callable[[int, int], None] = lambda made, of: None) -> int:
    """The same as files, in Kaggle's layout; how many there are. Raises `PairsError`, `FileError`."""
    folder = Path(folder)
    if not 1 <= n <= 10_000:
        raise PairsError(f"n: must be 1 to 10,000 pictures a class; got {n}")
    writable(folder / "train" / GROCERIES[0] / "0000.png")
    jobs = [(split, subject, k) for split in OF_WORLD for subject in GROCERIES for k in range(_many(split, n))]
    for made, (split, subject, k) in enumerate(jobs):
        picture = Image.fromarray(_drawn(subject, k, split, size))
        write_atomically(folder / split / subject / f"{k:04d}.png", png_bytes(picture))
        done(made + 1, len(jobs))
    return len(jobs)
