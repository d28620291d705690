"""CLIP-guided diffusion: an unconditional diffusion model draws, CLIP tells every step where to lean.

Crowson 2021 (the "CLIP Guided Diffusion" notebooks), after Dhariwal & Nichol 2021, "Diffusion Models Beat GANs", section 4:

    x_in = f x̂_0 + (1 − f) x,   f = √(1 − ᾱ_t)          what CLIP looks at
    L(x) = clip_guidance_scale · Σ_p prompt_loss(CLIP(cutouts(x_in)), p)
         + range_scale · mean (x̂_0 − clamp x̂_0)² + tv_scale · TV(x_in) + sat_scale · mean |x_in − clamp x_in|
         + init_scale · perceptual(x_in, init)
    g = −∂L/∂x                                            through the model: x̂_0 depends on x, so the range term acts

What a sampler makes of g stands in `labkit.models.sampler`. The scales mean one thing at 25 steps, another at 250 or on another
sampler; a `strength` gives the sum a length that means the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from labkit.clip.cutouts import Cutouts, draw
from labkit.clip.pull import ImagePrompt, clip_score, picture_gradient, smaller_batch, targets_of
from labkit.image import ImageInput, to_pil
from labkit.loop import Made, NonFiniteError, Rng, Step, Values, loop
from labkit.models.judge import perceptual_distance
from labkit.models.sampler import Belief, Stage, as_function, path, start, take
from labkit.prompt import parse
from labkit.spec import PreviewEvery, Prompted, Spec, SpecError


class DiffusionCanvas(Spec):
    """Size and start of the picture."""

    width: int = Field(64, ge=16, le=1024, description="Pixels across; a multiple of what the model's levels divide by")
    height: int = Field(64, ge=16, le=1024, description="Pixels down; likewise")
    init: ImageInput | None = Field(None, description="Initial image, at canvas size")
    skip: float = Field(0.0, ge=0, le=0.95, description="Share of the steps to skip: start from the initial image, noised")
    init_scale: float = Field(0.0, ge=0, le=100_000, description="Weight of the perceptual distance to the initial image")

    @model_validator(mode="after")
    def _init_is_there_and_fits(self):
        if self.init is None and (self.skip or self.init_scale):
            raise ValueError("skip and init_scale need an initial image: give init, or leave both at 0")
        if self.init and (self.init.width, self.init.height) != (self.width, self.height):
            raise ValueError(f"init is {self.init.width} × {self.init.height}, the canvas {self.width} × {self.height}: "
                             "make it with ImageInput.of(image, width, height)")
        return self


class Guidance(Spec):
    """What leans on the picture, and how hard."""

    strength: float | None = Field(2.5, ge=0, le=20, description="Share of the noise taken away; none: classic scales")
    clip_guidance_scale: float = Field(1000.0, ge=0, le=1e6, description="Weight of CLIP's loss")
    range_scale: float = Field(5000.0, ge=0, le=1e6, description="Weight of pixels of x̂_0 beyond [-1, 1]; the notebooks had 50")
    tv_scale: float = Field(0.0, ge=0, le=1e6, description="Weight of the total variation: smoother pictures")
    sat_scale: float = Field(0.0, ge=0, le=1e6, description="Weight of pixels of x_in beyond [-1, 1]")


class Sampler(Spec):
    """How a step is taken."""

    name: Literal["ddim", "ddpm"] = Field("ddim", description="ddpm adds noise at every step, ddim as much as eta says")
    eta: float = Field(1.0, ge=0, le=1, description="DDIM's share of DDPM's noise; 0: the first noise decides all")


class GuidedDiffusion(Prompted):
    """Make a picture by CLIP-guided diffusion."""

    needs: ClassVar[tuple[str, ...]] = ("guide", "diffusion", "perceptual")
    score: ClassVar[str | None] = "clip"
    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2,
                                         "sampler": {"eta": 0.5}, "canvas": {"width": 32, "height": 16}, "cutouts": {"cutn": 4}}

    steps: int = Field(50, ge=2, le=1000, description="Steps of the whole way from noise to picture")
    canvas: DiffusionCanvas = Field(DiffusionCanvas(), description="Size and start")
    guidance: Guidance = Field(Guidance(), description="What leans on the picture")
    sampler: Sampler = Field(Sampler(), description="How a step is taken")
    cutouts: Cutouts = Field(Cutouts(cutn=8, noise=0.0), description="How CLIP looks")
    image_prompts: tuple[ImagePrompt, ...] = Field((), max_length=8, description="Pictures to resemble")
    preview_every: PreviewEvery = 5

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        denoiser, guide, rng, size = lab.diffusion, lab.guide, Rng(self.seed), (self.canvas.height, self.canvas.width)
        self._fits(denoiser)
        device, stages = next(denoiser.parameters()).device, path(denoiser, self.steps, self.canvas.skip)
        init = self.canvas.init.tensor().to(device) * 2 - 1 if self.canvas.init else None
        prompts = parse(self.prompt)
        targets = targets_of(guide, prompts, self.image_prompts)
        notices = [line for p in prompts for line in guide.notices(p.text)]
        first = torch.randn(1, 3, *size, generator=rng.torch).to(device)
        now = Values(x=start(first, stages[0], init if self.canvas.skip else None), chunk=self.cutouts.batch)
        lean = Lean(self, lab, init, targets)

        def step(i: int) -> Made:
            stage, x = stages[i], now.x
            looks = draw(self.cutouts, *size, guide.size, rng.torch)
            noise = torch.randn(x.shape, generator=rng.torch).to(device)
            belief, told = lean(x, stage, looks, now.chunk)
            notices.extend(smaller_batch(now.chunk, told.used))
            now.chunk = told.used
            now.x = take(x, belief, stage, noise, self.sampler.name, self.sampler.eta, self.guidance.strength)
            if not (now.x.isfinite().all() and (belief.pull is None or belief.pull.isfinite().all())):
                raise NonFiniteError("the picture is no longer a number; lower guidance.strength (now "
                                     f"{self.guidance.strength}) or the scales")
            shown = now.x if i == len(stages) - 1 else belief.x0
            scores = {"clip": clip_score((told.x_in + 1) / 2, guide, targets), **told.scores,
                      "out of range": float((belief.x0.abs() > 1).float().mean())}
            extras = {"notices": tuple(notices), "t": stage.t, "alpha_bar": stage.now, "x": x, "x0": belief.x0,
                      "x_in": told.x_in, "gradients": told.gradients}
            return Made(scores, lambda: to_pil(shown.add(1).div(2).clamp(0, 1)), extras)

        yield from loop(len(stages), {"now": now, "rng": rng}, step, self.preview_every, resume)

    def _fits(self, denoiser) -> None:
        """Raises `SpecError` for what the model cannot do."""
        for side in ("width", "height"):
            value, n = getattr(self.canvas, side), denoiser.multiple
            if value % n:
                raise SpecError(f"canvas.{side}: {value} is not a multiple of this model's {n}; "
                                f"use {max(n, value // n * n)} or {value // n * n + n}")
        if self.steps > len(denoiser.alpha_bar):
            raise SpecError(f"steps: {self.steps} are more than this model's {len(denoiser.alpha_bar)}")


@dataclass(frozen=True)
class Told:
    """What guidance saw at a step: the picture that CLIP looks at, its scores, the length of each term's gradient, and the
    batch of cutouts that fitted."""

    x_in: Tensor
    scores: dict[str, float]
    gradients: dict[str, float]
    used: int


class Lean:
    """A denoiser with guidance around it: `lean(x, stage, looks, chunk)` gives a `Belief` whose pull is g, and what it saw."""

    def __init__(self, spec: GuidedDiffusion, lab, init: Tensor | None, targets: list):
        g, near, scale = spec.guidance, lab.perceptual, spec.canvas.init_scale
        self.denoiser, self.guide, self.targets = as_function(lab.diffusion), lab.guide, targets
        # Each term: its weight, which picture it reads, its loss.
        self.terms = {"range": (g.range_scale, "x0", range_loss), "tv": (g.tv_scale, "x_in", tv_loss),
                      "sat": (g.sat_scale, "x_in", sat_loss),
                      "init": (scale, "x_in", lambda y: perceptual_distance(near, y, init).mean())}
        self.clip_scale = g.clip_guidance_scale
        self.active = g.strength != 0 and bool(self.clip_scale or any(weight for weight, *_ in self.terms.values()))

    def __call__(self, x: Tensor, stage: Stage, looks, chunk: int) -> tuple[Belief, Told]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(self.active)
            belief = self.denoiser(leaf, stage)
            f = math.sqrt(1 - stage.now)
            x_in = f * belief.x0 + (1 - f) * leaf
        seen = {"x0": belief.x0.detach(), "x_in": x_in.detach()}
        pulls, scores, used = self._pulls(seen, looks, chunk) if self.active else ({}, {}, chunk)
        g = None
        if pulls:
            on = {name: sum((p for p, where in pulls.values() if where == name), torch.zeros_like(x)) for name in seen}
            with torch.enable_grad():
                (g,) = torch.autograd.grad((belief.x0 * on["x0"]).sum() + (x_in * on["x_in"]).sum(), leaf)
        share = None if belief.share is None else belief.share.detach()
        return (Belief(seen["x0"], belief.eps.detach(), share, None if g is None else -g),
                Told(seen["x_in"], scores, {name: float(p.norm()) for name, (p, _) in pulls.items()}, used))

    def _pulls(self, seen: dict[str, Tensor], looks, chunk: int) -> tuple[dict[str, tuple[Tensor, str]], dict[str, float], int]:
        """The gradient of every term with respect to the picture that it reads, CLIP's score of the cutouts, and the batch of
        cutouts that fitted."""
        pull, _, score, used = picture_gradient((seen["x_in"] + 1) / 2, self.guide, looks, self.targets, chunk)
        # The weights are relative, as in the notebooks: they sum to one.
        share = abs(sum(w for _, w, _ in self.targets)) or 1.0
        out = {"clip": (pull * self.clip_scale / (2 * share), "x_in")} if self.clip_scale else {}
        for name, (weight, where, loss) in self.terms.items():
            if weight:
                with torch.enable_grad():
                    leaf = seen[where].clone().requires_grad_()
                    out[name] = (weight * torch.autograd.grad(loss(leaf), leaf)[0], where)
        return out, {"cutouts": score}, used


def range_loss(x0: Tensor) -> Tensor:
    """mean (x̂_0 − clamp(x̂_0, −1, 1))²."""
    return (x0 - x0.clamp(-1, 1)).square().mean()


def sat_loss(x: Tensor) -> Tensor:
    """mean |x − clamp(x, −1, 1)|."""
    return (x - x.clamp(-1, 1)).abs().mean()


def tv_loss(x: Tensor) -> Tensor:
    """Mean over pixels of the squared differences to the right and lower neighbour (none beyond the border)."""
    x = F.pad(x, (0, 1, 0, 1), "replicate")
    return ((x[..., :-1, 1:] - x[..., :-1, :-1]).square() + (x[..., 1:, :-1] - x[..., :-1, :-1]).square()).mean()
