"""Text to picture with Stable Diffusion: a latent of noise is denoised step by step while the U-Net reads the prompt.

Rombach et al. 2022, arXiv:2112.10752, with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598); several weighted
prompts are composed (Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models", eq. 11):

    ε̂ = ε(z, ∅) + s Σ_i w_i (ε(z, p_i) − ε(z, ∅)),   Σ_i w_i = 1,   s = guidance,   ∅ = the negative prompt

With one prompt it equals diffusers' `StableDiffusionPipeline` (tested). With s ≤ 1 there is no guidance: ∅ is not read. A step
is the scheduler's. Picture k of several has the seed `seed + k`, whatever their number.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from PIL import Image
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from labkit.image import grid, to_pil
from labkit.loop import Made, NonFiniteError, Step, Values, loop
from labkit.models.latent_path import Carried, Frame, Generators, Sampling, Way, way
from labkit.models.stable_diffusion import StableDiffusion
from labkit.prompt import Prompt, parse
from labkit.spec import MAX_SEED, PreviewEvery, Prompted, SpecError

COLUMNS = 4  # of a sheet of several pictures


@dataclass
class Start:
    """Where a run begins, and what becomes of its latents z (n, C, h, w).

    keep    what is done to them after the k-th step, as in-painting does.  beside  channels that the U-Net sees beside them.
    finish  pictures (n, 3, H, W) in [-1, 1] → those that are shown.  extras  of the first step.
    """

    way: Way
    z: Tensor
    rngs: Generators
    size: tuple[int, int]
    notices: list[str] = field(default_factory=list)
    keep: Callable[[Tensor, int], Tensor] = lambda z, k: z
    beside: Tensor | None = None
    finish: Callable[[Tensor], Tensor] = lambda x: x
    extras: dict[str, Any] = field(default_factory=dict)


class LatentDiffusion(Prompted, listed=False):
    """What text → picture, picture → picture and in-painting share: the loop."""

    needs: ClassVar[tuple[str, ...]] = ("stable_diffusion",)

    steps: int = Field(25, ge=1, le=1000, description="Denoising steps of the whole way from noise to picture")
    negative: str = Field("", max_length=2000, description="Negative prompt: what to lead away from")
    guidance: float = Field(2.0, ge=0, le=30, description="How far to lean on the prompt; 1 or less not at all; full size: 7.5")
    sampler: Sampling = Field(Sampling(), description="How a step is taken")
    frame: Frame = Field(Frame(), description="Size; a picture of another one is cropped to its proportions and resampled")
    count: int = Field(1, ge=1, le=16, description="Pictures side by side; each has a seed one higher than the last")
    preview_every: PreviewEvery = 5

    @field_validator("negative")
    @classmethod
    def _no_blank_negative(cls, text: str) -> str:
        return text.strip()

    @model_validator(mode="after")
    def _every_picture_has_a_seed(self):
        if self.seed + self.count - 1 > MAX_SEED:
            raise ValueError(f"seed: {self.seed} leaves no seed for the last of {self.count} pictures; use at most "
                             f"{MAX_SEED - self.count + 1}")
        return self

    def start(self, model: StableDiffusion) -> Start:
        """Where the run begins. Raises `SpecError` for what the model cannot do."""
        raise TypeError(f"{type(self).__name__} defines no start()")

    @torch.no_grad()
    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        model: StableDiffusion = lab.stable_diffusion
        begun = self.start(model)
        course, now = begun.way, Values(z=begun.z)
        scheduler, more = course.scheduler, {"eta": self.sampler.eta, "generator": begun.rngs.each}
        more = {k: v for k, v in more.items() if k in inspect.signature(scheduler.step).parameters}
        prompts = [p for p in parse(self.prompt) if p.weight]
        guide = Guide(self, model, prompts, begun)
        notices = [line for text in (*(p.text for p in prompts), self.negative) for line in model.notices(text)] + begun.notices
        notices += self.frame.notices(model)
        notices += ["a prompt's stop has no meaning here: no loss is descended"] * any(p.stop > -torch.inf for p in prompts)

        def step(k: int) -> Made:
            t = course.times[k]
            x = scheduler.scale_model_input(now.z, t)
            guess, lean = guide(x, t)
            z = begun.keep(scheduler.step(guess, t, now.z, **more, return_dict=False)[0], k)
            if not z.isfinite().all():
                raise NonFiniteError(f"the latent is no longer a number; lower guidance (now {self.guidance})")
            shown, now.z = z if k == len(course.times) - 1 else course.believed(k, x, guess), z

            def pictures() -> list[Image.Image]:
                return [to_pil((one + 1) / 2) for one in begun.finish(model.decode(shown)).cpu()]

            extras = {"notices": tuple(notices), "t": float(t), "alpha_bar": course.alpha_bar(k), "latent": z, "seen": x,
                      "pictures": pictures} | ({"told": course.told, **begun.extras} if k == 0 else {})
            return Made({"noise": math.sqrt(1 - course.alpha_bar(k)), "lean": lean}, lambda: side_by_side(pictures()), extras)

        parts = {"now": now, "scheduler": Carried(scheduler, model.device), "rngs": begun.rngs}
        yield from loop(len(course.times), parts, step, self.preview_every, resume)

    def apart(self, image: Image.Image) -> list[tuple[Image.Image, LatentDiffusion]]:
        """The pictures on a sheet of `side_by_side`, each with its own seed."""
        columns = min(COLUMNS, self.count)
        width, height = image.width // columns, image.height // math.ceil(self.count / columns)
        corners = [(k % columns * width, k // columns * height) for k in range(self.count)]
        return [(image.crop((x, y, x + width, y + height)), self.but(seed=self.seed + k, count=1))
                for k, (x, y) in enumerate(corners)]

    def generators(self) -> Generators:
        """A generator for each picture."""
        return Generators([self.seed + k for k in range(self.count)])


class Guide:
    """Classifier-free guidance over composed prompts: `guide(x, t)` → the guided prediction, and how long the lean is beside
    what it leans from (0 without guidance)."""

    def __init__(self, spec: LatentDiffusion, model: StableDiffusion, prompts: list[Prompt], begun: Start):
        total = sum(p.weight for p in prompts)
        self.weights, self.guidance = [p.weight / total for p in prompts], spec.guidance
        self.guided = self.guidance > 1
        said = model.read([p.text for p in prompts]).after(model.read([spec.negative]) if self.guided else None)
        self.model, self.size, self.beside, self.said = model, begun.size, begun.beside, said.each(len(begun.z))

    def __call__(self, x: Tensor, t: Tensor) -> tuple[Tensor, float]:
        x, n = x if self.beside is None else torch.cat([x, self.beside], dim=1), self.guided + len(self.weights)
        guesses = self.model.predict(torch.cat([x] * n), t, self.said, self.size).chunk(n)
        wanted = sum(w * g for w, g in zip(self.weights, guesses[self.guided:], strict=True))
        if not self.guided:
            return wanted, 0.0
        lean = self.guidance * (wanted - guesses[0])
        return guesses[0] + lean, float(lean.norm() / guesses[0].norm().clamp_min(1e-12))


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """One picture as it is, several on one sheet, four a row."""
    return pictures[0] if len(pictures) == 1 else grid(pictures, columns=min(COLUMNS, len(pictures)), pad=0)


class TextToImage(LatentDiffusion):
    """Make a picture of a prompt with Stable Diffusion."""

    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2,
                                         "sampler": {"eta": 0.5}}

    def start(self, model: StableDiffusion) -> Start:
        size = self.frame.size(model)
        if model.inputs != model.channels:
            raise SpecError(f"stable_diffusion: this model paints masks anew (its U-Net takes {model.inputs} channels); use "
                            "in-painting, or a model for text → picture")
        course, rngs = way(model.scheduler, self.sampler.name, self.steps), self.generators()
        noise = rngs.normal(model.channels, *(side // model.factor for side in size)).to(model.device)
        return Start(course, noise * course.scheduler.init_noise_sigma, rngs, size)
