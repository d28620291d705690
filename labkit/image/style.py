"""`Style`: one of several styles of a picture, by words or by another picture, with its weight and its place.

    shares(styles, height, width)    how much of each style there is at every pixel
    PictureStyled                    what methods share that take styles from pictures

Where masks overlap, styles share by weight; where none holds, shares are 0 and the content keeps its own look.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from labkit.image.inputs import ImageInput
from labkit.spec import Method, Spec, SpecError
from labkit.text import plain

FEATHER = 1 / 16  # of the picture's shorter side: how far a mask's edge reaches to either side
LEAST = 1e-3  # a share below this is none


class Style(Spec):
    """A style by words ("a watercolour") or by a picture, of a weight, where a mask is white."""

    text: str = Field("", max_length=300, description="The style in words; or give a picture")
    picture: ImageInput | None = Field(None, description="A picture of the style")
    weight: float = Field(1.0, ge=0, le=100, description="How much of it, beside other styles")
    mask: ImageInput | None = Field(None, description="White where the style holds; without one, everywhere")

    @model_validator(mode="after")
    def _says_what_and_where(self):
        if bool(self.text.strip()) == bool(self.picture):
            raise ValueError("text, picture: give one of the two, words or a picture")
        if self.mask is not None and not bool((self.mask.tensor() >= 0.5).any()):
            raise ValueError("mask: is black all over, so the style would hold nowhere; make white where it is to hold")
        return self

    @property
    def called(self) -> str:
        """What to call it: its words, or "a picture"."""
        return self.text.strip() or "a picture"


def check_styles(styles: tuple[Style, ...], width: int, height: int) -> None:
    """Raises `SpecError` where masks are not of the picture's size or weights sum to nothing."""
    for k, style in enumerate(styles):
        if style.mask and (style.mask.width, style.mask.height) != (width, height):
            raise SpecError(f"styles.{k}.mask: is {style.mask.width} × {style.mask.height}, the picture {width} × {height}; "
                            "make it with ImageInput.of(mask, width, height)")
    if styles and not any(style.weight for style in styles):
        raise SpecError("styles: their weights sum to nothing; give one of them a weight above 0")


def shares(styles: tuple[Style, ...], height: int, width: int, feather: float = FEATHER) -> Tensor:
    """(styles, height, width) in [0, 1]: each style's share at every pixel, 1 in sum where their masks cover the picture.

    Masks are feathered by a Gaussian whose spread is `feather` / 2 of the shorter side. Two masks that are one another's
    complement stay so under it: their shares sum to 1 across the seam.
    """
    masks = torch.stack([_mask(style, height, width, feather) for style in styles])
    weighed = masks * torch.tensor([style.weight for style in styles]).view(-1, 1, 1)
    covered = (masks * (weighed.amax(dim=(1, 2), keepdim=True) > 0)).sum(0).clamp(max=1)
    out = covered * weighed / weighed.sum(0).clamp_min(1e-12)
    return torch.where(out < LEAST, torch.zeros(()), out)


class PictureStyled(Method, listed=False):
    """What methods share that give a picture the style of other pictures."""

    content: ImageInput = Field(..., description="The picture that is to take on a style; the result has its size")
    style: ImageInput | None = Field(None, description="A picture of the style; None: those of `styles` alone")
    styles: tuple[Style, ...] = Field((), max_length=8, description="More pictures of styles, with weights and places")

    @model_validator(mode="after")
    def _styles_are_pictures_that_fit(self):
        if not self.all_styles:
            raise ValueError("style, styles: give a picture of the style")
        if words := [(k, style.text) for k, style in enumerate(self.styles) if style.picture is None]:
            k, text = words[0]
            raise SpecError(f"styles.{k}.text: {plain(repr(text))} is a style by words, {type(self).__name__} takes pictures; "
                            "give styles a picture, or use CLIPStyler")
        check_styles(self.all_styles, self.content.width, self.content.height)
        return self

    @property
    def all_styles(self) -> tuple[Style, ...]:
        """Every style that is asked for: the picture `style`, and `styles`."""
        return ((Style(picture=self.style),) if self.style else ()) + self.styles

    @property
    def used(self) -> tuple[Style, ...]:
        """The styles that weigh anything."""
        return tuple(style for style in self.all_styles if style.weight)


def fitted_style(style: Style, height: int, width: int) -> Tensor:
    """The style's picture (1, 3, h, w) in [0, 1], whole and in its own proportions, with about as many pixels as height ×
    width: then its strokes are to the result as they are to it."""
    x = style.picture.tensor()
    ratio = (height * width / (x.shape[2] * x.shape[3])) ** 0.5
    size = tuple(max(round(side * ratio), 1) for side in x.shape[2:])
    if size == tuple(x.shape[2:]):
        return x
    return F.interpolate(x, size, mode="bilinear", antialias=True).clamp(0, 1)


def _mask(style: Style, height: int, width: int, feather: float) -> Tensor:
    if style.mask is None:
        return torch.ones(height, width)
    mask = F.interpolate(style.mask.tensor()[:, :1], (height, width), mode="area")
    spread = feather * min(height, width) / 2
    return gaussian_blur(mask, spread)[0, 0].clamp(0, 1) if spread > 0.1 else mask[0, 0]


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """A map (B, C, H, W) through a Gaussian of so many pixels, its edges mirrored; a kernel longer than a side is cut to it."""
    for dim in (2, 3):
        reach = min(int(3 * sigma + 0.5), x.shape[dim] - 1)
        if reach < 1:
            continue
        at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-at.square() / (2 * sigma**2))
        kernel = (kernel / kernel.sum()).view((1, 1, -1, 1) if dim == 2 else (1, 1, 1, -1)).repeat(x.shape[1], 1, 1, 1)
        pad = (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0)
        x = F.conv2d(F.pad(x, pad, mode="reflect"), kernel, groups=x.shape[1])
    return x
