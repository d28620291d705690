"""Drawings as sprites: an SVG is rasterised once and recoloured by arithmetic.

Alpha compositing is linear in every paint, so a drawing whose colourable part is painted with three tokens (main, dark,
light) is `base + w_main·main + w_dark·dark + w_light·light`: four rasterisations give the coefficients, and any colour
follows without another. The line art is the same drawing with every fill white and every stroke dark.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import resvg_py
from PIL import Image

from labkit.data import data_path
from labkit.world.words import variants, words

SIZE = 160  # pixels of a sprite's 128-unit box
BACKGROUND_ZOOMS = (290, 310, 330)  # pixels of a background's 160-unit box; 256 of them are shown
TOKENS = ("#aa0001", "#aa0002", "#aa0003")
INK = "#222222"


def rasterise(svg: str, size: int) -> np.ndarray:
    """SVG text → premultiplied RGBA, float32 in [0, 255], shape (size, size, 4)."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True))
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.float32).copy()
    rgba[..., :3] *= rgba[..., 3:] / 255.0
    return rgba


def line_art(svg: str) -> str:
    """The same drawing as line art: decorative shading dropped, fills white, strokes dark."""
    svg = re.sub(r'<[^>]*class="shade"[^>]*/>', "", svg)
    svg = re.sub(r'\s(?:fill-opacity|stroke-opacity|opacity)="[^"]*"', "", svg)
    svg = re.sub(r'\bfill="(?!none)[^"]*"', 'fill="#ffffff"', svg)
    return re.sub(r'\bstroke="(?!none)[^"]*"', f'stroke="{INK}"', svg)


@dataclass(frozen=True)
class Sprite:
    """One drawing: `base` (SIZE, SIZE, 4) premultiplied with the tokens black, `weights` (SIZE, SIZE, 3) in [0, 1] of
    main, dark and light, `lines` (SIZE, SIZE) premultiplied line art, `natural` colour or None."""

    base: np.ndarray
    weights: np.ndarray
    lines: np.ndarray
    natural: str | None

    def paint(self, rgb: tuple[int, int, int]) -> np.ndarray:
        """Premultiplied RGBA uint8 (SIZE, SIZE, 4) with the colourable part in shades of `rgb`."""
        main = np.asarray(rgb, dtype=np.float32)
        light = main + (255.0 - main) * 0.45
        # A dark shade of black would vanish into the outline: shade black upwards instead.
        dark = main * 0.68 if main.max() > 70 else main * 1.6
        out = self.base.astype(np.uint8)
        shades = self.weights.reshape(-1, 3) @ np.stack([main, dark, light])
        # Base and shades never sum to more than the alpha: no clipping is needed beyond rounding's half.
        out[..., :3] = np.minimum(self.base[..., :3] + shades.reshape(*out.shape[:2], 3), 255)
        return out


@cache
def sprite(subject: str, variant: int) -> Sprite:
    """The sprite of a subject's drawing number `variant`."""
    svg = variants()[subject][variant].read_text(encoding="utf-8")
    found = re.search(r'data-natural="([^"]*)"', svg)
    natural = found.group(1) if found else "none"
    if natural != "none" and natural not in words()["colours"]:
        raise ValueError(f"{subject}: data-natural={natural!r} is not a colour of the world")

    def paint(*colours: str) -> np.ndarray:
        text = svg
        for token, colour in zip(TOKENS, colours, strict=True):
            text = text.replace(token, colour)
        return rasterise(text, SIZE)

    black, white = "#000000", "#ffffff"
    base = paint(black, black, black)
    one_white = [(white, black, black), (black, white, black), (black, black, white)]
    weights = np.stack([(paint(*c) - base)[..., 0] / 255.0 for c in one_white], axis=-1)
    lines = rasterise(line_art(svg), SIZE)
    ink = np.clip(lines[..., 0], 0, 255).astype(np.uint8)
    return Sprite(base, np.clip(weights, 0, 1), ink, natural if natural != "none" else None)


@cache
def background(setting: str, variant: int, zoom: int, flip: bool) -> tuple[np.ndarray, np.ndarray]:
    """A setting's colours (n, n, 3) uint8 and its line art (n, n) uint8, a 160-unit box at n pixels."""
    svg = settings()[setting][variant].read_text(encoding="utf-8")
    wide = svg.replace('viewBox="0 0 128 128"', 'viewBox="-16 -16 160 160"')
    n = BACKGROUND_ZOOMS[zoom]
    colour, lines = rasterise(wide, n)[..., :3].astype(np.uint8), rasterise(line_art(wide), n)
    paper = np.clip(lines[..., 0] + 255 - lines[..., 3], 0, 255).astype(np.uint8)
    if flip:
        colour, paper = colour[:, ::-1], paper[:, ::-1]
    return colour, paper


@lru_cache(maxsize=1)
def settings() -> dict[str, list]:
    """Setting → its SVG files; `plain` has none, it is made by the renderer."""
    root = data_path("world", "settings")
    return {s: sorted(root.glob(f"{s}_[0-9].svg")) for s in words()["settings"]}


def natural_colour(subject: str) -> str | None:
    """The colour a subject has by nature (of its first drawing), None if it has no colourable part."""
    return sprite(subject, 0).natural
