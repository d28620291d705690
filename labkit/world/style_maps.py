"""Tables and pattern maps behind the picture styles of `labkit.world.styles`.

Two kinds of thing are made here once and kept. *Tables* hold a function of a pixel's colour alone, sampled at
5 bits a channel (2**15 colours). *Maps* hold geometry: Voronoi facets, tiles, brush dabs, hatching, paper;
each kind is a bank of `BANK` maps of `BIG` x `BIG` pixels drawn from fixed seeds, from which a style crops
windows of `SIZE` x `SIZE`. Colours are carried as one uint32 a pixel (`pack`): a gather is then one `take`
instead of three.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

SIZE, BIG, BANK = 256, 320, 8


def pack(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) values in [0, 255] -> (...) uint32, one word a colour."""
    out = np.zeros((*rgb.shape[:-1], 4), np.uint8)
    out[..., :3] = rgb
    return out.view(np.uint32)[..., 0]


def unpack(words: np.ndarray) -> np.ndarray:
    """The inverse of `pack`: (...) uint32 -> (..., 3) uint8, contiguous."""
    return np.ascontiguousarray(words[..., None].view(np.uint8)[..., :3])


def index(colour: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) index into a table of 2**15 colours (5 bits a channel)."""
    top = colour >> 3
    return (top[..., 0].astype(np.intp) << 10) | (top[..., 1].astype(np.intp) << 5) | top[..., 2]


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All 2**15 table colours in [0, 1]: (n, 3) rgb, (n) grey, and (n, 3) the pure hue (white for greys)."""
    level = np.arange(32, dtype=np.float32) / 31
    rgb = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)
    low, high = rgb.min(1, keepdims=True), rgb.max(1, keepdims=True)
    pure = np.where(high > low, (rgb - low) / np.maximum(high - low, 1e-6), 1.0)
    return rgb, rgb @ np.float32([0.299, 0.587, 0.114]), pure


def table(rgb: np.ndarray) -> np.ndarray:
    """A table of colours in [0, 1] as packed words."""
    return pack(np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8))


def cells(
    step: float, jitter: float, seed: int, stretch: float = 1.0, power: float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voronoi cells of a jittered grid: centres (n, 2), labels (BIG, BIG), distance to the border (BIG, BIG).

    `stretch` > 1 draws the cells out along a random direction; `power` is the metric's (inf: square cells).
    """
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, np.pi) if stretch > 1 else 0.0
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    warp = rotate @ np.diag([stretch, 1 / stretch])
    at = np.arange(-BIG, BIG, step)
    centres = np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)
    centres = centres + rng.uniform(-jitter, jitter, centres.shape) * step
    placed = centres @ warp.T + BIG / 2
    seen = (np.abs(placed - BIG / 2) < BIG / 2 + 2 * step).all(1)
    centres, placed = centres[seen], placed[seen]
    yx = (np.stack(np.mgrid[:BIG, :BIG], -1).reshape(-1, 2) - BIG / 2) @ np.linalg.inv(warp).T
    near, label = cKDTree(centres).query(yx, k=2, p=power)
    border = (near[:, 1] - near[:, 0]) / 2
    return placed, label[:, 0].reshape(BIG, BIG), border.reshape(BIG, BIG)


def noise(rng: np.random.Generator, size: int, radius: float) -> np.ndarray:
    """Smooth noise (size, size), zero mean and unit deviation."""
    out = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), radius, mode="wrap")
    return (out - out.mean()) / out.std()


@lru_cache(maxsize=1)
def comic_tables() -> tuple[np.ndarray, np.ndarray]:
    """Colours without and with a halftone dot (2**16 words), and the dot screen (BIG, BIG) in [0, 255]."""
    rgb, _, pure = grid()
    high = rgb.max(1, keepdims=True)
    chroma = np.where(high > 0, (high - rgb.min(1, keepdims=True)) / np.maximum(high, 1e-6), 0)
    value = np.clip(np.round(high * 5 + 0.2) / 5, 0.12, 1)
    richer = np.clip(chroma * 1.35 - 0.04, 0, 1)
    plain = value * (1 - richer + richer * pure)
    dotted = plain * (0.62, 0.58, 0.70)
    y, x = np.mgrid[:BIG, :BIG] * (np.pi / 9.2)
    screen = (2 + np.cos(x + y) + np.cos(x - y)) * 63.75
    return np.concatenate([table(plain), table(dotted)]), screen.astype(np.uint8)


@lru_cache(maxsize=1)
def pencil_tables() -> tuple[np.ndarray, np.ndarray]:
    """Tinted paper outside and inside subjects (2**16 words); graphite by (tone, hatch) as 2**16 factors."""
    rgb, grey, _ = grid()
    paper = np.float32([0.965, 0.955, 0.93])
    tints = []
    for keep, cover in ((0.55, 0.55), (0.76, 0.76)):
        muted = grey[:, None] * 0.55 + 0.45 + keep * (rgb - grey[:, None])
        tints.append(table(np.clip(muted * cover + paper * (1 - cover), 0, 1)))
    tone, hatch = np.mgrid[:256, :256] / 255.0
    stroke = np.clip((0.93 - tone) * 1.15 - hatch, 0, 1)
    return np.concatenate(tints), (128 * (1 - 0.60 * np.clip(stroke * 3, 0, 1))).astype(np.uint8).ravel()


@lru_cache(maxsize=BANK)
def hatching(item: int) -> tuple[np.ndarray, np.ndarray]:
    """Hatch thresholds in [0, 255] (one direction in the lights, a crossing one in the darks) and grain."""
    rng = np.random.default_rng((71, item))
    y, x = np.mgrid[:BIG, :BIG]
    wave = noise(rng, BIG, 14) * 2.2
    angle = rng.uniform(0.6, 1.0)
    first = np.cos((x * np.sin(angle) + y * np.cos(angle) + wave) * (2 * np.pi / 10)) * 0.5 + 0.5
    second = np.cos((x * np.sin(angle) - y * np.cos(angle) + wave) * (2 * np.pi / 10)) * 0.5 + 0.5
    grain = noise(rng, BIG, 0.8)
    hatch = np.minimum(0.12 + first * 1.1, 0.62 + second * 0.9) + 0.07 * grain
    return (np.clip(hatch, 0, 1) * 255).astype(np.uint8), np.clip(126 + 3 * grain, 0, 128).astype(np.uint8)


@lru_cache(maxsize=BANK)
def washes(item: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At 128 px: where each pixel bleeds from (flat index), pigment strength (about 1), margin (0: bare)."""
    rng, size = np.random.default_rng((72, item)), SIZE // 2
    y, x = np.mgrid[:size, :size]
    shift = [noise(rng, size, 4) * 1.0 + noise(rng, size, 1.5) * 0.35 for _ in range(2)]
    source = [np.clip(np.rint(a + s), 0, size - 1).astype(int) for a, s in zip((y, x), shift, strict=True)]
    strength = 0.88 + 0.10 * noise(rng, size, 7) + 0.05 * noise(rng, size, 0.9)
    edge = np.minimum(np.minimum(x, size - 1 - x), np.minimum(y, size - 1 - y)) + 0.5
    margin = np.clip((edge - np.maximum(6.5 + 1.9 * noise(rng, size, 3.5), 3.0)) / 2.2, 0, 1)
    return source[0] * size + source[1], strength.astype(np.float32), margin.astype(np.float32)


@lru_cache(maxsize=2 * BANK)
def dabs(item: int, step: float, length: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) of overlapping brush dabs and, per pixel, 8 * topmost dab + bristle shade 0..7."""
    rng = np.random.default_rng((73, item))
    flow = noise(rng, BIG, 45) * 1.1 + rng.uniform(0, np.pi)
    at = np.arange(0, BIG, step)
    centres = np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)
    centres = rng.permutation(centres + rng.uniform(-0.45, 0.45, centres.shape) * step).clip(0, BIG - 1)
    whole = centres.astype(int)
    turn = (flow[whole[:, 0], whole[:, 1]] + rng.normal(0, 0.18, len(centres)))[:, None].astype(np.float32)
    reach = np.arange(-int(length) - 1, int(length) + 2)
    y, x = (whole[:, k, None] + v.ravel() for k, v in enumerate(np.meshgrid(reach, reach, indexing="ij")))
    dy, dx = (y - centres[:, :1]).astype(np.float32), (x - centres[:, 1:]).astype(np.float32)
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    side, end = across / width, (along / length) ** 2
    hit = (end * end + np.square(side * side) < 1) & (np.minimum(y, x) >= 0) & (np.maximum(y, x) < BIG)
    side, turned = side[hit], np.broadcast_to(turn, hit.shape)[hit]
    bristle = 3.6 - 3.1 * side + 1.1 * np.sin(side * 9 + 7 * turned) - along[hit] / length
    # Of several values written to one pixel the last stays: later dabs lie on top.
    code = np.zeros((BIG, BIG), np.intp)
    code[y[hit], x[hit]] = 8 * np.nonzero(hit)[0] + np.clip(bristle, 0, 7).astype(np.intp)
    return centres, code


@lru_cache(maxsize=BANK)
def facets(item: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of facets, label per pixel, and light per pixel (128 is 1; dark on the facet lines)."""
    centres, label, border = cells(36, 0.45, 7400 + item, stretch=1.35)
    rng = np.random.default_rng((74, item))
    turn = rng.uniform(0, 2 * np.pi, len(centres))
    y, x = np.mgrid[:BIG, :BIG]
    ramp = (x - centres[label, 1]) * np.cos(turn)[label] + (y - centres[label, 0]) * np.sin(turn)[label]
    light = 1.02 + np.clip(ramp / 26, -1, 1) * 0.36
    light *= np.clip((border + 0.3) / 1.8, 0.2, 1)
    return len(centres), label, np.clip(light * 128, 0, 255).astype(np.uint8)


@lru_cache(maxsize=BANK)
def tiles(item: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the tiles and, per pixel, 4 * tile + (0 grout, 1 dark edge, 2 face, 3 lit edge)."""
    centres, label, border = cells(9.5, 0.16, 7500 + item, power=np.inf)
    y, x = np.mgrid[:BIG, :BIG]
    lean = (centres[label, 0] - y) + (centres[label, 1] - x)
    level = np.where(border < 0.75, 0, np.where(lean > 3.5, 3, np.where(lean < -3.5, 1, 2)))
    return centres, 4 * label + level


@lru_cache(maxsize=1)
def pixel_table() -> np.ndarray:
    """The nearest colour of a small palette (greys, browns, 24 hues) for every table colour."""
    rgb, _, _ = grid()
    hue = np.arange(24)[:, None] / 24 * 6
    pure = np.clip(np.abs((hue + [0, 4, 2]) % 6 - 3) - 1, 0, 1)
    bright = [(0.8, 0.3), (0.75, 0.5), (0.8, 0.7), (0.8, 0.9), (0.5, 1.0), (0.25, 1.0)]
    muted = [(0.45, 0.8), (0.4, 0.55), (0.25, 0.35), (0.18, 0.6), (0.15, 0.82)]
    ramps = [value * (1 - chroma + chroma * pure) for chroma, value in bright + muted]
    browns = np.float32([(87, 51, 26), (138, 86, 48), (187, 138, 98)]) / 255
    palette = np.concatenate([*ramps, browns, np.repeat(np.linspace(0.1, 1, 7)[:, None], 3, 1)])
    weight = (0.65, 0.8, 0.6)
    return table(palette[cKDTree(palette * weight).query(rgb * weight)[1]])


@lru_cache(maxsize=1)
def neon_table() -> np.ndarray:
    """The light that each colour glows in: its hue, bright; greys glow pale, blacks dim violet."""
    rgb, _, pure = grid()
    high = rgb.max(1, keepdims=True)
    chroma = (high - rgb.min(1, keepdims=True)) / np.maximum(high, 1e-6)
    rich = np.clip(chroma * 1.5, 0, 1) * np.clip(high * 2.5 - 0.3, 0, 1)
    pale = np.clip(high * 1.1, 0.42, 1) * np.float32([0.93, 0.95, 1.0])
    glow = np.clip(0.38 + 0.78 * high, 0.6, 1) * (0.08 + 0.92 * pure)  # brown stays below orange
    return table(rich * glow + (1 - rich) * pale)
