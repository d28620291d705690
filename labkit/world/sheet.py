"""A contact sheet of the picture world: scenes of consecutive seeds, or their sketches, with their captions if wanted."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from labkit.image import contact_sheet, grid
from labkit.world import caption, render, render_sketch, sample_scene

TILE = 128


def world_sheet(n: int = 48, seed: int = 0, split: str = "train", *, sketch: bool = False, captions: bool = False,
                columns: int | None = None, tile: int = TILE, **fixed) -> Image.Image:
    """The scenes of seeds `seed` … `seed + n - 1` of a split, row by row.

    `fixed` is what `sample_scene` takes: subject, colour, setting, style, two. `tile` is the side of a picture in the
    sheet, in px. Raises `ValueError` for a name that is not of this world.
    """
    if n < 1:
        raise ValueError(f"n: must be at least 1; got {n}")
    scenes = [sample_scene(seed + k, split, **fixed) for k in range(n)]
    pictures = [Image.fromarray((render_sketch if sketch else render)(scene)) for scene in scenes]
    columns = columns or min(n, max(1, round(math.sqrt(n * 1.5))))
    if captions:
        texts = [caption(scene, np.random.default_rng([seed, k]), full=True) for k, scene in enumerate(scenes)]
        return contact_sheet(pictures, texts, columns, tile=tile)
    factor = max(1, tile // 64)
    large = [p.resize((p.width * factor, p.height * factor), Image.Resampling.NEAREST) for p in pictures]
    return grid(large, columns)
