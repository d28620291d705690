"""A sketch as it comes, photographed, scanned or drawn, made fit for a model: dark lines on white paper, its shape kept.

    prepared = prepare(picture, 64, 64)
    prepared.picture                 # RGB, 64 × 64
    prepared.stages                  # what each step made of it, by name: for people to see
    prepared.notices                 # what was changed and need not have been wanted

1. light    luminance; what is transparent lies on white.
2. polarity white lines on black are turned: the border is paper, and paper is lighter than lines.
3. paper    divided by the paper's own brightness round about, which a closing with a window of a quarter of the shorter side
            finds (lines are narrower): shadows and the yellow of paper go.
4. lines    stretched so that the darkest hundredth of the ink is black and paper white.
5. width    `thicken` pixels more (a minimum filter) or less (a maximum filter) on either side of a line.
6. frame    the ink's surroundings brought to width × height with its proportions, a margin about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from labkit.image import ImageError, open_upload, to_rgb

INK = 0.35  # darker than paper (1) by so much is ink
LEAST = 0.0005  # share of the picture that has to be ink
MARGIN = 0.06  # of the frame's shorter side


class SketchError(ValueError):
    """A picture that is no sketch."""


@dataclass(frozen=True)
class Prepared:
    """`picture` (RGB), its `stages` (name → RGB picture) and `notices`."""

    picture: Image.Image
    stages: dict[str, Image.Image]
    notices: list[str]


def drawing(data: bytes) -> Image.Image:
    """What was drawn on a pad, from the bytes of its picture: RGB. Raises `ImageError` where there is nothing on it, and on
    what is no picture."""
    if not data:
        raise ImageError("the pad is empty; draw something, or upload a sketch")
    picture = open_upload(data)
    low, high = zip(*picture.getextrema(), strict=True)
    if low == high:
        raise ImageError("the pad is of one colour all over; draw something, or upload a sketch")
    return picture


def prepare(picture: Image.Image, width: int, height: int, thicken: int = 0, crop: bool = True) -> Prepared:
    """Make a sketch fit for a model (see above). `thicken` from -8 to 8, in pixels of the given picture; without `crop` the
    whole sheet is framed, not what is drawn on it. Raises `SketchError` on an empty picture or one of a single colour."""
    if not -8 <= thicken <= 8:
        raise SketchError(f"thicken: must be from -8 to 8 pixels; got {thicken}")
    light = np.asarray(to_rgb(picture).convert("L"), np.float32) / 255
    if light.max() - light.min() < INK / 2:
        raise SketchError("sketch: is empty, or of one colour all over; draw lines that differ from the paper")
    stages, notices = {"light": light}, []
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    if np.median(border) < (light.max() + light.min()) / 2:
        light = 1 - light
        notices.append("sketch: light lines on dark paper; turned into dark lines on white")
        stages["polarity"] = light
    paper = flattened(light)
    stages["paper"] = paper
    ink = paper < 1 - INK / 2
    if ink.mean() < LEAST:
        raise SketchError(f"sketch: only {ink.sum()} pixels are darker than the paper; draw something, or press harder")
    black = float(np.quantile(paper[ink], 0.01))
    lines = np.clip((paper - black) / max(0.95 - black, 1e-3), 0, 1)
    stages["lines"] = lines
    if thicken:
        reach = 2 * abs(thicken) + 1
        lines = (ndimage.minimum_filter if thicken > 0 else ndimage.maximum_filter)(lines, reach)
        stages["width"] = lines
        if (lines < 1 - INK).mean() < LEAST:
            raise SketchError(f"thicken: at {thicken} nothing is left of the lines; use a number nearer to 0")
    framed = frame(lines, width, height, crop)
    stages["frame"] = np.asarray(framed, np.float32)[..., 0] / 255
    return Prepared(framed, {name: _picture(x) for name, x in stages.items()}, notices)


def flattened(light: np.ndarray) -> np.ndarray:
    """Luminance (H, W) divided by the paper's brightness round about, at most 1."""
    window = max(3, min(light.shape) // 4 | 1)
    paper = ndimage.gaussian_filter(ndimage.grey_closing(light, window, mode="nearest"), window / 4, mode="nearest")
    return np.minimum(light / np.maximum(paper, 1e-3), 1)


def frame(lines: np.ndarray, width: int, height: int, crop: bool) -> Image.Image:
    """Dark lines on white (H, W) in the middle of a white sheet of width × height, with their proportions."""
    if crop:
        rows, columns = (np.flatnonzero((lines < 1 - INK).any(axis)) for axis in (1, 0))
        lines = lines[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    edge = round(MARGIN * min(width, height)) if crop else 0
    scale = min((width - 2 * edge) / lines.shape[1], (height - 2 * edge) / lines.shape[0])
    size = tuple(max(1, round(scale * n)) for n in lines.shape[::-1])
    # A box filter takes each line's share of a pixel: thin lines grow pale, none is lost. Enlarging is smooth.
    small = _picture(lines).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return sheet


def _picture(x: np.ndarray) -> Image.Image:
    return Image.fromarray((x * 255).round().astype(np.uint8)).convert("RGB")
