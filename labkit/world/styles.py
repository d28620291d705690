"""The nine picture styles of the picture world, as fast image filters.

Every style is one function `style(colour, lines, mask, rng) -> out`:

    colour  (256, 256, 3) uint8  the flat-coloured scene, RGB
    lines   (256, 256)    uint8  its line art on white (0 ink, 255 paper, anti-aliased)
    mask    (256, 256)    uint8  coverage by the subjects (255 inside a subject)
    rng     numpy Generator      the only source of chance: equal states give equal pictures
    out     (256, 256, 3) uint8  a new array; the inputs are never written to

A data set calls these once a picture, so the costly geometry (facets, dabs, tiles, paper) and all functions
of a colour alone are made once, in `labkit.world.style_maps`; a call takes a random crop of a random map,
flips it, and gathers colours through it. Strengths are chosen so that style, subject, colour and setting can
all still be told when the picture has been box-filtered to 64 x 64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from labkit.world import style_maps as maps
from labkit.world.style_maps import BANK, BIG, SIZE, index, pack, unpack

Array = np.ndarray
Style = Callable[[Array, Array, Array, np.random.Generator], Array]


def _shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Box filter by a whole factor; uint8 in and out."""
    return np.asarray(Image.fromarray(image).reduce(factor))


def _blur(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _enlarge(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _thicken(lines: np.ndarray, reach: int) -> np.ndarray:
    """Ink grown by `reach` pixels to every side along both axes (a minimum filter)."""
    out = lines
    for _ in range(reach):
        low = out.copy()
        np.minimum(low[1:], out[:-1], out=low[1:])
        np.minimum(low[:-1], out[1:], out=low[:-1])
        out = low.copy()
        np.minimum(out[:, 1:], low[:, :-1], out=out[:, 1:])
        np.minimum(out[:, :-1], low[:, 1:], out=out[:, :-1])
    return out


def _times(colour: np.ndarray, factor: np.ndarray, haze: np.ndarray | int = 0) -> np.ndarray:
    """Colour (H, W, 3) uint8 times factor (H, W) uint8 (128 means 1), plus grey haze (H, W); saturating."""
    product = colour.astype(np.uint16)
    product *= factor[..., None]
    product >>= 7
    product += np.asarray(haze, np.uint16)[..., None]
    return np.minimum(product, 255, out=product).astype(np.uint8)


class _Window:
    """A random crop and flip of bank maps, the same for every map (and for points) that one call looks at."""

    def __init__(self, rng: np.random.Generator) -> None:
        spare = BIG - SIZE + 1
        self.item, self.y, self.x, self.flip = (int(v) for v in rng.integers((BANK, spare, spare, 4)))

    def map(self, big: np.ndarray) -> np.ndarray:
        cut = big[self.y : self.y + SIZE, self.x : self.x + SIZE]
        return cut[:: -1 if self.flip & 1 else 1, :: -1 if self.flip & 2 else 1]

    def points(self, yx: np.ndarray) -> np.ndarray:
        """(n, 2) positions in the bank map -> whole positions in the picture, held inside it."""
        out = yx - (self.y, self.x)
        out = np.where([bool(self.flip & 1), bool(self.flip & 2)], SIZE - 1 - out, out)
        return np.clip(out, 0, SIZE - 1).astype(np.intp)


def flat(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Flat illustration: the scene as it was drawn."""
    return colour.copy()


def comic(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Comic ink: thick black contours, few saturated colours, halftone dots in shadow and background."""
    table, screen = maps.comic_tables()
    tone = np.maximum(np.maximum(colour[..., 0], colour[..., 1]), colour[..., 2])
    # In the background the dots grow with darkness and never vanish; on a subject only shadows are dotted.
    room = np.where(mask > 127, np.minimum(tone, 180) + 75, 150 + (tone >> 3)).astype(np.uint8)
    dots = _Window(rng).map(screen) > room
    words = table[index(colour) | (dots.astype(np.intp) << 15)]
    # The silhouette gets the broad brush, drawn outwards so that inner detail is not clogged; the contours of
    # the background stay fine, or they would swallow its stars and flakes.
    ring = 255 - np.minimum(~_thicken(~mask, 3), ~mask)
    ink = np.minimum(np.where(mask > 0, _thicken(lines, 1), lines), ring)
    return _times(unpack(words), np.clip(ink, 64, 192) - 64)


def pencil(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Pencil sketch: graphite lines and hatching by tone on paper, with a muted tint of the scene."""
    tints, graphite = maps.pencil_tables()
    window = _Window(rng)
    hatch, grain = (window.map(m) for m in maps.hatching(window.item))
    words = tints[index(colour) | ((mask > 127).astype(np.intp) << 15)]
    tone = (colour[..., 0] >> 2) + (colour[..., 1] >> 1) + (colour[..., 2] >> 2)
    shade = graphite[(tone.astype(np.intp) << 8) | hatch]
    stroke = _thicken(lines, 1)
    stroke = (stroke >> 1) + (stroke >> 5) + 24
    return _times(unpack(words), np.minimum(np.minimum(shade, grain), stroke))


def watercolour(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Watercolour: pale washes that bleed, darker pigment where a wash ends, grain and white margins."""
    source, strength, margin = maps.washes(int(rng.integers(BANK)))
    flip = int(rng.integers(4))
    turn = (slice(None, None, -1 if flip & 1 else 1), slice(None, None, -1 if flip & 2 else 1))
    # A maximum filter lifts the thin dark outlines off the colours; they come back as a faint line below.
    lifted = ~_thicken(~_shrink(colour, 2), 1)
    wash = _blur(unpack(pack(lifted)[turn].ravel()[source][turn]), 0.8)
    tone = wash[..., 1].astype(np.float32)
    rim = np.abs(tone - _blur(wash[..., 1], 3.0))
    line = (255 - _shrink(lines, 2)[turn].ravel()[source][turn]) * np.float32(0.45 / 255)
    load = (strength[turn] + rim * 0.011) * margin[turn]
    pigment = 255 - wash.astype(np.float32)
    pigment = pigment * load[..., None] + ((200 - pigment) * (line * margin[turn])[..., None]).clip(0)
    return _enlarge(np.clip((253, 251, 244) - pigment, 0, 255).astype(np.uint8))


def oil(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Impressionist oil: oriented dabs, each of one jittered colour in relief; finer on the subject."""
    window, small = _Window(rng), _shrink(colour, 4)
    layers = []
    for step, length, width in ((7.0, 9.5, 4.2), (4.2, 5.6, 2.8)):
        centres, code = maps.dabs(window.item, step, length, width)
        y, x = window.points(centres).T // 4
        paint = small[y, x].astype(np.float32)
        jitter = rng.normal(0, 11, (len(paint), 1)) + rng.normal(0, 8, paint.shape)
        paint = (paint - 128) * 1.08 + 134 + jitter
        shades = paint[:, None] * np.linspace(0.74, 1.20, 8, dtype=np.float32)[:, None]
        layers.append(pack(np.clip(shades, 0, 255).astype(np.uint8)).ravel()[window.map(code)])
    return unpack(np.where(mask > 127, layers[1], layers[0]))


def cubist(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Cubist facets: each cell shows its own displaced piece of the picture in its own gradient of light."""
    window, pad = _Window(rng), 16
    count, label, light = maps.facets(window.item)
    wide = SIZE + 2 * pad
    padded = np.pad(pack(colour), pad, mode="edge").ravel()
    shift = rng.integers(-10, 11, (count, 2))
    start = np.arange(pad, pad + SIZE)
    at = (shift[:, 0] * wide + shift[:, 1])[window.map(label)]
    at += start[:, None] * wide + start
    light = window.map(light)
    return _times(unpack(padded[at]), light, light >> 3)  # the haze shows the facets of a black scene, too


def mosaic(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Mosaic: tiles of one mean colour each, bevelled, set in pale grout."""
    window = _Window(rng)
    centres, code = maps.tiles(window.item)
    y, x = np.clip((window.points(centres).T + 2) // 4, 1, SIZE // 4 - 1)
    small = _shrink(colour, 4).astype(np.float32)
    face = (small[y, x] + small[y - 1, x] + small[y, x - 1] + small[y - 1, x - 1]) / 4
    grey = face.mean(1, keepdims=True)
    face = (grey + 1.3 * (face - grey)) * rng.normal(1.03, 0.09, (len(face), 1))
    face += rng.normal(0, 4, face.shape)
    shades = face[:, None] * np.float32([0, 0.78, 1, 1.18])[:, None]
    shades[:, 0] = 0.35 * face + (70, 66, 60)  # grout: darker than bright tiles, lighter than dark ones
    return unpack(pack(np.clip(shades, 0, 255).astype(np.uint8)).ravel()[window.map(code)])


def pixel(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Pixel art: 32 x 32 blocks of a small palette, dithered, with a dark outline around the subject."""
    bayer = np.float32([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - 0.47
    bayer = np.tile(np.roll(bayer, rng.integers(4, size=2), (0, 1)), (8, 8))[..., None]
    inside = _shrink(mask, 8) > 110
    around = np.pad(inside, 1)
    around = (around[2:, 1:-1] | around[:-2, 1:-1] | around[1:-1, 2:] | around[1:-1, :-2]) & ~inside
    small = np.clip(_shrink(colour, 8) + bayer * 16, 0, 255).astype(np.uint8)
    words = maps.pixel_table()[index(small)]
    words[around] = pack(np.uint8([26, 20, 40]))
    return unpack(words.repeat(8, 0).repeat(8, 1))


def neon(colour: Array, lines: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Neon: a dimmed scene on which the contours glow in the colour around them."""
    paper = _shrink(lines, 4).astype(np.float32)[..., None] + 2
    small = _shrink(colour, 4)
    weighted = np.concatenate([small * paper, paper], 2)
    for axis in (0, 1):  # a 5-wide box mean that leaves out the ink, so that a dark outline lends no colour
        ext = np.pad(weighted, [(2, 2) if a == axis else (0, 0) for a in range(3)], mode="edge")
        weighted = sum(np.take(ext, range(k, k + 64), axis) for k in range(5))
    local = unpack(maps.neon_table()[index((weighted[..., :3] / weighted[..., 3:]).astype(np.uint8))])
    half = (SIZE // 2, SIZE // 2)
    ink = 255 - _shrink(_thicken(lines, 1), 2)
    halo = np.asarray(Image.fromarray(_shrink(ink, 2)).filter(ImageFilter.GaussianBlur(2.2)).resize(half))
    local = np.asarray(Image.fromarray(local).resize(half)).astype(np.uint16)
    cover = _shrink(mask, 2).astype(np.uint16)
    dim = 70 + (cover * 50 >> 8)
    pulse = int(rng.integers(190, 256))
    base = _shrink(colour, 2).astype(np.uint16) * dim[..., None] >> 8
    tube = np.minimum(ink.astype(np.uint16) + (halo.astype(np.uint16) * pulse >> 8), 256)
    light = local * np.minimum(tube + 14, 256)[..., None] >> 8  # 14: a little of the light hangs in the air
    core = np.maximum(ink.astype(np.int16) - 150, 0).astype(np.uint16)[..., None]
    out = np.minimum(base + light + core // 2, 255).astype(np.uint8)
    return _enlarge(out)


STYLES: dict[str, Style] = {
    "flat": flat,
    "comic": comic,
    "pencil": pencil,
    "watercolour": watercolour,
    "oil": oil,
    "cubist": cubist,
    "mosaic": mosaic,
    "pixel": pixel,
    "neon": neon,
}
