"""VQGAN+CLIP: paint a prompt by descending through CLIP and a VQGAN's decoder into the latent.

Crowson et al. 2022, "VQGAN-CLIP: Open Domain Image Generation and Editing with Natural Language Guidance":

    picture(z) = clamp((decode(quantize(z)) + 1) / 2, 0, 1)
    L(z) = Σ_p prompt_loss(CLIP(cutouts(picture(z))), p) + init_weight · MSE(z, z_init) / 2
    z ← clamp(optimiser(z, ∂L/∂z), codebook min, codebook max), per channel

The gradient meets the picture in two halves: ∂L/∂picture is summed over batches of cutouts, then carried through the decoder
once. So a batch that does not fit into memory is split without changing the gradient.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from labkit.clip.cutouts import Cutouts, draw
from labkit.clip.guidance import clamp_with_grad
from labkit.clip.pull import ImagePrompt, NoisePrompt, picture_gradient, targets_of
from labkit.image import ImageInput, to_pil
from labkit.prompt import parse_story
from labkit.spec import MAX_SEED, Method, NonFiniteError, Spec, SpecError, Step


class Canvas(Spec):
    """Size and start of the picture."""

    width: int = Field(64, ge=16, le=2048, description="Pixels across; a multiple of the VQGAN's f")
    height: int = Field(64, ge=16, le=2048, description="Pixels down; a multiple of the VQGAN's f")
    start: Literal["codes", "noise", "gradient", "image"] = Field(
        "codes", description="codes: random codes; noise, gradient: such a picture, encoded; image: the initial image")
    init: ImageInput | None = Field(None, description="Initial image, at canvas size")
    init_weight: float = Field(0.0, ge=0, le=100, description="Pull towards the initial latent (not towards zero)")

    @model_validator(mode="after")
    def _image_and_start_agree(self):
        if (self.start == "image") != (self.init is not None):
            raise ValueError("start='image' and init go together: give both or neither")
        if self.init and (self.init.width, self.init.height) != (self.width, self.height):
            raise ValueError(f"init is {self.init.width} × {self.init.height}, the canvas {self.width} × {self.height}: "
                             "make it with ImageInput.of(image, width, height)")
        return self


class Optimiser(Spec):
    """How the latent descends."""

    name: Literal["adam", "adamw", "adagrad"] = Field("adam", description="Optimiser of the latent")
    lr: float = Field(0.1, gt=0, le=5, description="Learning rate")
    tv: float = Field(0.0, ge=0, le=10, description="Weight of the latent's total variation: smoother pictures")


OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}


class VQGANCLIP(Method):
    """Paint a prompt with VQGAN+CLIP."""

    needs: ClassVar[tuple[str, ...]] = ("guide", "vqgan")
    score: ClassVar[str | None] = "clip"
    weighted_prompts: ClassVar[bool] = True

    prompt: str = Field(..., min_length=1, max_length=2000,
                        description="What to paint: text[:weight[:stop]] joined by |; ^ changes the prompt on the way")
    steps: int = Field(200, ge=1, le=10_000, description="Optimiser steps")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of everything random")
    canvas: Canvas = Field(Canvas(), description="Size and start")
    cutouts: Cutouts = Field(Cutouts(), description="How CLIP looks")
    optimiser: Optimiser = Field(Optimiser(), description="How the latent descends")
    image_prompts: tuple[ImagePrompt, ...] = Field((), max_length=8, description="Pictures to resemble")
    noise_prompts: tuple[NoisePrompt, ...] = Field((), max_length=8, description="Random directions of CLIP's space")
    preview_every: int = Field(10, ge=1, le=1000, description="Steps between previews")

    @field_validator("prompt")
    @classmethod
    def _prompt_parses(cls, text: str) -> str:
        parse_story(text)
        return text

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        vqgan, guide = lab.vqgan, lab.guide
        device = next(vqgan.parameters()).device
        rng = torch.Generator().manual_seed(self.seed)
        chapters = [targets_of(guide, c, self.image_prompts, self.noise_prompts) for c in parse_story(self.prompt)]
        start = initial_latent(self.canvas, vqgan, rng).to(device)
        z = start.clone().requires_grad_(True)
        low, high = (v.view(1, -1, 1, 1) for v in torch.aminmax(vqgan.codebook.detach(), dim=0))
        optimiser = OPTIMISERS[self.optimiser.name]([z], lr=self.optimiser.lr)
        chunk, first = min(self.cutouts.chunk or self.cutouts.cutn, self.cutouts.cutn), 0
        if resume is not None:
            first, chunk = resume["i"] + 1, resume["chunk"]
            z.data.copy_(resume["z"])
            optimiser.load_state_dict(copy.deepcopy(resume["optimiser"]))  # it keeps the tensors it is given
            rng.set_state(resume["rng"])
        notices, last = [n for chapter in parse_story(self.prompt) for p in chapter for n in guide.notices(p.text)], None
        for i in range(first, self.steps):
            targets = chapters[i * len(chapters) // self.steps]
            with torch.enable_grad():
                decoded = clamp_with_grad((vqgan.decode(vqgan.quantize(z)[0]) + 1) / 2, 0, 1)
            looks = draw(self.cutouts, self.canvas.height, self.canvas.width, guide.size, rng)
            pull, losses, score, used = picture_gradient(decoded.detach(), guide, looks, targets, chunk)
            if used < chunk:
                notices = [*notices, f"out of memory with {chunk} cutouts a batch; going on with {used}, same gradient"]
                chunk = used
            with torch.enable_grad():
                rest = self.canvas.init_weight * F.mse_loss(z, start) / 2 + self.optimiser.tv * total_variation(z)
                (grad,) = torch.autograd.grad((decoded * pull).sum() + rest, z)
            if not (math.isfinite(score) and torch.isfinite(grad).all()):
                raise NonFiniteError(f"step {i}: the gradient is no longer a number; the last good picture is kept. "
                                     f"Lower optimiser.lr (now {self.optimiser.lr})", last)
            look = (i + 1) % self.preview_every == 0 or i in (0, self.steps - 1)
            picture = to_pil(decoded.detach()) if look else None
            z.grad = grad
            optimiser.step()
            with torch.no_grad():
                z.clamp_(low, high)
            extras = {"notices": tuple(notices), "losses": losses}

            def snapshot(at: int = i, chunk: int = chunk) -> dict:
                if at != i:  # noqa: B023 (where the run is now)
                    raise ValueError(f"step {at}: the run has gone on; take a step's state before the next")
                return {"i": at, "chunk": chunk, "z": z.detach().clone(), "optimiser": optimiser.state_dict(),
                        "rng": rng.get_state()}

            step = Step(i, self.steps, picture, {"clip": score, "loss": sum(losses)}, extras, snapshot)
            last = step if picture is not None else last
            yield step


def initial_latent(canvas: Canvas, vqgan, rng: torch.Generator) -> Tensor:
    """The latent a run starts from, (1, C, H/f, W/f). Raises `SpecError` if f does not divide the canvas."""
    for side in ("width", "height"):
        value = getattr(canvas, side)
        if value % vqgan.f:
            below = value // vqgan.f * vqgan.f
            raise SpecError(f"canvas.{side}: {value} is not a multiple of this VQGAN's f = {vqgan.f}; "
                            f"use {below} or {below + vqgan.f}")
    h, w = canvas.height // vqgan.f, canvas.width // vqgan.f
    if canvas.start == "codes":
        return vqgan.lookup(torch.randint(vqgan.n_embed, (1, h, w), generator=rng).to(vqgan.codebook.device)).detach()
    if canvas.start == "image":
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
