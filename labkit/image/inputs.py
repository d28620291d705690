"""`ImageInput`: an initial image, a style or a sketch as part of a spec, checked as a stranger's would be."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import Field, field_validator, model_validator

from labkit.image.chunks import ImageError
from labkit.image.convert import decoded, open_upload, png_bytes, to_rgb, to_tensor
from labkit.spec import Spec

MAX_INPUT_PIXELS = 1024 * 1024
MAX_INPUT_CHARACTERS = 8_000_000
PNG_IN_BASE64 = "iVBORw0KGgo"


class ImageInput(Spec):
    """A picture inside a spec: a lossless PNG at canvas size, so that its recipe can be replayed anywhere.

    Made by `ImageInput.of`. Validation takes this form only, no path or URL, and checks hash and pixels.
    """

    sha256: str = Field(..., pattern="^[0-9a-f]{64}$", description="hash of size and RGB pixels")
    width: int = Field(..., ge=1, le=MAX_INPUT_PIXELS, description="pixels")
    height: int = Field(..., ge=1, le=MAX_INPUT_PIXELS, description="pixels")
    png: str = Field(..., max_length=MAX_INPUT_CHARACTERS, repr=False, description="the PNG in base64")

    @classmethod
    def of(cls, image: Image.Image | np.ndarray | str | os.PathLike, width: int, height: int,
           fit: str = "crop") -> ImageInput:
        """A picture, or its file, at width × height: fit 'crop' cuts what is over, 'squash' squeezes."""
        if fit not in ("crop", "squash"):
            raise ImageError(f"fit: must be 'crop' or 'squash'; got {fit!r}")
        if not (width >= 1 and height >= 1 and width * height <= MAX_INPUT_PIXELS):
            raise ImageError(f"width, height: {width}x{height} must make 1 to {MAX_INPUT_PIXELS:,} pixels")
        image = to_rgb(image) if isinstance(image, Image.Image | np.ndarray) else open_upload(image)
        if image.size != (width, height):
            resize = Image.Image.resize if fit == "squash" else ImageOps.fit
            image = resize(image, (width, height), Image.Resampling.LANCZOS)
        png = base64.b64encode(png_bytes(image)).decode()
        return cls(sha256=_pixel_hash(image), width=width, height=height, png=png)

    def pil(self) -> Image.Image:
        """The picture, RGB."""
        return decoded(base64.b64decode(self.png), MAX_INPUT_PIXELS)

    def tensor(self) -> torch.Tensor:
        """(1, 3, height, width) float32 in [0, 1]."""
        return to_tensor(self.pil())

    def __repr_args__(self):
        return [(None, f"{self.width}x{self.height}"), ("sha256", self.sha256[:12])]

    @model_validator(mode="before")
    @classmethod
    def _no_path_or_url(cls, data):
        if isinstance(data, str | bytes | os.PathLike):
            raise ValueError("takes no path or URL; give {sha256, width, height, png} of ImageInput.of")
        return data

    @field_validator("png")
    @classmethod
    def _base64_of_a_png(cls, text: str) -> str:
        if not text.startswith(PNG_IN_BASE64):
            raise ValueError("must be a PNG in base64, not a path, URL or other format; use ImageInput.of")
        return text

    @model_validator(mode="after")
    def _holds_what_it_says(self):
        if self.width * self.height > MAX_INPUT_PIXELS:
            raise ValueError(f"{self.width}x{self.height} is over {MAX_INPUT_PIXELS:,} pixels; give fewer")
        stated = (self.width, self.height)
        try:
            image = decoded(base64.b64decode(self.png, validate=True), MAX_INPUT_PIXELS)
        except binascii.Error as error:
            raise ValueError(f"png: is no base64 ({error}); make one by ImageInput.of") from None
        except ImageError as error:
            raise ValueError(f"png: {error}, or make it by ImageInput.of") from None
        if image.size != stated or image.mode != "RGB":
            raise ImageError(f"png: is {image.mode} {image.size}, must be RGB {stated}; mend it")
        digest = _pixel_hash(image)
        if digest != self.sha256:
            raise ValueError(f"sha256: the pixels have {digest[:12]}…, not {self.sha256[:12]}…; mend one")
        return self


def _pixel_hash(image: Image.Image) -> str:
    # of the pixels, not of the file: another version of zlib packs the same picture differently
    return hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes()).hexdigest()
