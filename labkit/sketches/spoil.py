"""The same sketch thin, thick, broken, wobbly, inverted, shifted and on lined paper: what does each do to the result?

    for name, picture in spoiled(sketch, seed=0).items(): …
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from labkit.image import to_rgb

PAPER_LINES = 8  # pixels from one ruled line to the next, at 64 pixels; more at more


def spoiled(sketch: Image.Image, seed: int = 0) -> dict[str, Image.Image]:
    """Name → the sketch, dark lines on white, spoiled in one way each; "as drawn" is among them. Same size, RGB."""
    x = np.asarray(to_rgb(sketch).convert("L"), np.float32) / 255
    rng = np.random.default_rng(seed)
    ways = {"as drawn": x, "thin": thin(x), "thick": ndimage.minimum_filter(x, 3), "broken": broken(x, rng),
            "wobbly": wobbly(x, rng), "inverted": 1 - x, "shifted": shifted(x), "lined paper": np.minimum(x, lined(x.shape))}
    return {name: Image.fromarray((np.clip(v, 0, 1) * 255).round().astype(np.uint8)).convert("RGB") for name, v in ways.items()}


def thin(x: np.ndarray) -> np.ndarray:
    """Lines (H, W) a pixel thinner; what was only a pixel wide is paler instead."""
    return (x + ndimage.maximum_filter(x, 2)) / 2


def broken(x: np.ndarray, rng: np.random.Generator, share: float = 0.3) -> np.ndarray:
    """Lines with gaps: a share of the sheet, in spots as wide as a tenth of it, is wiped."""
    spots = ndimage.gaussian_filter(rng.standard_normal(x.shape), min(x.shape) / 24, mode="wrap")
    return np.where(spots > np.quantile(spots, 1 - share), 1, x)


def wobbly(x: np.ndarray, rng: np.random.Generator, reach: float = 0.03) -> np.ndarray:
    """Lines of an unsteady hand: each point moved by about `reach` of the sheet, smoothly."""
    side = min(x.shape)
    moves = [ndimage.gaussian_filter(rng.standard_normal(x.shape), side / 12, mode="wrap") for _ in range(2)]
    places = [axis + reach * side * move / move.std() for axis, move in zip(np.indices(x.shape), moves, strict=True)]
    return ndimage.map_coordinates(x, places, order=1, mode="constant", cval=1)


def shifted(x: np.ndarray, by: float = 0.12) -> np.ndarray:
    """The sketch moved to the right and down by a share of the sheet."""
    return ndimage.shift(x, [by * n for n in x.shape], order=1, mode="constant", cval=1)


def lined(shape: tuple[int, int]) -> np.ndarray:
    """Ruled paper (H, W): pale lines across."""
    rows = np.arange(shape[0]) % max(2, round(PAPER_LINES * shape[0] / 64)) == 0
    return np.where(rows[:, None], 0.75, 1.0) * np.ones(shape)
