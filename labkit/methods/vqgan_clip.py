"""VQGAN+CLIP: paint a prompt by descending through CLIP and a VQGAN's decoder into the latent.

Crowson et al. 2022, "VQGAN-CLIP: Open Domain Image Generation and Editing with Natural Language Guidance":

    picture(z) = clamp((decode(quantize(z)) + 1) / 2, 0, 1)
    L(z) = Σ_p prompt_loss(CLIP(cutouts(picture(z))), p) + smooth · roughness(picture(z)) + init_weight · MSE(z, z_init) / 2
    z ← clamp(optimiser(z, ∂L/∂z), codebook min, codebook max), per channel

The gradient meets the picture in two halves: ∂L/∂picture is summed over batches of cutouts, then carried through the decoder
once. So a batch that does not fit into memory is split without changing the gradient.

Why `tries`: the descent ends in the nearest picture that CLIP accepts, and which that is the start decides: of one prompt's
random starts some become what was asked for, and others a shape of its colour that only CLIP takes for it. These also score a
little lower, early on. So several starts set out, all seen through the same cutouts, and the one they liked best goes on.

Why `smooth`: Adam moves every cell of the latent by the same length, however small its gradient. Where the prompt asks for
nothing, in a plain background, the gradient is the noise of the cutouts, the cells walk at random and the picture is hatched.
A weak pull towards calm areas decides there and only there; its price is linear in a step's height, so that outlines stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from labkit.clip.cutouts import Cutouts, Looks, draw
from labkit.clip.guidance import clamp_with_grad
from labkit.clip.pull import ImagePrompt, NoisePrompt, Target, clip_score, picture_gradient, smaller_batch, targets_of
from labkit.image import ImageInput, to_pil
from labkit.loop import Made, NonFiniteError, Rng, Step, Values, loop
from labkit.prompt import parse_story
from labkit.spec import Prompted, Spec, SpecError, Steps


class Canvas(Spec):
    """Size and start of the picture."""

    width: int = Field(64, ge=16, le=2048, description="Pixels across; a multiple of the VQGAN's f")
    height: int = Field(64, ge=16, le=2048, description="Pixels down; a multiple of the VQGAN's f")
    start: Literal["codes", "noise", "gradient"] = Field(
        "codes", description="Without an initial image: random codes, or a picture of noise or a gradient, encoded")
    tries: int = Field(3, ge=1, le=16, description="Random starts; after two fifths of the steps the best goes on alone")
    init: ImageInput | None = Field(None, description="Initial image, at canvas size")
    init_weight: float = Field(0.0, ge=0, le=100, description="Pull towards the initial latent (not towards zero)")

    @model_validator(mode="after")
    def _init_fits(self):
        if self.init and (self.init.width, self.init.height) != (self.width, self.height):
            raise ValueError(f"init is {self.init.width} × {self.init.height}, the canvas {self.width} × {self.height}: "
                             "make it with ImageInput.of(image, width, height)")
        return self


class Optimiser(Spec):
    """How the latent descends."""

    name: Literal["adam", "adamw", "adagrad"] = Field("adam", description="Optimiser of the latent")
    lr: float = Field(0.5, gt=0, le=5, description="Learning rate")
    smooth: float = Field(0.5, ge=0, le=10, description="Weight of the picture's total variation: calm areas without hatching")
    tv: float = Field(0.0, ge=0, le=10, description="Weight of the latent's total variation: smoother, but less of the prompt")


RECENT = 5  # steps over which a start's scores are averaged: those of one step's few cutouts waver
OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}


class VQGANCLIP(Prompted):
    """Paint a prompt with VQGAN+CLIP."""

    needs: ClassVar[tuple[str, ...]] = ("guide", "vqgan")
    score: ClassVar[str | None] = "clip"
    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2,
                                         "canvas": {"width": 32, "height": 16}, "cutouts": {"cutn": 4}}

    prompt: str = Field(..., min_length=1, max_length=2000,
                        description="What to paint: text[:weight[:stop]] joined by |; ^ changes the prompt on the way")
    steps: Steps = 60
    canvas: Canvas = Field(Canvas(), description="Size and start")
    cutouts: Cutouts = Field(Cutouts(), description="How CLIP looks")
    optimiser: Optimiser = Field(Optimiser(), description="How the latent descends")
    image_prompts: tuple[ImagePrompt, ...] = Field((), max_length=8, description="Pictures to resemble")
    noise_prompts: tuple[NoisePrompt, ...] = Field((), max_length=8, description="Random directions of CLIP's space")

    @field_validator("prompt")
    @classmethod
    def _prompt_parses(cls, text: str) -> str:
        parse_story(text)
        return text

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        vqgan, guide, rng = lab.vqgan, lab.guide, Rng(self.seed)
        device, story = next(vqgan.parameters()).device, parse_story(self.prompt)
        chapters = [targets_of(guide, c, self.image_prompts, self.noise_prompts) for c in story]
        # An initial image is one start, however often it is encoded.
        tries = 1 if self.canvas.init else self.canvas.tries
        start = torch.cat([initial_latent(self.canvas, vqgan, rng.torch) for _ in range(tries)]).to(device)
        now = Values(z=start.clone().requires_grad_(True), chunk=self.cutouts.batch, chosen=0 if tries == 1 else -1,
                     liked=torch.zeros(tries))
        choice = self.steps // len(story) * 2 // 5
        low, high = (v.view(1, -1, 1, 1) for v in torch.aminmax(vqgan.codebook.detach(), dim=0))
        optimiser = OPTIMISERS[self.optimiser.name]([now.z], lr=self.optimiser.lr)
        notices = [line for chapter in story for p in chapter for line in guide.notices(p.text)]

        def step(i: int) -> Made:
            targets = chapters[i * len(chapters) // self.steps]
            looks = draw(self.cutouts, self.canvas.height, self.canvas.width, guide.size, rng.torch)
            now.z.grad = torch.zeros_like(now.z)
            ways = [descend(k, targets, looks) for k in (range(tries) if now.chosen < 0 else [now.chosen])]
            if not torch.isfinite(now.z.grad).all():
                raise NonFiniteError(f"the gradient is no longer a number; lower optimiser.lr (now {self.optimiser.lr})")
            optimiser.step()
            with torch.no_grad():
                now.z.clamp_(low, high)
            for scores, _, _, k in ways:
                now.liked[k] += (scores["cutouts"] - now.liked[k]) / min(i + 1, RECENT)
            scores, picture, losses, k = max(ways, key=lambda way: now.liked[way[3]])
            if i >= choice:
                now.chosen = k
            return Made(scores, lambda: to_pil(picture), {"notices": tuple(notices), "losses": losses})

        def descend(k: int, targets: list[Target], looks: Looks) -> tuple[dict[str, float], Tensor, list[float], int]:
            """Add the gradient of start k; its scores, picture, losses by prompt, and k."""
            z = now.z[k:k + 1].detach().requires_grad_(True)
            with torch.enable_grad():
                decoded = clamp_with_grad((vqgan.decode(vqgan.quantize(z)[0]) + 1) / 2, 0, 1)
            picture = decoded.detach()
            pull, losses, seen, used = picture_gradient(picture, guide, looks, targets, now.chunk)
            notices.extend(smaller_batch(now.chunk, used))
            now.chunk = used
            with torch.enable_grad():
                rest = self.canvas.init_weight * F.mse_loss(z, start[k:k + 1]) / 2 + self.optimiser.tv * total_variation(z)
                rest = rest + self.optimiser.smooth * roughness(decoded)
                now.z.grad[k:k + 1] = torch.autograd.grad((decoded * pull).sum() + rest, z)[0]
            return {"clip": clip_score(picture, guide, targets), "cutouts": seen, "loss": sum(losses)}, picture, losses, k

        parts = {"now": now, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


def initial_latent(canvas: Canvas, vqgan, rng: torch.Generator) -> Tensor:
    """The latent a run starts from, (1, C, H/f, W/f). Raises `SpecError` if f does not divide the canvas."""
    for side in ("width", "height"):
        value = getattr(canvas, side)
        if value % vqgan.f:
            below = value // vqgan.f * vqgan.f
            raise SpecError(f"canvas.{side}: {value} is not a multiple of this VQGAN's f = {vqgan.f}; "
                            f"use {below} or {below + vqgan.f}")
    h, w = canvas.height // vqgan.f, canvas.width // vqgan.f
    if canvas.init is None and canvas.start == "codes":
        return vqgan.lookup(torch.randint(vqgan.n_embed, (1, h, w), generator=rng).to(vqgan.codebook.device)).detach()
    if canvas.init is not None:
        x = canvas.init.tensor()
    elif canvas.start == "noise":
        x = torch.rand(1, 3, canvas.height, canvas.width, generator=rng)
    else:
        a, b = torch.rand(2, 1, 3, 1, 1, generator=rng)
        x = a + (b - a) * torch.linspace(0, 1, canvas.height).view(1, 1, -1, 1).expand(1, 1, -1, canvas.width)
    with torch.no_grad():
        return vqgan.encode(x.to(vqgan.codebook.device) * 2 - 1)[0]


def total_variation(z: Tensor) -> Tensor:
    """Mean squared difference between neighbours of a map (B, C, H, W)."""
    return (z[..., 1:, :] - z[..., :-1, :]).square().mean() + (z[..., 1:] - z[..., :-1]).square().mean()


def roughness(picture: Tensor) -> Tensor:
    """Total variation of a picture (B, 3, H, W) in [0, 1]: the mean of √(d² + 0.03²) over neighbours' differences d, across and
    down. Linear from some eight of 256 grey levels on: an outline costs what a slow transition of its height does, hatching
    costs every stroke."""
    across, down = picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]
    return (across.square() + 1e-3).sqrt().mean() + (down.square() + 1e-3).sqrt().mean()
