"""Rendering: scene → 64 × 64 picture, drawn at 256 and box-filtered down; and its line-art sketch.

Colours, line art and subject mask are composed together, then the style (see `styles.py`) makes the picture of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops

from labkit.world.scene import DARK, SPLITS, Placed, Scene
from labkit.world.sprites import SIZE, background, sprite
from labkit.world.styles import STYLES

CANVAS = 256
LIGHT_GAINS = {"sunlight": (1.10, 1.04, 0.84), "cool": (0.84, 0.95, 1.12), "warm": (1.08, 0.96, 0.86)}


def compose(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (256, 256, 3), line art (256, 256; 0 = ink) and subject mask (256, 256; 255 inside), all uint8."""
    rng = _rng(scene, 0)
    colour, lines = _backdrop(scene, rng)
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    order = list(scene.subjects[::-1])  # the first subject stands in front …
    if scene.relation == "in" and scene.subjects[-1].subject == "cage":
        order.reverse()  # … except behind the bars of a cage
    for placed in order:
        _paste(placed, colour, lines, mask, rim=scene.setting in DARK)
    return colour, lines, mask


def render(scene: Scene, size: int = 64) -> np.ndarray:
    """The picture, (size, size, 3) uint8; `size` divides 256."""
    colour, lines, mask = compose(scene)
    out = STYLES[scene.style](colour, lines, mask, _rng(scene, 1))
    if scene.light:
        out = np.clip(out * np.asarray(LIGHT_GAINS[scene.light], np.float32), 0, 255).astype(np.uint8)
    return _shrink(Image.fromarray(out), size)


def render_sketch(scene: Scene, size: int = 64, alone: bool = False) -> np.ndarray:
    """The scene's line art, (size, size) uint8, dark lines on white; `alone`: of its subjects on an empty sheet, as the
    published sets of sketches have them."""
    return _shrink(Image.fromarray(compose(replace(scene, setting="plain") if alone else scene)[1]), size)


def _rng(scene: Scene, stage: int) -> np.random.Generator:
    return np.random.default_rng([7, SPLITS[scene.split], scene.seed, stage])


def _shrink(image: Image.Image, size: int) -> np.ndarray:
    if CANVAS % size:
        raise ValueError(f"size={size} does not divide {CANVAS}")
    return np.asarray(image.reduce(CANVAS // size) if size < CANVAS else image).copy()


def _backdrop(scene: Scene, rng) -> tuple[np.ndarray, np.ndarray]:
    gain = rng.uniform(0.94, 1.05)
    if scene.setting == "plain":
        # A pale colour of any hue, a little darker towards the ground.
        tint = 255 - rng.uniform(0, 1, 3) * rng.uniform(10, 75)
        fall = np.linspace(1.0, rng.uniform(0.86, 1.0), CANVAS, dtype=np.float32)
        colour = np.broadcast_to((fall[:, None, None] * tint.astype(np.float32)), (CANVAS, CANVAS, 3))
        return np.clip(colour * gain, 0, 255).astype(np.uint8), np.full((CANVAS, CANVAS), 255, np.uint8)
    number, zoom, flip = scene.background
    colour, lines = background(scene.setting, number, zoom, flip)
    spare = colour.shape[0] - CANVAS
    x, y = (int(v) for v in rng.integers(0, spare + 1, 2))
    table = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8).tolist()
    window = (slice(y, y + CANVAS), slice(x, x + CANVAS))
    shown = Image.fromarray(np.ascontiguousarray(colour[window])).point(table * 3)
    return np.array(shown), lines[window].copy()


def _paste(placed: Placed, colour, lines, mask, rim: bool) -> None:
    """Composite one subject in place."""
    drawing = sprite(placed.subject, placed.variant)
    side = placed.size * CANVAS
    turn = np.deg2rad(placed.angle)
    window, place = _window(placed, side * (abs(np.cos(turn)) + abs(np.sin(turn))) * (1.07 if rim else 1.0))
    if window is None:
        return
    paint = drawing.paint(placed.rgb)
    if rim:  # a pale rim light: dark subjects stay visible in dark settings
        halo = _transform(Image.fromarray(paint[..., 3]), placed, side * 1.07, window)
        halo = (halo.astype(np.uint16) * 110 // 255)[..., None]
        colour[place] = ((colour[place] * (255 - halo) + np.uint16(215) * halo) // 255).astype(np.uint8)
    # Paint and alpha are four plain bands to interpolate, which Pillow calls "CMYK".
    rgba = _transform(Image.fromarray(paint, "CMYK"), placed, side, window)
    ink = _transform(Image.fromarray(drawing.lines), placed, side, window)
    alpha = rgba[..., 3]
    colour[place] = _over(rgba[..., :3], colour[place], np.repeat(alpha[..., None], 3, axis=2))
    lines[place] = _over(ink, lines[place], alpha)
    mask[place] = np.maximum(mask[place], alpha)


def _over(premultiplied: np.ndarray, below: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Porter-Duff "over" of a premultiplied uint8 layer: layer + below · (1 − alpha)."""
    layer, under = (Image.fromarray(np.ascontiguousarray(a)) for a in (premultiplied, below))
    return np.asarray(ImageChops.add(layer, ImageChops.multiply(under, Image.fromarray(255 - alpha))))


def _window(placed: Placed, side: float):
    """The canvas window (x0, y0, x1, y1) that the subject can touch, and its slices."""
    cx, cy, h = placed.x * CANVAS, placed.y * CANVAS, side / 2
    x0, y0 = max(0, int(cx - h)), max(0, int(cy - h))
    x1, y1 = min(CANVAS, int(cx + h) + 1), min(CANVAS, int(cy + h) + 1)
    if x1 <= x0 or y1 <= y0:
        return None, None
    return (x0, y0, x1, y1), (slice(y0, y1), slice(x0, x1))


def _transform(image: Image.Image, placed: Placed, side: float, window) -> np.ndarray:
    """Scale, turn and mirror a sprite into the window: (h, w) or (h, w, 4) uint8."""
    x0, y0, x1, y1 = window
    k, turn = SIZE / side, np.deg2rad(placed.angle)
    cos, sin = k * np.cos(turn), k * np.sin(turn)
    dx, dy = x0 - placed.x * CANVAS, y0 - placed.y * CANVAS
    row_u = [cos, sin, cos * dx + sin * dy + SIZE / 2]
    row_v = [-sin, cos, -sin * dx + cos * dy + SIZE / 2]
    if placed.flip:
        row_u = [-row_u[0], -row_u[1], SIZE - row_u[2]]
    out = image.transform((x1 - x0, y1 - y0), Image.Transform.AFFINE, (*row_u, *row_v), Image.Resampling.BILINEAR)
    return np.asarray(out)
