"""CLIPstyler's four losses of a painted picture y beside its content x (Kwon & Ye 2022, section 3.3).

    directional   1 − cos(ΔI(y), ΔT)                            of the whole picture
    patch         mean_i R(1 − cos(ΔI(view_i(y)), ΔT), τ),      R(l, τ) = l where l ≥ τ, else 0: such a view gets no gradient
    content       Σ_l MSE(φ_l(y), φ_l(x))                       over the perceptual net's content layers
    tv            sum: Σ_d ‖∂_d y‖₂ over four directions d, not squared, as published: of one look it grows with the square
                  root of the number of pixels.  mean: Σ_d ‖∂_d y‖₂ / √N_d, which does not

They come unweighted from `Objective.losses`; with several directions the first two are means by weight. A whole picture that
points the right way need not have the style: the smallest change that CLIP takes for it is found first. Views in perspective,
small ones and nearly whole ones, are not so easily deceived, so most of the weight is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from labkit.clip.directions import unit
from labkit.clip.views import draw_views, look
from labkit.spec import Spec


class StylePatches(Spec):
    """How CLIP looks at parts of the picture."""

    number: int = Field(16, ge=0, le=256, description="Views a step; as published 64")
    smallest: float = Field(0.35, ge=0.05, le=1, description="Side of the smallest view, as a share of the shorter side")
    largest: float = Field(1.0, ge=0.05, le=1, description="Side of the largest; as published both 0.25, 128 of 512 pixels")
    threshold: float = Field(0.3, ge=0, le=2, description="τ: a view with less loss has no part in the step; published 0.7")
    perspective: float = Field(0.5, ge=0, le=1, description="How far corners of a view are pulled inwards")
    black: bool = Field(False, description="Beside a view in perspective is black, as published; else what lies there")
    against: Literal["whole", "same"] = Field("whole", description="To the whole content, as published, or its same part")

    @property
    def sides(self) -> tuple[float, float]:
        """The smaller and the larger side, whichever field names it."""
        return min(self.smallest, self.largest), max(self.smallest, self.largest)


class StyleLosses(Spec):
    """What each loss counts."""

    directional: float = Field(250.0, ge=0, le=1e6, description="The whole picture's direction; published 500")
    patch: float = Field(9000.0, ge=0, le=1e6, description="The views' directions")
    content: float = Field(300.0, ge=0, le=1e6, description="What the perceptual net reads of the content; published 150")
    tv: float = Field(2e-3, ge=0, le=1e6, description="Total variation")
    tv_kind: Literal["sum", "mean"] = Field("sum", description="sum: as published, more for larger pictures; mean: the same")


@dataclass(frozen=True)
class Objective:
    """What a StyleNet is trained for: `directions` (K, D) with `weights` (K,), which sum to 1."""

    guide: object
    eye: object
    patches: StylePatches
    weighed: StyleLosses
    directions: Tensor
    weights: Tensor

    @torch.no_grad()
    def content(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Of content pictures (B, 3, H, W) in [0, 1]: vectors (B, D) and features, each with B in front."""
        features = self.eye.layers(x * 2 - 1, self.eye.content_layers)
        return self.guide.encode_image(_at_side(x, self.guide.size)), [features[name] for name in self.eye.content_layers]

    def losses(self, y: Tensor, x: Tensor, content: tuple[Tensor, list[Tensor]], rng: torch.Generator) -> dict[str, Tensor]:
        """The losses of painted pictures y (B, 3, H, W) of contents x, each a scalar; beside them `cosine`, the mean cosine of
        the whole pictures' directions, and `calm`, the share of views without a part in the step."""
        vectors, features = content
        n = self.patches.number // len(y) or int(self.patches.number > 0)
        whole, views = self.seen(y, n, rng, vectors, x)
        out = {"directional": 1 - self._mean(self._cosines(whole))}
        if n:
            by_view = 1 - self._cosines(views)
            kept = by_view >= self.patches.threshold
            out["patch"] = self._mean(by_view * kept)
            out["calm"] = 1 - kept.float().mean()
        read = self.eye.layers(y * 2 - 1, self.eye.content_layers)
        out["content"] = sum(F.mse_loss(read[name], one) for name, one in zip(self.eye.content_layers, features, strict=True))
        out["tv"] = total_variation(y, self.weighed.tv_kind)
        return out

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Their sum by weight."""
        return sum(getattr(self.weighed, name) * losses[name] for name in ("directional", "patch", "content", "tv")
                   if name in losses)

    def seen(self, y: Tensor, n: int, rng: torch.Generator, vectors: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """ΔI of the whole pictures (B, D) and of n views of each (B · n, D), all through CLIP at once."""
        size, p = self.guide.size, self.patches
        parts = [_at_side(y, size)]
        if n:
            views = draw_views(n, len(y), *y.shape[-2:], p.sides, p.perspective, rng, p.black)
            parts.append(look(y, views, size).clamp(0, 1))
        whole, *rest = self.guide.encode_image(torch.cat(parts)).split([len(y), len(y) * n] if n else [len(y)])
        if not n:
            return unit(whole - vectors), whole[:0]
        start = vectors.repeat_interleave(n, 0)
        if p.against == "same":
            with torch.no_grad():
                start = self.guide.encode_image(look(x, views, size).clamp(0, 1))
        return unit(whole - vectors), unit(rest[0] - start)

    def _cosines(self, seen: Tensor) -> Tensor:
        return seen @ self.directions.T  # (n, K)

    def _mean(self, by_direction: Tensor) -> Tensor:
        return (by_direction.mean(0) * self.weights).sum()


def total_variation(y: Tensor, kind: Literal["sum", "mean"] = "sum") -> Tensor:
    """Of pictures (B, 3, H, W): the mean over them of Σ_d ‖∂_d y‖₂, d across, down and along both diagonals; "mean" divides
    each norm by √N_d, N_d the number of its differences."""
    total = y.new_zeros(len(y))
    for d in (y[..., 1:] - y[..., :-1], y[..., 1:, :] - y[..., :-1, :], y[..., 1:, 1:] - y[..., :-1, :-1],
              y[..., 1:, :-1] - y[..., :-1, 1:]):
        flat = d.flatten(1)
        norm = (flat.square().sum(1) + 1e-12).sqrt()  # of a flat picture: 0, with a gradient that is a number
        total = total + (norm / max(1, flat.shape[1]) ** 0.5 if kind == "mean" else norm)
    return total.mean()


def _at_side(x: Tensor, size: int) -> Tensor:
    """Pictures at the side that CLIP reads, as its encoder brings them to it."""
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
