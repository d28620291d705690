"""Picture to picture with Stable Diffusion: a sketch is noised part of the way and denoised from there with a prompt.

Meng et al. 2021, "SDEdit", arXiv:2108.01073, over latents (Rombach et al. 2022): the thesis's `StableDiffusionImg2ImgPipeline`,
which this equals (tested). What strength means in steps and in what is left of the picture: `labkit.models.latent_path`; the
first step's `extras["told"]` says it, `labkit.sketches.strength` shows it. With `frame.fit` "sketch" a sketch is made fit
(`labkit.sketches.prepare`), and the first step's `extras["stages"]` show how.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from labkit.image import ImageInput, to_tensor
from labkit.methods.text_to_image import LatentDiffusion, Start
from labkit.models.latent_path import Frame, Way, way
from labkit.models.stable_diffusion import StableDiffusion
from labkit.sketches import SketchError, prepare
from labkit.spec import SpecError


class SketchFrame(Frame):
    """Size of what is made, and how the picture comes to it."""

    fit: Literal["crop", "sketch"] = Field("crop", description="sketch: dark lines on white, whole and large; crop: as it is")
    thicken: int = Field(0, ge=-8, le=8, description="With sketch: pixels that a line gains on either side, or loses")


class ImageToImage(LatentDiffusion):
    """Make a sketch, or any picture, into another with Stable Diffusion."""

    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2, "strength": 0.7,
                                         "picture": ImageInput.of(Image.linear_gradient("L").convert("RGB"), 16, 16)}

    frame: SketchFrame = Field(SketchFrame(), description="Size, and how the picture comes to it")
    picture: ImageInput = Field(..., description="Sketch or picture to start from")
    strength: float = Field(0.5, gt=0, le=1, description="Share of the steps that are run: how much of the picture may change")
    exact: bool = Field(False, description="Run exactly as many steps as asked for, whatever the strength")

    def start(self, model: StableDiffusion) -> Start:
        size = self.frame.size(model)
        if model.inputs != model.channels:
            raise SpecError(f"stable_diffusion: this model paints masks anew (its U-Net takes {model.inputs} channels); use "
                            "in-painting, or a model for text → picture")
        course, rngs = way(model.scheduler, self.sampler.name, self.steps, self.strength, self.exact), self.generators()
        x, notices, stages = self.picture_at(size)
        z0 = torch.cat([model.encode(x, [rng]) for rng in rngs.each])
        noise = rngs.normal(*z0.shape[1:]).to(model.device)
        return Start(course, course.scheduler.add_noise(z0, noise, course.times[:1]), rngs, size,
                     notices + of_strength(self, course), extras={"stages": stages} if stages else {})

    def picture_at(self, size: tuple[int, int]) -> tuple[Tensor, list[str], dict[str, Image.Image]]:
        """The picture (1, 3, H, W) in [-1, 1] as the run starts from it, notices, and what each step of preparation made of a
        sketch. Raises `SpecError` for a sketch that is none."""
        if self.frame.fit == "crop":
            x, notices = fitted(self.picture, size)
            idle = f"frame.thicken: {self.frame.thicken} does nothing to a picture taken as it is; use frame.fit 'sketch'"
            return x, notices + [idle] * bool(self.frame.thicken), {}
        try:
            prepared = prepare(self.picture.pil(), size[1], size[0], self.frame.thicken)
        except SketchError as error:
            raise SpecError(f"picture: {error}") from None
        return to_tensor(prepared.picture) * 2 - 1, prepared.notices, prepared.stages


def fitted(picture: ImageInput, size: tuple[int, int]) -> tuple[Tensor, list[str]]:
    """The picture (1, 3, H, W) in [-1, 1] at a size (H, W), and a notice where that takes something away."""
    height, width = size
    x = ImageInput.of(picture.pil(), width, height).tensor() * 2 - 1
    cut = picture.width * height != picture.height * width
    return x, [f"the picture is {picture.width} × {picture.height}; what does not fit into {width} × {height} is cut off"] * cut


def of_strength(spec: ImageToImage, course: Way) -> list[str]:
    """Notices on a strength that is not what it may be taken for."""
    if spec.strength == 1:
        return [f"at strength 1 the run still starts from the picture: {course.told['signal']:.1%} of it are left; for none, "
                "use text → picture"]
    if not spec.exact and spec.steps * spec.strength < 1:
        return [f"strength {spec.strength} of {spec.steps} steps is less than one; one is run"]
    return []
