"""What strength means: how many steps are run, how much of the picture is left at the first, and what the model sees there.

    z = √ᾱ z_0 + √(1 − ᾱ) ε        decoded as it is; see `labkit.models.latent_path` for ᾱ and the number of steps
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from pydantic import Field, field_validator

from labkit.image import ImageInput, to_pil
from labkit.models.latent_path import Frame, Generators, Sampling, Way, way
from labkit.spec import Measure, Seed


@dataclass(frozen=True)
class Shown:
    """`table`: a row a strength; `seen`: for each picture what the model sees at the first step, a picture a strength."""

    table: pd.DataFrame
    seen: list[list[Image.Image]]
    notices: tuple[str, ...] = ()

    def figure(self) -> Figure:
        """A row a picture, a column a strength, with steps and what is left above it."""
        rows, columns = len(self.seen), len(self.table)
        figure = Figure(figsize=(1.25 * columns, 1.3 * rows + 0.6), layout="constrained")
        for y, line in enumerate(self.seen):
            for x, picture in enumerate(line):
                axes = figure.add_subplot(rows, columns, y * columns + x + 1)
                axes.imshow(picture), axes.set_axis_off()
                if y == 0:
                    row = self.table.iloc[x]
                    left = f"{row['steps run']:.0f} steps\n{row['signal']:.0%} left"
                    axes.set_title(f"{self.table.index[x]:g}\n{left}", fontsize=8)
        return figure


class StrengthShown(Measure):
    """What is left of a picture at every strength, and how many steps are run."""

    needs: ClassVar[tuple[str, ...]] = ("stable_diffusion",)
    example: ClassVar[dict[str, Any]] = {"strengths": (0.3, 1.0), "steps": 10}

    steps: int = Field(25, ge=1, le=1000, description="Denoising steps of the whole way from noise to picture")
    strengths: tuple[float, ...] = Field((0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), min_length=1, max_length=20,
                                         description="Strengths, above 0 and at most 1")
    exact: bool = Field(False, description="Run exactly as many steps as asked for, whatever the strength")
    sampler: Sampling = Field(Sampling(), description="How a step is taken")
    frame: Frame = Field(Frame(), description="Size; a picture of another one is cropped to its proportions and resampled")
    seed: Seed = 0

    @field_validator("strengths")
    @classmethod
    def _between_0_and_1(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if bad := [s for s in strengths if not 0 < s <= 1]:
            raise ValueError(f"{bad[0]:g} must be above 0 and at most 1")
        return strengths

    def ways(self, lab) -> list[Way]:
        """What is run at each strength; `told` says it in numbers."""
        return [way(lab.stable_diffusion.scheduler, self.sampler.name, self.steps, s, self.exact) for s in self.strengths]

    def compute(self, lab, pictures: list[Image.Image]) -> Shown:
        """Of one picture or several. Raises `SpecError` for a size that the model cannot take."""
        model = lab.stable_diffusion
        height, width = self.frame.size(model)
        ways, seen = self.ways(lab), []
        table = pd.DataFrame([w.told for w in ways], index=pd.Index(self.strengths, name="strength"))
        for picture in pictures:
            z0 = model.encode(ImageInput.of(picture, width, height).tensor() * 2 - 1)
            noise = Generators([self.seed]).normal(*z0.shape[1:]).to(z0)
            each = [w.scheduler.scale_model_input(w.scheduler.add_noise(z0, noise, w.times[:1]), w.times[0]) for w in ways]
            seen.append([to_pil((x + 1) / 2) for x in model.decode(torch.cat(each)).cpu()])
        return Shown(table, seen, tuple(self.frame.notices(model)))
