"""In-painting with Stable Diffusion: the white part of a mask is painted anew, the rest is kept.

The 4-channel way of diffusers' `StableDiffusionInpaintPipeline` (Lugmayr et al. 2022, "RePaint", arXiv:2201.09865, without its
going back): after each step the latent outside the mask m is put back, as noisy as the next step expects it,

    z ← m z + (1 − m) (√ᾱ' z_0 + √(1 − ᾱ') ε)

A U-Net that was trained for in-painting takes 9 channels: z, m and the latent of the picture without its masked part. Both
equal the pipeline for masks that end at cells of the latent (tested); where they do not, every cell that the mask touches is
painted, and the kept part of the picture is laid over the result, so that not a pixel of it changes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from pydantic import Field, model_validator
from torch import Tensor

from labkit.image import ImageInput
from labkit.methods.img2img import fitted
from labkit.methods.text_to_image import LatentDiffusion, Start
from labkit.models.latent_path import way
from labkit.models.stable_diffusion import StableDiffusion
from labkit.spec import SpecError


def _corner(width: int, height: int) -> Image.Image:
    mask = Image.new("RGB", (width, height))
    ImageDraw.Draw(mask).rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill="white")
    return mask


class Inpainting(LatentDiffusion):
    """Paint a part of a picture anew with Stable Diffusion."""

    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2, "strength": 0.8,
                                         "picture": ImageInput.of(Image.linear_gradient("L").convert("RGB"), 16, 16),
                                         "mask": ImageInput.of(_corner(16, 16), 16, 16)}

    picture: ImageInput = Field(..., description="The picture")
    mask: ImageInput = Field(..., description="White where to paint anew, black where to keep, of the picture's size")
    strength: float = Field(1.0, gt=0, le=1, description="Share of the steps that are run; 1: nothing of the old part is left")

    @model_validator(mode="after")
    def _mask_can_be_meant(self):
        if (self.mask.width, self.mask.height) != (self.picture.width, self.picture.height):
            raise ValueError(f"mask: is {self.mask.width} × {self.mask.height}, the picture {self.picture.width} × "
                             f"{self.picture.height}; make it with ImageInput.of(mask, width, height)")
        share = float(self.anew((self.mask.height, self.mask.width)).mean())
        if share == 0:
            raise ValueError("mask: is black all over: nothing would be painted; make white what is to be painted anew")
        if share == 1:
            raise ValueError("mask: is white all over: nothing would be kept; make black what is to be kept, or use text → "
                             "picture")
        return self

    def anew(self, size: tuple[int, int]) -> Tensor:
        """(1, 1, H, W) at a size: 1 where it is painted anew (lighter than half), else 0."""
        mask = ImageInput.of(self.mask.pil().convert("L"), size[1], size[0])
        return (mask.tensor()[:, :1] >= 0.5).float()

    def start(self, model: StableDiffusion) -> Start:
        size = self.frame.size(model)
        course = way(model.scheduler, self.sampler.name, self.steps, self.strength)
        rngs, scheduler = self.generators(), course.scheduler
        (x, notices), anew = fitted(self.picture, size), self.anew(size)
        if float(anew.mean()) in (0, 1):
            raise SpecError(f"mask: at {size[1]} × {size[0]} nothing is left of its smaller part; make that larger")
        trained = model.inputs != model.channels
        z0 = None if trained and self.strength == 1 else torch.cat([model.encode(x, [rng]) for rng in rngs.each])
        shape = (model.channels, *(side // model.factor for side in size))
        noise = rngs.normal(*shape).to(model.device)
        z = noise * scheduler.init_noise_sigma if self.strength == 1 else scheduler.add_noise(z0, noise, course.times[:1])
        m = F.max_pool2d(anew, model.factor).to(model.device)
        beside = None
        if trained:
            hidden = torch.cat([model.encode(x * (1 - anew), [rng]) for rng in rngs.each])
            beside = torch.cat([m.expand(self.count, -1, -1, -1), hidden], dim=1)
            if beside.shape[1] + model.channels != model.inputs:
                known = f"{model.channels} and {beside.shape[1] + model.channels}"
                raise SpecError(f"stable_diffusion: its U-Net takes {model.inputs} channels, in-painting knows {known}; use "
                                "another model")

        def keep(z: Tensor, k: int) -> Tensor:
            if trained:
                return z
            last = k == len(course.times) - 1
            return m * z + (1 - m) * (z0 if last else scheduler.add_noise(z0, noise, course.times[k + 1:k + 2]))

        def finish(made: Tensor) -> Tensor:
            return torch.where(anew.to(made) > 0, made, x.to(made))

        return Start(course, z, rngs, size, notices, keep, beside, finish)
