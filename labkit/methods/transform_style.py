"""A learnt style on any picture in one pass: Johnson's transform network.

    x̂ = c + strength · (net(c) − c)

Johnson, Alahi & Fei-Fei 2016, see `labkit.models.transform_net`. The network knows one style (`labkit train transform_net`).
The strength blends in picture space, pixel by pixel: 0 is the content exactly and the way between is straight. Blending weights
instead, those of the instance norms for instance, would need a second network to blend with.

There are two steps: the picture at half its size, which takes a quarter of the time, and the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field

from labkit.image import ImageInput, to_pil
from labkit.image.colour import luminance, with_luminance
from labkit.loop import Made, Rng, Step, loop
from labkit.spec import Method


class TransformStyle(Method):
    """Put a learnt style on a picture in one pass (Johnson)."""

    needs: ClassVar[tuple[str, ...]] = ("transform_net",)
    example: ClassVar[dict[str, Any]] = {"content": ImageInput.of(Image.linear_gradient("L").convert("RGB"), 18, 16)}

    content: ImageInput = Field(..., description="The picture that is to take on the style; the result has its size")
    strength: float = Field(1.0, ge=0, le=1, description="From the content, 0, to the styled picture, 1: blended in pixels")
    colour: Literal["style", "luminance"] = Field("style", description="luminance: keep the content's colours, by YIQ")

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        net = lab.transform_net
        device, content = next(net.parameters()).device, self.content.tensor()
        size = content.shape[2:]

        @torch.no_grad()
        def step(i: int) -> Made:
            c = content if i else F.interpolate(content, [max(side // 2, 1) for side in size], mode="area")
            x = ((net(c.to(device) * 2 - 1) + 1) / 2).clamp(0, 1).cpu()
            x = x if i else F.interpolate(x, size, mode="bilinear")
            if self.colour == "luminance":
                x = with_luminance(content, luminance(x))
            made = content + self.strength * (x - content)
            return Made({"moved": float((made - content).abs().mean())}, lambda: to_pil(made))

        yield from loop(2, {"rng": Rng(0)}, step, 1, resume)
