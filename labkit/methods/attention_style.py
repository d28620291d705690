"""Style by attention: a content picture in strokes of a style picture, fine where the eye goes and coarse elsewhere.

Yao et al. 2019, "Attention-Aware Multi-Stroke Style Transfer", arXiv:1901.05127, from the paper alone. One pass: features of
both are whitened and attended to (`labkit.models.attention_autoencoder`), the content's patches are exchanged for the style's
once for every size of stroke, the strokes are fused by the content's attention map (`labkit.models.strokes`), coloured as the
style, and decoded with the style's finer statistics. The content's own features are one more stroke, the finest.

Nothing is left to chance, so there is no seed to choose: k-means starts from a fixed one, and the Gaussian that smooths the map
is the same every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from PIL import Image
from pydantic import Field, field_validator
from torch import Tensor

from labkit.image import ImageInput, to_pil
from labkit.image.style import Style
from labkit.loop import Made, NonFiniteError, Step, Values, loop
from labkit.models.attention_autoencoder import AttentionAutoencoder, Moments, as_map, filled, moments
from labkit.models.layers import NamedLayers
from labkit.models.strokes import (
    Colour,
    Fusion,
    colour,
    colour_of,
    fuse,
    middles,
    resized,
    scales,
    style_swap,
    weights,
    whiten,
)
from labkit.spec import Method, SpecError

SHORTEST = 16  # pixels on the shorter side, of content and style


class AttentionStyle(Method):
    """The look of a style picture, in finer strokes where the content draws the eye."""

    needs: ClassVar[tuple[str, ...]] = ("attention_autoencoder", "perceptual")

    content: ImageInput = Field(..., description="The picture that keeps its things")
    style: ImageInput = Field(..., description="The picture whose look it takes; a Style of a picture is taken, too")
    longest: int = Field(256, ge=32, le=512, description="Longer sides than this are brought down to it")
    strokes: int = Field(3, ge=1, le=5, description="Sizes of stroke, each by 1/√2 finer; the content's features are one more")
    attention: bool = Field(True, description="Whether attention is read; without it all strokes weigh alike everywhere")
    fusion: Fusion = Field("softmax", description="How strokes share a place: by nearest, by distance, or all alike")
    patch: int = Field(3, ge=1, le=9, description="Side of a patch in places of the layer; 5 as published, for larger ones")
    blend: float = Field(1.0, ge=0, le=1, description="Share of the strokes; the rest is the content's own features, coloured")

    example: ClassVar[dict[str, Any]] = {
        "content": ImageInput.of(Image.linear_gradient("L").rotate(30, fillcolor=90).convert("RGB"), 24, 20),
        "style": ImageInput.of(Image.radial_gradient("L").convert("RGB"), 20, 24), "strokes": 2}

    @field_validator("style", mode="before")
    @classmethod
    def _its_picture(cls, style: Any) -> Any:
        """Of a `Style`, which several methods read, the picture."""
        if isinstance(style, dict) and "sha256" not in style:
            style = Style(**style)
        if not isinstance(style, Style):
            return style
        if style.picture is None:
            raise ValueError(f"text {style.text!r}: this method reads a picture of the style; give one, or use CLIPstyler for "
                             "words")
        if style.mask is not None or style.weight != 1:
            raise ValueError("mask, weight: one style is read, everywhere and whole; leave them out, and use blend for less")
        return style.picture

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        model, net, sizes = lab.attention_autoencoder, lab.perceptual, scales(self.strokes)
        model.check(net)
        content = fitted("content", self.content, self.longest).to(lab.device)
        style = fitted("style", self.style, self.longest).to(lab.device)
        with torch.no_grad():
            theirs = Read.of(model, net, style, self.attention)
            mine = Read.of(model, net, content, self.attention)
        now = Values(strokes=[], made=mine.seen)

        def picture() -> Image.Image:
            with torch.no_grad():
                y = model.decode(colour(now.made, theirs.colour), theirs.finer)
            return to_pil((y[..., :content.shape[2], :content.shape[3]] + 1) / 2)

        @torch.no_grad()
        def step(i: int) -> Made:
            if i < len(sizes):
                now.made = style_swap(mine.seen, resized(theirs.seen, sizes[i]), self.patch)
                now.strokes = [*now.strokes, now.made]
                return Made({"attention": mine.mean, "scale": sizes[i]}, picture, {"attention": mine.map})
            centres = middles(mine.map, len(sizes) + 1)
            shares = weights(mine.map, centres, self.fusion if self.attention else "uniform")
            fused = fuse([*now.strokes, mine.seen], shares)
            now.made = self.blend * fused + (1 - self.blend) * mine.seen
            if not bool(torch.isfinite(now.made).all()):
                raise NonFiniteError("no longer a number: the fused features")
            told = {f"share {k + 1}": float(share.mean()) for k, share in enumerate(shares)}
            return Made({"attention": mine.mean, **told}, picture, {"attention": mine.map, "shares": shares})

        yield from loop(len(sizes) + 1, {"now": now}, step, 1, resume)


class Read(NamedTuple):
    """A picture as it is read: `seen`, its features, whitened and attended to (1, C, H, W); their `colour`; moments of the
    `finer` layers; the attention `map` (H, W) in [0, 1], and the `mean` of |A|: 0 where attention is not read."""

    seen: Tensor
    colour: Colour
    finer: list[Moments]
    map: Tensor
    mean: float

    @classmethod
    def of(cls, model: AttentionAutoencoder, net: NamedLayers, x: Tensor, attention: bool) -> Read:
        """Of a picture (1, 3, H, W) in [-1, 1]."""
        *finer, features = model.read(net, filled(x, model.cell))
        own = colour_of(features)
        white = whiten(features, own)
        a = model.attend(features)[0] if attention else torch.zeros_like(white)
        return cls(white * a + white, own, [moments(layer) for layer in finer], as_map(a)[0], float(a.abs().mean()))


def fitted(name: str, picture: ImageInput, longest: int) -> Tensor:
    """The picture (1, 3, H, W) in [-1, 1], its longer side no longer than that. Raises `SpecError` where its shorter side comes
    out below `SHORTEST` pixels."""
    scale = min(1.0, longest / max(picture.width, picture.height))
    width, height = (max(1, round(side * scale)) for side in (picture.width, picture.height))
    if min(width, height) < SHORTEST:
        raise SpecError(f"{name}: {picture.width} × {picture.height} is too narrow: read at {width} × {height}, where no side "
                        f"may be below {SHORTEST}; cut a part of it out" + ", or raise longest" * (scale < 1))
    return ImageInput.of(picture.pil(), width, height, fit="squash").tensor() * 2 - 1
