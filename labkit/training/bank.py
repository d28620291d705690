"""A bank of rendered scenes: drawing costs some milliseconds a scene, so a training renders its scenes once.

`scene_bank("train", 100_000)` renders on all cores, keeps the pixels in a memory-mapped file named by the world's hash
(a changed world never meets old pixels) and returns them; the ground truth is sampled again from the seed, which is cheap.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed

from labkit.spec import SpecError
from labkit.text import plain
from labkit.world import classes, render, render_sketch, sample_scene, world_hash

CHUNK = 500
FLAT = {"style": "flat", "two": False}  # scenes that show little but what a sentence says: a bank's `fixed`
POSED = {**FLAT, "posed": True}  # the same, with nothing left to chance that has no name


class SceneBank:
    """`pixels` (n, 64, 64, 3) uint8 of the first n scenes of a split, `index` which of them are the bank's pictures, and
    `scene(k)`, the ground truth of picture k."""

    def __init__(self, pixels: np.ndarray, split: str, **fixed):
        self.pixels, self.split, self.fixed, self._scenes = pixels, split, fixed, {}
        self.index = np.arange(len(pixels))

    def __len__(self) -> int:
        return len(self.index)

    def only(self, styles: Sequence[str]) -> SceneBank:
        """Those of its pictures that are of one subject in one of these styles. Raises `SpecError` where there are none."""
        found = [k for k in range(len(self)) if len((scene := self.scene(k)).subjects) == 1 and scene.style in styles]
        if not found:
            raise SpecError(f"scenes: none of {len(self)} is of one subject in the style {' or '.join(styles)}; use more")
        part = copy(self)
        part.index = self.index[found]
        return part

    def beside(self, name: str) -> Path:
        """Where to keep what is made of all its pictures: beside their own file."""
        home = Path(self.pixels.filename)
        return home.with_name(f"{home.stem}_{name}")

    def scene(self, k: int):
        """The scene of picture k."""
        seed = int(self.index[k])
        if seed not in self._scenes:
            self._scenes[seed] = sample_scene(seed, self.split, **self.fixed)
        return self._scenes[seed]

    def images(self, index) -> torch.Tensor:
        """Pictures as (B, 3, 64, 64) float32 in [-1, 1]."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[self.index[np.asarray(index)]]))
        return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def targets(self, index) -> dict[str, torch.Tensor]:
        """Per attribute the target distribution (B, classes): two subjects share the mass; rows of zeros where the
        attribute does not exist (a colour where nothing can be coloured)."""
        names = {a: {c: j for j, c in enumerate(classes(a))} for a in ("subject", "colour", "setting", "style")}
        out = {a: torch.zeros(len(index), len(c)) for a, c in names.items()}
        for row, k in enumerate(index):
            scene = self.scene(k)
            for placed in scene.subjects:
                out["subject"][row, names["subject"][placed.subject]] += 1 / len(scene.subjects)
                if placed.colour:
                    out["colour"][row, names["colour"][placed.colour]] += 1
            out["setting"][row, names["setting"][scene.setting]] = 1
            out["style"][row, names["style"][scene.style]] = 1
        out["colour"] /= out["colour"].sum(1, keepdim=True).clamp_min(1)
        return out


def picture_bank(path: str | Path) -> SceneBank:
    """Pictures that somebody else has put into an array file, (n, 64, 64, 3) uint8: a bank without ground truth. Raises
    `SpecError` on what is no such file."""
    where = plain(path, 200)
    try:
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise SpecError(f"pictures: {where} cannot be read ({plain(error)}); give a file that numpy.save wrote") from None
    if pixels.ndim != 4 or pixels.shape[1:] != (64, 64, 3) or pixels.dtype != np.uint8 or not len(pixels):
        raise SpecError(f"pictures: {where} holds {pixels.dtype} {pixels.shape}; it must be uint8 (n, 64, 64, 3), n ≥ 1")
    return SceneBank(pixels, "none")


def scene_bank(split: str, n: int, folder: str | Path | None = None, sketched: bool = False, drawn_as: str = "",
               **fixed) -> SceneBank:
    """The first `n` scenes of a split, rendered once into `folder` (default `$LABKIT_BANK` or `runs/bank`). `fixed` are
    attributes that every scene shall have, such as `style="flat", two=False` (see `sample_scene`); `sketched`: not the pictures
    but the line art of their subjects; `drawn_as`: the pictures in this style, whatever the scene's own is."""
    folder = Path(folder or os.environ.get("LABKIT_BANK") or "runs/bank")
    kind = "".join(f"_{name}-{value}" for name, value in sorted(fixed.items()))
    path = folder / (f"{world_hash()}_{split}{kind}{'_sketched' * sketched}"
                    f"{f'_as-{drawn_as}' * bool(drawn_as)}_{n}.npy")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(n, 64, 64, 3))
        starts = range(0, n, CHUNK)
        chunks = Parallel(n_jobs=-1 if n > CHUNK else 1, return_as="generator")(
            delayed(_draw)(split, k, min(k + CHUNK, n), fixed, sketched, drawn_as) for k in starts)
        for start, pixels in zip(starts, chunks, strict=True):
            out[start:start + len(pixels)] = pixels
        out.flush()
        del out
        part.replace(path)
    return SceneBank(np.load(path, mmap_mode="r"), split, **fixed)


def _draw(split: str, start: int, stop: int, fixed: dict, sketched: bool, drawn_as: str) -> np.ndarray:
    scenes = [sample_scene(k, split, **fixed) for k in range(start, stop)]
    if drawn_as:
        scenes = [replace(scene, style=drawn_as) for scene in scenes]
    if not sketched:
        return np.stack([render(scene) for scene in scenes])
    return np.stack([render_sketch(scene, alone=True) for scene in scenes])[..., None].repeat(3, axis=3)
