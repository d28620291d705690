"""What a BLIP says of pictures: a caption each, and how well a text fits each of them.

    found = Captions(text="a red apple in the snow").compute(lab, pictures, names)
    found.table       caption, match, cosine: a row a picture

`match` is the probability of the matching head (ITM), in a world where one text in two fits its picture; `cosine` that of the
two unit vectors (ITC), which is good for comparing pictures with one another and has no threshold (Li et al. 2022).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from pydantic import Field

from labkit.clip.figures import Sheet
from labkit.image import ImageError, to_rgb
from labkit.spec import Measure, NonFiniteError, SpecError
from labkit.text import plain

BATCH = 64  # pictures that are opened and read at once
DRAWN = 40  # pictures of a figure
TILE = 128  # pixels of a kept picture
COLUMNS = 5


class Captions(Measure):
    """What pictures show, in a model's words, and how well a text fits each."""

    needs: ClassVar[tuple[str, ...]] = ("blip",)
    example: ClassVar[dict[str, Any]] = {"text": "a red apple in the snow"}

    text: str = Field("", max_length=1000, description="A text to match with each picture; empty: captions alone")
    beams: int = Field(1, ge=1, le=8, description="Captions that are followed at once; the likeliest is kept")

    def compute(self, lab, images: list[Image.Image], names: list[str] | None = None) -> CaptionsResult:
        """A row for each of 1 or more PIL images of any size and mode, called `names` in the table ("image 0", …). Raises
        `SpecError` on none and on as many names as are not, `ImageError` on what is no picture, `NonFiniteError` on NaN."""
        images = list(images)
        names = [f"image {j}" for j in range(len(images))] if names is None else list(names)
        if len(names) != len(images):
            raise SpecError(f"names: {len(names)} for {len(images)} images; give one each")
        table = self.of_pictures(lab.blip, images)
        table.index = names
        thumbs = tuple(thumb(image) for image in images[:DRAWN])
        return CaptionsResult(table, self.text.strip(), thumbs, tuple(self.notices(lab.blip)))

    @torch.no_grad()
    def of_pictures(self, blip, pictures: Iterable[Image.Image]) -> pd.DataFrame:
        """The table of pictures that are taken one after the other: a generator of many needs little memory. Raises as
        `compute`."""
        text, walk, parts = self.text.strip(), enumerate(pictures), []
        told = blip.encode_text([text]) if text else None
        while some := [small(picture, blip.size, j) for j, picture in islice(walk, BATCH)]:
            rows = {"caption": blip.caption(some, self.beams)}
            if text:
                rows["match"] = blip.match(some, [text] * len(some)).cpu().numpy()
                rows["cosine"] = (blip.encode_image(some) @ told[0]).clamp(-1, 1).cpu().numpy()
            parts.append(pd.DataFrame(rows))
        if not parts:
            raise SpecError("images: there are none; give at least one picture")
        table = pd.concat(parts, ignore_index=True)
        if not np.isfinite(table.select_dtypes("number")).all(axis=None):
            raise NonFiniteError(f"{blip.name} gave NaN or infinity; try precision fp32")
        return table

    def notices(self, blip) -> list[str]:
        """What whoever reads the table should know: of the text's words, those that the model has never seen."""
        return blip.notices(self.text) if self.text.strip() else []


@dataclass(frozen=True)
class CaptionsResult:
    """`table`: caption and, where a text was asked, `match` and `cosine`, a row a picture; `thumbs` of the first ones."""

    table: pd.DataFrame
    text: str = ""
    thumbs: tuple[Image.Image, ...] = field(default=(), repr=False)
    notices: tuple[str, ...] = ()

    def figure(self) -> Sheet:
        """The pictures, at most 40, with what was said of them."""
        n = len(self.thumbs)
        columns = min(COLUMNS, n)
        figure = Sheet(figsize=(2.3 * columns, 2.9 * math.ceil(n / columns) + 0.4), layout="constrained")
        for k, axes in enumerate(np.ravel(figure.subplots(math.ceil(n / columns), columns, squeeze=False))):
            axes.set_axis_off()
            if k < n:
                axes.imshow(np.asarray(self.thumbs[k]))
                axes.set_title(self._said(k), fontsize=8, y=0, va="top", pad=-4, parse_math=False)
        if self.text:
            asked = textwrap.shorten(plain(self.text, 400), 30 * columns, placeholder=" …")
            figure.suptitle(f"match with: {asked}", fontsize=10, parse_math=False)
        return figure

    def _said(self, k: int) -> str:
        row = self.table.iloc[k]
        lines = textwrap.wrap(plain(row["caption"], 200), 30)
        return "\n".join([*lines, f"match {row['match']:.0%}, cosine {row['cosine']:.2f}"] if self.text else lines)


def small(picture: Image.Image, side: int, j: int) -> Image.Image:
    """A picture as BLIP sees it, squashed to a square. Raises `ImageError`, which says which it is."""
    try:
        return to_rgb(picture).resize((side, side), Image.Resampling.BICUBIC)
    except ImageError as error:
        raise ImageError(f"image {j}: {error}") from None


def thumb(picture: Image.Image) -> Image.Image:
    """A picture in a white square, whole: small ones are enlarged pixel by pixel."""
    picture = to_rgb(picture)
    factor = max(1, TILE // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return ImageOps.pad(picture, (TILE, TILE), Image.Resampling.LANCZOS, "white")
