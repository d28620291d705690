"""Gatys' style transfer: a picture descends until its features are the content's and their statistics are the style's.

Gatys, Ecker & Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", eq. 7:

    L(x) = content · ‖F(x) − F(c)‖² / ‖F(c)‖² + style · Σ_r share_r · mean over layers of D(m_r(x), m*_r) + tv · TV(x)

D is a distance of Gram matrices, of first and second moments, or W2 (see `labkit.models.style_losses`, which also says what of
several styles may be blended linearly). Styles without masks are blended into one target; every mask is a region r of its own,
in which the moments are taken with the mask as weight.

Each term is relative to its target's size and so needs no tuning for another style picture; the paper's do.

Why pixels are a sum of planes: Adam moves every number by the same length, so that pixels of their own become speckle of all
colours, which costs a Gram matrix nothing. x = x_start + Σ_k g_k up(p_k), with planes p_k of 1, ½, ¼ … of the side in luminance
and chroma, moves broad areas together and colours in the finest plane least (Olah et al. 2017, "Feature Visualization", do so
by a Fourier basis and decorrelated colours).

Scales: the run may begin small and grow by √2, so that large strokes are laid before small ones (as Crowson's
style-transfer-pytorch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor

from labkit.clip.guidance import clamp_with_grad
from labkit.image import ImageInput, to_pil
from labkit.image.colour import from_yiq, luminance, recoloured, with_luminance
from labkit.image.style import PictureStyled, Style, fitted_style, shares
from labkit.loop import Made, NonFiniteError, Rng, Step, loop
from labkit.methods.vqgan_clip import roughness
from labkit.models.style_losses import Region, blended, content_loss, moments
from labkit.spec import PreviewEvery, Seed, Spec, SpecError, Steps

Colour = Literal["style", "luminance", "matched"]
GAINS = ((1.0, 0.3), (1.0, 0.7), (1.0, 1.0), (1.0, 1.0))  # of planes of sides 1, ½, ¼, ⅛: of luminance, and of chroma
EPS = 0.04  # Adam's, times the picture's pixels: a gradient far below it is rounding, and shall move nothing
GRAINED = Image.effect_noise((16, 16), 80).convert("RGB")


class Descent(Spec):
    """How the picture descends."""

    name: Literal["adam", "lbfgs"] = Field("adam", description="Optimiser; L-BFGS looks several times a step")
    lr: float = Field(0.03, gt=0, le=1, description="Adam's learning rate; L-BFGS searches its own length")


class Weights(Spec):
    """What counts how much; each term is relative to its target."""

    content: float = Field(1.0, ge=0, le=1000, description="Weight of the content's features")
    style: float = Field(4.0, ge=0, le=100_000, description="Weight of the style's statistics")
    tv: float = Field(0.3, ge=0, le=100, description="Weight of total variation: calm areas without speckle")


@dataclass(frozen=True)
class Goal:
    """What a picture of one size descends to: the content's features, and regions with their styles."""

    content: dict[str, Tensor]
    regions: tuple[Region, ...]


class NeuralStyle(PictureStyled):
    """Give a picture the style of others by descending to their statistics (Gatys)."""

    needs: ClassVar[tuple[str, ...]] = ("perceptual",)
    example: ClassVar[dict[str, Any]] = {
        "content": ImageInput.of(Image.linear_gradient("L").convert("RGB"), 20, 16), "start": "noise", "steps": 6, "scales": 2,
        "preview_every": 2, "styles": [{"picture": ImageInput.of(Image.radial_gradient("L").convert("RGB"), 16, 16)}]}

    steps: Steps = 60
    loss: Literal["gram", "moments", "w2"] = Field("w2", description="How statistics are compared")
    start: Literal["content", "style", "noise"] = Field("content", description="What the picture is at first")
    optimiser: Descent = Field(Descent(), description="How the picture descends")
    weights: Weights = Field(Weights(), description="What counts how much")
    scales: int = Field(1, ge=1, le=8, description="Sizes that the run goes through, each √2 of the one before")
    colour: Colour = Field("style", description="luminance, matched: keep the content's, by YIQ or by recoloured styles")
    seed: Seed = 0
    preview_every: PreviewEvery = 10

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        eye, rng = lab.perceptual, Rng(self.seed)
        device = next(eye.parameters()).device
        content = self.content.tensor()
        least = eye.least_side({*eye.style_layers, *eye.content_layers})
        sizes = sizes_of(self.content, self.scales, least)
        now = Planes(self.optimiser, start_of(self, sizes[0], rng.torch).to(device))
        goals: dict[int, Goal] = {}

        def step(i: int) -> Made:
            level = i * len(sizes) // self.steps
            if level > now.level:
                now.grow(sizes[level], level)
            if level not in goals:
                goals.clear()
                goals[level] = goal_of(self, eye, content, sizes[level], device)
            scores = now.descend(lambda x: losses_of(self, eye, x, goals[level]))
            return Made(scores, lambda: to_pil(finished(self.colour, now.picture(), content)))

        yield from loop(self.steps, {"now": now, "rng": rng}, step, self.preview_every, resume)


class Planes:
    """The picture as its start and a sum of planes, with the optimiser that moves them: one part of a run, of whatever size it
    has now."""

    def __init__(self, descent: Descent, start: Tensor):
        self.descent, self.level = descent, 0
        self._begin(start, planes_of(start))

    def _begin(self, start: Tensor, planes: list[Tensor]) -> None:
        self.start, self.planes = start, [p.requires_grad_(True) for p in planes]
        if self.descent.name == "adam":
            eps = EPS / (start.shape[2] * start.shape[3])
            self.optimiser = torch.optim.Adam(self.planes, self.descent.lr, betas=(0.9, 0.99), eps=eps)
        else:
            self.optimiser = torch.optim.LBFGS(self.planes, 1, max_iter=1, history_size=20, line_search_fn="strong_wolfe")

    def picture(self) -> Tensor:
        """(1, 3, H, W) in [0, 1], with a gradient to the planes."""
        return clamp_with_grad(self.start + sum_of(self.planes), 0, 1)

    def grow(self, size: tuple[int, int], level: int) -> None:
        """Go on at another size."""
        x = F.interpolate(self.picture().detach(), size, mode="bicubic", antialias=True).clamp(0, 1)
        self.level = level
        self._begin(x, planes_of(x))

    def descend(self, losses: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, float]:
        """One step of the optimiser; `losses(x)` gives the terms, of which "loss" is descended. Returns them as they were."""
        seen: list[dict[str, Tensor]] = []

        def closure() -> Tensor:
            self.optimiser.zero_grad()
            with torch.enable_grad():
                terms = losses(self.picture())
                terms["loss"].backward()
            seen.append(terms)
            if not torch.isfinite(self.planes[0].grad).all():
                raise NonFiniteError(f"the gradient is no longer a number; lower optimiser.lr (now {self.descent.lr})")
            return terms["loss"]

        self.optimiser.step(closure)
        return {name: float(term.detach()) for name, term in seen[0].items()}

    def state_dict(self) -> dict:
        return {"level": self.level, "start": self.start.clone(), "planes": [p.detach().clone() for p in self.planes],
                "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        device = self.start.device
        self.level = state["level"]
        self._begin(state["start"].to(device), [p.to(device) for p in state["planes"]])
        self.optimiser.load_state_dict(state["optimiser"])


def planes_of(x: Tensor) -> list[Tensor]:
    """Planes (1, 3, h, w) for a picture (1, 3, H, W), in luminance and two chromas: nothing is in them yet."""
    return [x.new_zeros(1, 3, *(max(side >> k, 1) for side in x.shape[2:])) for k in range(len(GAINS))]


def sum_of(planes: list[Tensor]) -> Tensor:
    """Σ_k g_k up(p_k) in RGB, at the finest plane's size."""
    size, total = planes[0].shape[2:], 0.0
    for p, (luma, chroma) in zip(planes, GAINS, strict=True):
        gained = p * p.new_tensor((luma, chroma, chroma)).view(1, 3, 1, 1)
        total = total + (gained if p.shape[2:] == size else F.interpolate(gained, size, mode="bilinear"))
    return from_yiq(total)


def sizes_of(content: ImageInput, scales: int, least: int) -> list[tuple[int, int]]:
    """(height, width) of each scale, the content's own last; scales whose shorter side would be under 2 · `least` are left out.
    Raises `SpecError` where the content itself is smaller than the net can see."""
    height, width = content.height, content.width
    if min(height, width) < least:
        raise SpecError(f"content: is {width} × {height}; the layers that are read need sides of {least} or more")
    sizes = [tuple(round(side / 2 ** (k / 2)) for side in (height, width)) for k in reversed(range(scales))]
    return [size for size in sizes[:-1] if min(size) >= 2 * least] + sizes[-1:]


def start_of(spec: NeuralStyle, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """What the picture is at first, (1, 3, H, W) in [0, 1]."""
    if spec.start == "noise":
        return (0.5 + 0.2 * torch.randn(1, 3, *size, generator=rng)).clamp(0, 1)
    picture = spec.content if spec.start == "content" else spec.used[0].picture
    x = picture.tensor() if spec.start == "content" else ImageInput.of(picture.pil(), size[1], size[0]).tensor()
    return F.interpolate(x, size, mode="bilinear", antialias=True).clamp(0, 1)


@torch.no_grad()
def goal_of(spec: NeuralStyle, eye, content: Tensor, size: tuple[int, int], device) -> Goal:
    """What the run descends to at a size: everything that does not change is computed here, once."""
    c = F.interpolate(content, size, mode="bilinear", antialias=True).clamp(0, 1)
    c = luminance(c) if spec.colour == "luminance" else c

    def statistics(style: Style):
        x = fitted_style(style, *size)
        least = eye.least_side(eye.style_layers)
        x = F.interpolate(x, [max(side, least) for side in x.shape[2:]], mode="bilinear")
        if spec.colour != "style":
            x = recoloured(luminance(x) if spec.colour == "luminance" else x, c)
        seen = eye.layers(x.to(device) * 2 - 1, eye.style_layers)
        return {name: moments(f) for name, f in seen.items()}

    alike: dict[str | None, list[int]] = {}
    for k, style in enumerate(spec.used):
        alike.setdefault(style.mask.sha256 if style.mask else None, []).append(k)
    share, regions = shares(spec.used, *size), []
    for mask, some in alike.items():
        each = [statistics(spec.used[k]) for k in some]
        targets = {name: blended([one[name] for one in each], [spec.used[k].weight for k in some]) for name in each[0]}
        there, everywhere = share[some].sum(0).to(device), mask is None and len(alike) == 1
        regions.append(Region(targets, None if everywhere else there, float(there.mean())))
    return Goal(eye.layers(c.to(device) * 2 - 1, eye.content_layers), tuple(r for r in regions if r.share > 0))


def losses_of(spec: NeuralStyle, eye, x: Tensor, goal: Goal) -> dict[str, Tensor]:
    """The terms of a picture (1, 3, H, W) in [0, 1], and their weighted sum as "loss"."""
    shown = luminance(x) if spec.colour == "luminance" else x
    seen = eye.layers(shown * 2 - 1, {*eye.style_layers, *eye.content_layers})
    content = torch.stack([content_loss(seen[name], f)[0] for name, f in goal.content.items()]).mean()
    style = torch.stack([region.loss(seen, spec.loss)[0] for region in goal.regions]).sum()
    w = spec.weights
    return {"loss": w.content * content + w.style * style + w.tv * roughness(shown), "content": content, "style": style}


def finished(colour: Colour, x: Tensor, content: Tensor) -> Tensor:
    """The picture at the content's size (1, 3, H, W), with the content's colours where they are kept by luminance."""
    x = x.detach().cpu()
    if x.shape != content.shape:
        x = F.interpolate(x, content.shape[2:], mode="bicubic", antialias=True).clamp(0, 1)
    return with_luminance(content, luminance(x)) if colour == "luminance" else x
