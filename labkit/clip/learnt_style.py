"""A style that was learnt is a thing: a StyleNet and what it was trained for, to keep, to apply to other pictures, to mix.

    style.apply(picture, StyleOutput(strength=0.8))                    another picture, in one pass
    style.save("watercolour.safetensors");  LearntStyle.load("watercolour.safetensors")
    style.mixed(other, 0.5).apply(picture)                        half of each

The file holds tensors and a JSON of what they are (`labkit.weights`): reading it runs nothing. Which CLIP it was learnt with
stands in it; to apply it none is needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from labkit.image import to_pil, to_tensor
from labkit.models.load import config_of
from labkit.models.style_net import StyleNet
from labkit.spec import Spec
from labkit.weights import WeightsError, load_tensors, save_tensors
from labkit.zoo import load_state

KIND = "learnt style"


class StyleOutput(Spec):
    """What becomes of a StyleNet's picture; none of it needs another run."""

    strength: float = Field(1.0, ge=0, le=1.5, description="From the content (0) to StyleNet's picture (1), and beyond")
    contrast: float = Field(1.0, ge=0.5, le=3, description="Contrast; the published code makes it 1.5, unasked")
    stretch: bool = Field(False, description="Stretch to the full range, as the published code does")

    def of(self, content: Tensor, styled: Tensor) -> Tensor:
        """Content and StyleNet's picture (B, 3, H, W) in [0, 1] → what is shown of it, in [0, 1]."""
        y = (content + self.strength * (styled - content)).clamp(0, 1)
        if self.contrast != 1:
            grey = (y * y.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True).mean((2, 3), keepdim=True)
            y = (grey + self.contrast * (y - grey)).clamp(0, 1)
        if self.stretch:
            low, high = y.amin((1, 2, 3), keepdim=True), y.amax((1, 2, 3), keepdim=True)
            y = torch.where(high > low, (y - low) / (high - low).clamp_min(1e-6), y)
        return y


@dataclass(frozen=True)
class LearntStyle:
    """`nets` with `weights` that sum to 1 (one, unless it was mixed), frozen; `about` says of each what it was trained for:
    `styles` (words, or "a picture"), `source`, `guide` (name and sha256 of the CLIP), `steps`, `seed`, `size`, `pictures`."""

    nets: tuple[StyleNet, ...]
    weights: tuple[float, ...]
    about: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, net: StyleNet, about: dict[str, Any]) -> LearntStyle:
        """A copy of a net as it is now."""
        return cls((deepcopy(net).cpu().eval().requires_grad_(False),), (1.0,), (about,))

    @property
    def called(self) -> str:
        """"a watercolour", or "0.5 a watercolour + 0.5 a mosaic"."""
        names = [" and ".join(one["styles"]) for one in self.about]
        return names[0] if len(names) == 1 else " + ".join(f"{w:g} {n}" for w, n in zip(self.weights, names, strict=True))

    @torch.no_grad()
    def paint(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] → the same in this style, at full strength. Mixed styles are mixed as pictures."""
        return sum(w * net.to(x.device)(x) for w, net in zip(self.weights, self.nets, strict=True))

    def apply(self, picture: Image.Image, output: StyleOutput | None = None) -> Image.Image:
        """A picture of any size and mode in this style."""
        x = to_tensor(picture)
        return to_pil((output or StyleOutput()).of(x, self.paint(x)))

    def mixed(self, other: LearntStyle, share: float = 0.5) -> LearntStyle:
        """1 − `share` of this style and `share` of another, of any widths. Raises ValueError for a share outside 0 to 1.

        Their pictures are mixed and not their weights: half-way between the weights of two nets that began alike most pictures
        had neither style (131 of 560 had, on the pocket models), half-way between their pictures most had one (413)."""
        if not 0 <= share <= 1:
            raise ValueError(f"share: {share!r} must lie between 0, this style alone, and 1, the other alone")
        weights = (*(w * (1 - share) for w in self.weights), *(w * share for w in other.weights))
        return LearntStyle(self.nets + other.nets, weights, self.about + other.about)

    def save(self, path: str | os.PathLike) -> Path:
        """Write it as safetensors, whole or not at all. Raises `WeightsError` for a mixed one."""
        if len(self.nets) != 1:
            raise WeightsError("save: this style is mixed; save those that it is mixed of")
        about = {"kind": KIND, "config": config_of(self.nets[0]), **self.about[0]}
        return save_tensors(path, self.nets[0].state_dict(), about, dtype=None)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LearntStyle:
        """Read one back. Raises `WeightsError` and its kin: no file, another kind of file, a net of another width."""
        tensors, about = load_tensors(path)
        if about.get("kind") != KIND:
            raise WeightsError(f"{path}: says it is {about.get('kind', 'nothing known')!r}, not a learnt style; make one with "
                               "CLIPStyler, or labkit style --save")
        try:
            with torch.device("meta"):
                net = StyleNet.from_config(about["config"])
        except (TypeError, ValueError, KeyError) as error:
            raise WeightsError(f"{path}: its config does not describe a StyleNet ({error})") from error
        load_state(net, tensors, str(path))
        told = {key: value for key, value in about.items() if key not in ("kind", "config")}
        told["styles"] = [str(one) for one in told["styles"]] if isinstance(told.get("styles"), list) else ["a style"]
        return cls((net.eval().requires_grad_(False),), (1.0,), (told,))


def laid_over(content: Tensor, painted: Sequence[Tensor], share: Tensor) -> Tensor:
    """Pictures (1, 3, H, W) laid over the content by their shares (K, H, W) of each pixel; what they leave is the content's."""
    rest = content * (1 - share.sum(0))
    return rest + sum(one * part for one, part in zip(painted, share, strict=True))
