"""Any style picture in one pass: the content's features take on the style's statistics and are decoded (AdaIN, EFDM).

    x̂ = D(f + strength · Σ_k share_k · (T(f, f_k) − f)),   f = enc(content), f_k = enc(style k)

T is AdaIN (Huang & Belongie 2017) or EFDM (Zhang et al. 2022), see `labkit.models.adain`; share_k says how much of style k
there is at a place: its weight without masks, the feathered mask with them, resized to the features.

Several styles are blended in features, as in Huang & Belongie, section 7.4. That is linear in means and standard deviations,
and in EFDM in the sorted values: per channel the barycentre of the styles' distributions under W2. It is not the mixture of the
styles, whose raw moments `labkit.methods.neural_style` blends. Statistics of the content are the whole picture's, also under a
mask.

There are two steps, as there are two things to see: what the decoder alone makes of the content, and the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor

from labkit.image import ImageInput, to_pil
from labkit.image.colour import luminance, recoloured, with_luminance
from labkit.image.style import PictureStyled, fitted_style, shares
from labkit.loop import Made, Rng, Step, loop
from labkit.models.adain import WAYS, padded
from labkit.models.load import fingerprint
from labkit.spec import SpecError

LEAST = 16  # pixels: a convolution mirrors one cell of the features, of which there are four then


class AdaptiveStyle(PictureStyled):
    """Give a picture the style of others in one pass (AdaIN, EFDM)."""

    needs: ClassVar[tuple[str, ...]] = ("perceptual", "adain")
    example: ClassVar[dict[str, Any]] = {
        "content": ImageInput.of(Image.linear_gradient("L").convert("RGB"), 18, 16),
        "styles": [{"picture": ImageInput.of(Image.radial_gradient("L").convert("RGB"), 16, 16)}]}

    way: Literal["adain", "efdm"] = Field("adain", description="Mean and deviation, or the whole distribution of each channel")
    strength: float = Field(1.0, ge=0, le=1, description="From the content's own features, 0, to those with the style, 1")
    colour: Literal["style", "luminance", "matched"] = Field(
        "style", description="luminance, matched: keep the content's, by YIQ or by recoloured styles")

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        eye, decoder = lab.perceptual, lab.adain
        if decoder.config.eye not in ("", fingerprint(eye)):
            raise SpecError("adain: this decoder reads the features of another perceptual net than the lab's; give the lab the "
                            "net that it was trained with, or train one: python -m labkit train adain")
        device, content = next(decoder.parameters()).device, self.content.tensor()

        @torch.no_grad()
        def step(i: int) -> Made:
            f = encoded(eye, decoder, content.to(device))
            t = f + (self.strength * (self.target(eye, decoder, f, content) - f) if i else 0)
            x = ((decoder(t) + 1) / 2).clamp(0, 1)[..., :content.shape[2], :content.shape[3]].cpu()
            if i and self.colour == "luminance":
                x = with_luminance(content, luminance(x))
            moved = float((t - f).square().mean() / f.square().mean().clamp_min(1e-12))
            return Made({"moved": moved}, lambda: to_pil(x))

        yield from loop(2, {"rng": Rng(0)}, step, 1, resume)

    def target(self, eye, decoder, f: Tensor, content: Tensor) -> Tensor:
        """The features f (1, C, h, w) with the styles' statistics, where and as far as there are styles."""
        share = F.interpolate(shares(self.used, *content.shape[2:])[None], f.shape[2:], mode="area")[0].to(f)
        out = f
        for style, there in zip(self.used, share, strict=True):
            x = fitted_style(style, *content.shape[2:])
            x = recoloured(x, content) if self.colour == "matched" else x
            out = out + there * (WAYS[self.way](f, encoded(eye, decoder, x.to(f))) - f)
        return out


def encoded(eye, decoder, x: Tensor) -> Tensor:
    """The features that the decoder reads, of a picture (1, 3, H, W) in [0, 1] of any size."""
    layer = decoder.config.layer
    return eye.layers(padded(x, decoder.step, LEAST) * 2 - 1, [layer])[layer]
