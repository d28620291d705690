"""CLIP-guided diffusion: an unconditional diffusion model draws, CLIP tells every step where to lean.

Crowson 2021 (the "CLIP Guided Diffusion" notebooks), after Dhariwal & Nichol 2021, "Diffusion Models Beat GANs", section 4:

    x_in = f x̂_0 + (1 − f) x,   f = √(1 − ᾱ_t)          what CLIP looks at
    L(x) = clip_guidance_scale · Σ_p prompt_loss(CLIP(cutouts(x_in)), p)
         + range_scale · mean (x̂_0 − clamp x̂_0)² + tv_scale · TV(x_in) + sat_scale · mean |x_in − clamp x_in|
         + init_scale · perceptual(x_in, init)
    g = −∂L/∂x                                            through the model: x̂_0 depends on x, so the range term acts
    DDPM: μ' = μ + σ² g        DDIM: ε' = ε̂ − √(1 − ᾱ_t) g

These scales mean one thing at 25 steps, another at 250 or on another sampler. With `strength` s the sum keeps its direction and
gets a length of its own: the step from noise ratio σ to σ', σ² = (1 − ᾱ)/ᾱ, is moved by s · √(1 − ᾱ') · (1 − σ'/σ) root mean
square, that is by the share s of the noise that the step takes away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from labkit.clip.cutouts import Cutouts, draw
from labkit.clip.pull import ImagePrompt, picture_gradient, targets_of
from labkit.image import ImageInput, to_pil
from labkit.models.judge import perceptual_distance
from labkit.models.schedule import add_noise, ddim_step, ddpm_step, log_variance, noise_ratio, respaced
from labkit.prompt import parse
from labkit.spec import MAX_SEED, Method, NonFiniteError, Spec, SpecError, Step


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


class GuidedDiffusion(Method):
    """Make a picture by CLIP-guided diffusion."""

    needs: ClassVar[tuple[str, ...]] = ("guide", "diffusion", "perceptual")
    score: ClassVar[str | None] = "clip"
    weighted_prompts: ClassVar[bool] = True

    prompt: str = Field(..., min_length=1, max_length=2000, description="What to show: text[:weight[:stop]] joined by |")
    steps: int = Field(50, ge=2, le=1000, description="Steps of the whole way from noise to picture")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of everything random")
    canvas: DiffusionCanvas = Field(DiffusionCanvas(), description="Size and start")
    guidance: Guidance = Field(Guidance(), description="What leans on the picture")
    sampler: Sampler = Field(Sampler(), description="How a step is taken")
    cutouts: Cutouts = Field(Cutouts(cutn=8, noise=0.0), description="How CLIP looks")
    image_prompts: tuple[ImagePrompt, ...] = Field((), max_length=8, description="Pictures to resemble")
    preview_every: int = Field(5, ge=1, le=1000, description="Steps between previews")

    @field_validator("prompt")
    @classmethod
    def _prompt_parses(cls, text: str) -> str:
        parse(text)
        return text

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        denoiser, guide = lab.diffusion, lab.guide
        device, rng = next(denoiser.parameters()).device, torch.Generator().manual_seed(self.seed)
        path = self._path(denoiser)
        init = self.canvas.init.tensor().to(device) * 2 - 1 if self.canvas.init else None
        prompts = parse(self.prompt)
        targets = targets_of(guide, prompts, self.image_prompts)
        x = torch.randn(1, 3, self.canvas.height, self.canvas.width, generator=rng).to(device)
        if self.canvas.skip:
            x = add_noise(init, x, path[0][1])
        first, chunk, last = 0, min(self.cutouts.chunk or self.cutouts.cutn, self.cutouts.cutn), None
        if resume is not None:
            first, chunk, x = resume["i"] + 1, resume["chunk"], resume["x"].to(device)
            rng.set_state(resume["rng"])
        notices = [n for p in prompts for n in guide.notices(p.text)]
        for i in range(first, len(path)):
            t, now, after = path[i]
            looks = draw(self.cutouts, self.canvas.height, self.canvas.width, guide.size, rng)
            noise = torch.randn(x.shape, generator=rng).to(device)
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(self._guided)
                x0, eps, share = denoiser(leaf, torch.full((1,), t, device=device))
                f = math.sqrt(1 - now)
                x_in = f * x0 + (1 - f) * leaf
            pulls, score, used = self._pulls(x0.detach(), x_in.detach(), init, lab, looks, targets, chunk)
            if used < chunk:
                notices.append(f"out of memory with {chunk} cutouts a batch; going on with {used}, same gradient")
                chunk = used
            g = torch.zeros_like(x)
            if pulls:
                on_x0 = sum((p for p, where in pulls.values() if where == "x0"), torch.zeros_like(x))
                on_x_in = sum((p for p, where in pulls.values() if where == "x_in"), torch.zeros_like(x))
                with torch.enable_grad():
                    g = -torch.autograd.grad((x0 * on_x0).sum() + (x_in * on_x_in).sum(), leaf)[0]
            belief = x0.detach(), eps.detach(), None if share is None else share.detach()
            following = self._step(x, *belief, g, now, after, noise)
            if not (math.isfinite(score) and g.isfinite().all() and following.isfinite().all()):
                raise NonFiniteError(f"step {i}: the picture is no longer a number; the last good one is kept. Lower the "
                                     f"guidance (strength {self.guidance.strength})", last)
            look = (i + 1) % self.preview_every == 0 or i in (0, len(path) - 1)
            final = i == len(path) - 1
            picture = to_pil((following if final else belief[0]).add(1).div(2).clamp(0, 1)) if look else None
            extras = {"notices": tuple(notices), "t": t, "alpha_bar": now, "x": x, "x0": belief[0], "x_in": x_in.detach(),
                      "gradients": {name: float(p.norm()) for name, (p, _) in pulls.items()}}
            scores = {"clip": score, "out of range": float((belief[0].abs() > 1).float().mean())}
            x = following

            def snapshot(at: int = i, chunk: int = chunk, x: Tensor = x) -> dict:
                if at != i:  # noqa: B023 (where the run is now)
                    raise ValueError(f"step {at}: the run has gone on; take a step's state before the next")
                return {"i": at, "chunk": chunk, "x": x.clone(), "rng": rng.get_state()}

            step = Step(i, len(path), picture, scores, extras, snapshot)
            last = step if picture is not None else last
            yield step

    @property
    def _guided(self) -> bool:
        g = self.guidance
        terms = g.clip_guidance_scale + g.range_scale + g.tv_scale + g.sat_scale + self.canvas.init_scale
        return bool(terms) and g.strength != 0

    def _path(self, denoiser) -> list[tuple[int, float, float]]:
        """(t, ᾱ_t, ᾱ of the next step) of every step to take. Raises `SpecError` for what the model cannot do."""
        for side in ("width", "height"):
            value, n = getattr(self.canvas, side), denoiser.multiple
            if value % n:
                raise SpecError(f"canvas.{side}: {value} is not a multiple of this model's {n}; "
                                f"use {max(n, value // n * n)} or {value // n * n + n}")
        if self.steps > len(denoiser.alpha_bar):
            raise SpecError(f"steps: {self.steps} are more than this model's {len(denoiser.alpha_bar)}")
        times = respaced(len(denoiser.alpha_bar), self.steps).tolist()[::-1]
        levels = [*denoiser.alpha_bar[times].tolist(), 1.0]
        skipped = min(round(self.canvas.skip * self.steps), self.steps - 1)
        return list(zip(times, levels, levels[1:], strict=False))[skipped:]

    def _pulls(self, x0: Tensor, x_in: Tensor, init, lab, looks, targets, chunk: int):
        """The gradient of every active term with respect to the picture that it reads: {name: (gradient, "x0" or "x_in")};
        the CLIP score, and the batch of cutouts that fitted."""
        g, out = self.guidance, {}
        picture = (x_in + 1) / 2
        if self._guided:
            pull, _, score, used = picture_gradient(picture, lab.guide, looks, targets, chunk)
            # The weights are relative, as in the notebooks: they sum to one.
            share = abs(sum(w for _, w, _ in targets)) or 1.0
            if g.clip_guidance_scale:
                out["clip"] = (pull * g.clip_guidance_scale / (2 * share), "x_in")
        else:
            score, used = clip_score(picture, lab.guide, targets), chunk
        read = {"range": (g.range_scale, x0, "x0", range_loss), "tv": (g.tv_scale, x_in, "x_in", tv_loss),
                "sat": (g.sat_scale, x_in, "x_in", sat_loss),
                "init": (self.canvas.init_scale, x_in, "x_in", lambda y: perceptual_distance(lab.perceptual, y, init).mean())}
        for name, (scale, source, where, loss) in read.items():
            if scale and self._guided:
                with torch.enable_grad():
                    leaf = source.clone().requires_grad_()
                    out[name] = (scale * torch.autograd.grad(loss(leaf), leaf)[0], where)
        return out, score, used

    def _step(self, x: Tensor, x0: Tensor, eps: Tensor, share, g: Tensor, now: float, after: float, noise: Tensor) -> Tensor:
        """x at the next, lower noise level."""
        classic, moved = self.guidance.strength is None, torch.zeros(())
        rms = g.square().mean().sqrt()
        if not classic and rms > 0:
            taken = math.sqrt(1 - after) * (1 - noise_ratio(after) / noise_ratio(now))
            moved = self.guidance.strength * taken * g / rms
        if self.sampler.name == "ddpm":
            log_var = log_variance(now, after, share)
            return ddpm_step(x, x0, now, after, log_var, noise) + (log_var.exp().to(x) * g if classic else moved)
        if classic:
            eps = eps - math.sqrt(1 - now) * g
            x0 = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
        return ddim_step(x0, eps, now, after, self.sampler.eta, noise) + moved


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


@torch.no_grad()
def clip_score(picture: Tensor, guide, targets) -> float:
    """Mean cosine of a picture (1, 3, H, W) in [0, 1] to the prompts, weighted by |w|, repelling ones counted negative."""
    seen = guide.encode_image(F.interpolate(picture, (guide.size, guide.size), mode="area").clamp(0, 1))
    scale = sum(abs(w) for _, w, _ in targets) or 1.0
    return sum(w * float((seen @ e).mean()) for e, w, _ in targets) / scale
