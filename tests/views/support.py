"""A tiny method and a lab without models, in a module that workers of a cluster can import."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from labkit.image import ImageInput
from labkit.spec import Method, NonFiniteError, Spec, Step


class FakeLab:
    """Names a model and remembers that it was asked to load it."""

    def __init__(self, sha256: str = "a" * 64, pocket: bool = True):
        self.sha256, self.pocket, self.loaded = sha256, pocket, []

    def draws_with_pocket(self, kinds):
        return self.pocket

    def require(self, spec, progress=None):
        self.loaded += spec.needs

    def fingerprints(self, kinds):
        return {kind: {"name": "pocket", "sha256": self.sha256} for kind in kinds}


def make_lab() -> FakeLab:
    """What workers call."""
    return FakeLab()


class Paper(Spec):
    """Where the noise goes."""

    width: int = Field(8, ge=4, le=64, multiple_of=4, description="Pixels across")
    height: int = Field(8, ge=4, le=64, description="Pixels down")
    init: ImageInput | None = Field(None, description="A picture to begin with")


class Noise(Method):
    """Draws noise by seed; ends, stalls or fails where it is told to."""

    needs: ClassVar[tuple[str, ...]] = ("clip",)
    score: ClassVar[str | None] = "clip"

    prompt: str = Field("noise", min_length=1, max_length=300, description="What to write below")
    seed: int = Field(0, ge=0, le=1000, description="Seed")
    steps: int = Field(6, ge=1, le=200, description="Steps")
    preview_every: int = Field(1, ge=1, le=50, description="Steps between pictures")
    rate: float = Field(0.1, gt=0, le=2, description="Rate")
    mix: float = Field(0.5, ge=0, lt=1, description="Mix")
    cap: float | None = Field(None, ge=0, le=10, description="Cap")
    mode: Literal["plain", "fail", "nan", "interrupt"] = Field("plain", description="How it ends")
    loud: bool = Field(False, description="Loud")
    paper: Paper = Field(Paper(), description="Paper")
    log: str = Field("", max_length=400, description="A folder where each run leaves a mark")
    wait: float = Field(0.0, ge=0, le=5, description="Seconds of a step")

    def run(self, lab, resume=None) -> Iterator[Step]:
        if self.log:
            Path(self.log, f"{self.seed}-{self.paper.height}-{os.getpid()}-{time.time_ns()}").touch()
        rng = np.random.default_rng(self.seed)
        last = None
        for i in range(self.steps):
            time.sleep(self.wait)
            if i == self.steps // 2:
                self._end(last)
            pixels = rng.integers(0, 256, (self.paper.height, self.paper.width, 3), dtype=np.uint8)
            look = (i + 1) % self.preview_every == 0 or i == self.steps - 1
            last = Step(i, self.steps, Image.fromarray(pixels) if look else None, {"clip": i / self.steps},
                        {"notices": ("never seen: <b>hallelujah</b>",)})
            yield last

    def _end(self, last: Step | None) -> None:
        if self.mode == "fail":
            raise RuntimeError("told to fail")
        if self.mode == "nan":
            raise NonFiniteError("NaN at this step", last)
        if self.mode == "interrupt":
            raise KeyboardInterrupt
