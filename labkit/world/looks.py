"""A look that no model has met: the world's fruit and vegetables as a market's photographs of them, for fine-tuning.

A scene is composed as ever (`labkit.world.render.compose`) and then goes another way than the nine styles:

    outlines    every point is displaced by a smooth field u(y, x): contours wobble, and the ink on them is bleached
    palette     colours are mixed by a matrix and faded, as under a market's lamps
    texture     skin of two grains, and a cloth of threads for a background instead of the setting
    lighting    a slope of light from a random side, and the shadow that it throws

What is in the picture, and its colour class, stay as the scene says. Nothing trains on this look but what is asked to:
`labkit.pairs.labelled.world_set` draws a labelled set of it, in splits, without held-out combinations.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from labkit.world.render import CANVAS, compose
from labkit.world.scene import SPLITS, Scene, held_out, sample_scene

GROCERIES = ("apple", "banana", "carrot", "grapes", "mango", "melon", "mushroom")
WOBBLE = 9.0  # px of 256 that a contour wanders
# Rows give R, G, B of the look: a warm lamp that leaks between channels.
PALETTE = np.float32([[0.62, 0.30, 0.06], [0.16, 0.60, 0.10], [0.14, 0.26, 0.44]])
CLOTHS = np.float32([[150, 120, 92], [96, 110, 124], [168, 156, 132], [112, 92, 110], [84, 104, 84]])


def grocery(subject: str, number: int, split: str = "train") -> Scene:
    """Scene `number` of a subject alone, on plain ground, in a colour that the combination may have in training: half of them
    in what nature gives it, where it can be coloured. `split`: train, val or test. Raises ValueError on another subject."""
    if subject not in GROCERIES:
        raise ValueError(f"subject={subject!r} is none of {', '.join(GROCERIES)}")
    seed = 100_003 * number + 1009 * GROCERIES.index(subject) + 17
    while True:
        scene = sample_scene(seed, split, subject=subject, setting="plain", style="flat", two=False)
        placed = scene.subjects[0]
        if not held_out(placed.subject, placed.colour, scene.setting):
            return scene
        seed += 1


def render_look(scene: Scene, size: int = 64) -> np.ndarray:
    """The scene in this look, (size, size, 3) uint8; `size` divides 256."""
    rng = np.random.default_rng([11, SPLITS[scene.split], scene.seed])
    colour, lines, mask = compose(scene)
    at = _displaced(rng)
    colour, lines, mask = (layer.reshape(CANVAS * CANVAS, -1)[at] for layer in (colour, lines, mask))
    inside = mask.astype(np.float32) / 255
    ink = (255 - lines.astype(np.float32)) / 255
    skin = colour.astype(np.float32) @ PALETTE.T
    skin += ink * (0.55 * (214 - skin))  # pale contours where the drawings have dark ones
    skin *= 1 + 0.16 * _grain(rng, 9) + 0.10 * _grain(rng, 3)
    cloth = CLOTHS[rng.integers(len(CLOTHS))] * (1 + 0.13 * _threads(rng) + 0.10 * _grain(rng, 24))
    turn = rng.uniform(0, 2 * np.pi)
    light = np.float32([np.cos(turn), np.sin(turn)])
    shadow = _shadow(inside[..., 0], light)
    out = cloth * (1 - 0.55 * shadow[..., None]) * (1 - inside) + skin * inside
    y, x = np.mgrid[-1:1:CANVAS * 1j, -1:1:CANVAS * 1j].astype(np.float32)
    slope = 0.92 - 0.42 * (light[0] * x + light[1] * y)
    out = np.clip(out * slope[..., None] + 12, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(out).reduce(CANVAS // size)).copy()


def _displaced(rng: np.random.Generator) -> np.ndarray:
    """Where each pixel comes from, (256, 256) indices into the flat picture."""
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    shift = [np.zeros_like(x), np.zeros_like(x)]
    for axis in (0, 1):
        for waves, height in ((2, 0.8), (4, 0.6), (8, 0.45)):
            a, b = rng.uniform(-1, 1, 2) * waves * 2 * np.pi / CANVAS
            shift[axis] += height * np.sin(a * x + b * y + rng.uniform(0, 2 * np.pi), dtype=np.float32)
    row = np.clip(y + WOBBLE * shift[0], 0, CANVAS - 1).astype(np.intp)
    column = np.clip(x + WOBBLE * shift[1], 0, CANVAS - 1).astype(np.intp)
    return row * CANVAS + column


def _grain(rng: np.random.Generator, cell: int) -> np.ndarray:
    """Noise (256, 256, 1) of about unit deviation whose grains are `cell` pixels wide."""
    small = rng.normal(0, 80, (CANVAS // cell + 2,) * 2).clip(-127, 127) + 128
    large = Image.fromarray(small.astype(np.uint8)).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    return ((np.asarray(large, np.float32) - 128) / 64)[..., None]


def _threads(rng: np.random.Generator) -> np.ndarray:
    """A weave (256, 256, 1) in [-1, 1]."""
    period, y, x = rng.uniform(14, 26), *_rows_and_columns()
    return (np.sin(x * 2 * np.pi / period) * np.sin(y * 2 * np.pi / period))[..., None]


@cache
def _rows_and_columns() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    return y, x


def _shadow(inside: np.ndarray, light: np.ndarray) -> np.ndarray:
    """The subject's shadow (256, 256) in [0, 1], thrown away from the light and soft."""
    moved = np.roll(inside, (int(22 * light[1]), int(22 * light[0])), (0, 1))
    return np.asarray(Image.fromarray((moved * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(7)), np.float32) / 255
