"""What an enhancer may do to a picture: eleven sliders, each an exact formula with a value at which it does nothing.

For a pixel x in [0, 1]³ with luma Y(x) = 0.299 R + 0.587 G + 0.114 B, always in this order, whatever order they were moved in:

    levels        x ← clamp((x − black) / (white − black))      temperature  x ← x · (2^t, 1, 2^−t)
    gamma         x ← x^gamma                                   brightness   x ← brightness · x
    contrast      x ← m + contrast · (x − m), m the mean of Y   saturation   x ← Y + saturation · (x − Y)
    black_white   x ← Y                                         sharpness    x ← x + sharpness · (x − blur(x))
    crop          the window of `crop` times width and height, at (crop_x, crop_y) of the room that is left

and then clamp to [0, 1]. Nothing is clamped in between but levels, so that sliders which undo each other do. The blur's width
is a share of the longer side: a recipe that was found on a small copy does the same to the large picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from labkit.image.chunks import ImageError
from labkit.spec import Spec

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
RADIUS = 1 / 64  # of the longer side: sigma of the blur that sharpness goes away from
FAINT = 0.5 / 255  # what is this far beyond the range is not lost: rounding brings it back
BLACK, WHITE = 0.45, 0.55  # levels go no further
TAILS = (0.005, 0.995)  # auto-levels: these quantiles of all channels become black and white


class Adjustments(Spec):
    """A recipe: where every slider stands. The defaults do nothing, exactly."""

    black: float = Field(0.0, ge=0, le=BLACK, description="Levels: what becomes black")
    white: float = Field(1.0, ge=WHITE, le=1, description="Levels: what becomes white")
    temperature: float = Field(0.0, ge=-1, le=1, description="Stops that red gains and blue loses: above 0 warmer")
    gamma: float = Field(1.0, ge=0.25, le=4, description="Exponent of the tones: below 1 lighter in the middle")
    brightness: float = Field(1.0, ge=0.25, le=4, description="Factor of all values")
    contrast: float = Field(1.0, ge=0.25, le=4, description="Factor of the distance from the mean")
    saturation: float = Field(1.0, ge=0, le=4, description="Factor of the distance from grey")
    black_white: bool = Field(False, description="Black and white")
    sharpness: float = Field(0.0, ge=-1, le=3, description="How far away from a blurred copy; below 0 towards it")
    crop: float = Field(1.0, ge=0.5, le=1, description="Share of width and height that is kept")
    crop_x: float = Field(0.5, ge=0, le=1, description="Where the window is: 0 left, 1 right")
    crop_y: float = Field(0.5, ge=0, le=1, description="Where the window is: 0 top, 1 bottom")

    @model_validator(mode="after")
    def _one_writing(self):
        if self.crop == 1 and (self.crop_x, self.crop_y) != (0.5, 0.5):
            raise ValueError("crop_x, crop_y: stay 0.5 where nothing is cropped (crop 1)")
        return self

    @property
    def moved(self) -> dict[str, float | bool]:
        """The sliders that do not stand where they do nothing, in the order in which they act."""
        return {name: value for name in type(self).model_fields
                if (value := getattr(self, name)) != type(self).model_fields[name].default}

    def words(self) -> str:
        """The recipe as a sentence would say it: 'levels 0.04 to 0.87, warmer by 0.2 stops, contrast +15 %'."""
        said = []
        if self.black > 0 or self.white < 1:
            said.append(f"levels {self.black:.2f} to {self.white:.2f}")
        if self.temperature:
            said.append(f"{'warmer' if self.temperature > 0 else 'cooler'} by {abs(self.temperature):.2f} stops")
        if self.gamma != 1:
            said.append(f"gamma {self.gamma:.2f} ({'lighter' if self.gamma < 1 else 'darker'} mid-tones)")
        factors = {name: getattr(self, name) - 1 for name in ("brightness", "contrast", "saturation")}
        said += [f"{name} {change:+.0%}".replace("%", " %") for name, change in factors.items() if change]
        if self.black_white:
            said.append("black and white")
        if self.sharpness:
            said.append(f"{'sharper' if self.sharpness > 0 else 'softer'} by {abs(self.sharpness):.2f}")
        if self.crop < 1:
            side = {0: "left", 1: "right"}.get(self.crop_x, ""), {0: "top", 1: "bottom"}.get(self.crop_y, "")
            place = " ".join(filter(None, reversed(side))) or "middle"
            said.append(f"cropped to {self.crop:.0%} of each side, {place}".replace("%", " %"))
        return ", ".join(said) or "nothing"


def luma(x: Tensor) -> Tensor:
    """(B, 1, H, W) of (B, 3, H, W)."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of any width, its kernel cut at three sigma, the border repeated."""
    reach = max(1, math.ceil(3 * sigma))
    t = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    k = torch.exp(-t.square() / (2 * sigma**2))
    k = (k / k.sum()).expand(3, 1, 1, -1)
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), k, groups=3)
    return F.conv2d(F.pad(x, (0, 0, reach, reach), mode="replicate"), k.transpose(2, 3), groups=3)


def adjusted(x: Tensor, recipes: Sequence[Adjustments]) -> tuple[Tensor, Tensor]:
    """The pixels of recipes that crop alike, at once: one picture (1, 3, H, W) in [0, 1], or as many as there are recipes, →
    (B, 3, H', W'), and (B,) the share of values that left the range and were cut off. Raises `ImageError` on another shape, and
    where the recipes do not crop alike."""
    if x.ndim != 4 or x.shape[1] != 3 or len(x) not in (1, len(recipes)) or not recipes:
        raise ImageError(f"x: {tuple(x.shape)} must be (1, 3, H, W), or as many pictures as the {len(recipes)} recipes")
    windows = {window(recipe, *x.shape[-2:]) for recipe in recipes}
    if len(windows) > 1:
        raise ImageError(f"recipes: {len(windows)} different crops do not fit into one batch; give those that crop alike")

    def slider(name: str) -> Tensor:
        return x.new_tensor([float(getattr(recipe, name)) for recipe in recipes]).view(-1, 1, 1, 1)

    size, outside, black = max(x.shape[-2:]), None, slider("black")
    y = (x - black) / (slider("white") - black)
    outside = _outside(y)
    warm = slider("temperature")
    y = y.clamp(0, 1) * torch.cat([torch.exp2(warm), torch.ones_like(warm), torch.exp2(-warm)], dim=1)
    y = y.pow(slider("gamma")) * slider("brightness")
    y = y + (slider("contrast") - 1) * (y - luma(y).mean((2, 3), keepdim=True))
    y = y + (slider("saturation") * (1 - slider("black_white")) - 1) * (y - luma(y))
    if any(recipe.sharpness for recipe in recipes):
        y = y + slider("sharpness") * (y - blurred(y, RADIUS * size))
    cut = (outside | _outside(y)).float().mean((1, 2, 3))
    left, top, right, bottom = windows.pop()
    return y[..., top:bottom, left:right].clamp(0, 1), cut


def window(recipe: Adjustments, height: int, width: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of what a recipe keeps of a picture of that size."""
    w, h = (max(1, round(recipe.crop * side)) for side in (width, height))
    left, top = round(recipe.crop_x * (width - w)), round(recipe.crop_y * (height - h))
    return left, top, left + w, top + h


def levels(x: Tensor, tails: tuple[float, float] = TAILS) -> tuple[float, float]:
    """What auto-levels finds for a picture (1, 3, H, W): the values of all channels together that become black and white, at
    most a few of a thousand of which are cut off. (0, 1) for a picture that uses its range already."""
    values = x.flatten().float()
    values = values[:: max(1, values.numel() // 1_000_000)]  # quantile takes 16 million at most
    low, high = torch.quantile(values, values.new_tensor(tails)).tolist()
    low, high = (round(v, 4) for v in (low, high))
    return min(max(low, 0.0), BLACK), max(min(high, 1.0), WHITE)


def _outside(x: Tensor) -> Tensor:
    return (x < -FAINT) | (x > 1 + FAINT)
