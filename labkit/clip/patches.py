"""An occlusion map for one text and one image (Zeiler & Fergus 2014): what is lost when a patch is covered.

fall[r, c] = cos(t, v(x)) − cos(t, v(x + m_rc · (mean(x) − x)))          m_rc: a soft-edged patch in [0,
1] map = Σ m_rc · fall[r, c] / Σ m_rc
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from labkit.clip.figures import three_panels
from labkit.image import to_rgb
from labkit.spec import NonFiniteError


@dataclass(frozen=True)
class PatchMap:
    """How much the cosine of text and image falls when a patch is covered.

    `falls` (R, C) holds cosine(whole) − cosine(covered) for the patch whose upper left corner is at
    (`stops[r]`, `stops[c]`); `map` (S, S), in the picture of side S that the model reads, is at each pixel
    their mean weighted by how much each patch covers it. Positive: the text loses something there. Negative:
    the text fits better without it.

    What it does not show: no segmentation and no cause (covering is itself unnatural, and what the model
    makes of a smooth blot is in the number too); nothing finer than a patch; and where a thing is to be seen
    twice, or is larger than the patch, covering one part may change nothing.
    """

    text: str
    image: Image.Image = field(repr=False)
    cosine: float
    falls: Tensor = field(repr=False)
    map: Tensor = field(repr=False)
    patch: int
    stride: int
    stops: tuple[int, ...]
    model: str = ""
    notices: list[str] = field(default_factory=list)

    @property
    def table(self) -> pd.DataFrame:
        """The falls as a data frame, labelled by the patch's upper edge (rows) and left edge (columns) in
        pixels."""
        return pd.DataFrame(self.falls.numpy(), index=list(self.stops), columns=list(self.stops))

    def figure(self):
        """Picture, map and overlay, with a caption that says how the map is made and what it does not
        show."""
        side = len(self.map)
        caption = (
            f"How: the picture is read at {side} × {side}; a soft-edged patch of {self.patch} × {self.patch} pixels in "
            f"the picture's mean colour covers one place after another, {self.stride} pixels apart; red is how much "
            "the cosine falls where it is covered, blue where the text fits better without it. Not shown: no "
            "segmentation and no cause, for a covered picture is itself unnatural; nothing finer than the patch; what "
            "is seen twice or is larger than the patch may leave no mark."
        )
        if self.notices:
            caption += f" Note: {'; '.join(self.notices)}."
        return three_panels(
            self.image,
            self.map.numpy(),
            title=f"“{self.text}”: cosine {self.cosine:.3f} (CLIP: {self.model})",
            unit="fall",
            caption=caption,
        )


@torch.no_grad()
def patch_map(lab, text: str, image: Image.Image, patch: int = 8, stride: int = 4, batch: int = 64) -> PatchMap:
    """Which patches the text is near: see `PatchMap`. `patch` and `stride` in pixels of the picture that the
    model reads (64 pocket, 224 ViT-B); 1 ≤ stride ≤ patch ≤ that side. It takes about (side / stride)²
    encodings of the image."""
    encoder = lab.clip
    size = encoder.size
    for name, value, most in (("patch", patch, size), ("stride", stride, patch), ("batch", batch, 2**16)):
        if not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"{name}={value!r}: must be a whole number from 1 to {most}")
    if not text.strip():
        raise ValueError("text: is empty; write what to look for")
    picture = to_rgb(image)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float().to(encoder.device) / 255
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    goal = encoder.encode_text([text])[0]
    whole = encoder.encode_image(x)[0] @ goal
    # The last patch ends at the edge, whatever the stride.
    stops = tuple(dict.fromkeys([*range(0, size - patch, stride), size - patch]))
    profile = soft_patches(stops, patch, size).to(x)
    fill = x.mean((2, 3), keepdim=True)
    places = [(r, c) for r in range(len(stops)) for c in range(len(stops))]
    covered = []
    for k in range(0, len(places), batch):
        rows, columns = zip(*places[k : k + batch], strict=True)
        cover = (profile[list(rows), :, None] * profile[list(columns), None, :])[:, None]
        covered.append(encoder.encode_image(x + cover * (fill - x)) @ goal)
    falls = (whole - torch.cat(covered)).view(len(stops), len(stops))
    if not bool(falls.isfinite().all()):
        raise NonFiniteError(f"{encoder.name} gave NaN or infinity for this text or image")
    weight = profile.sum(0)
    spread = profile.T @ falls @ profile / (weight[:, None] * weight[None, :])
    return PatchMap(
        text,
        picture,
        float(whole),
        falls.cpu(),
        spread.cpu(),
        patch,
        stride,
        stops,
        encoder.name,
        encoder.notices(text),
    )


def soft_patches(stops: tuple[int, ...], patch: int, size: int) -> Tensor:
    """Profiles (R, size) in [0, 1] of patches from each stop on: a box blurred by a Gaussian of σ = patch /
    8, so that the cover has no hard edge of its own; a patch is the product of two."""
    centres, a = torch.arange(size) + 0.5, torch.tensor(stops, dtype=torch.float32)[:, None]
    sharp = math.sqrt(2) * patch / 8
    return 0.5 * (torch.erf((centres - a) / sharp) - torch.erf((centres - a - patch) / sharp))
