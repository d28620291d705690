"""PIL ⇄ tensor, and opening pictures from anywhere.

A picture is RGB. What is transparent lies on white; a camera's rotation (EXIF) is applied first.
PSNR = 10·log10(255² / MSE), in dB over all channels.
"""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin

from labkit.image.chunks import SIGNATURE, ImageError, without_texts
from labkit.text import plain

MAX_BYTES = 16_000_000  # of a picture's file; a PNG of ours with a recipe has no more
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
# What Pillow's decoders raise on damaged files, besides its own UnidentifiedImageError (an OSError).
DAMAGE = (OSError, SyntaxError, EOFError, ValueError, IndexError, KeyError, TypeError, MemoryError, struct.error, zlib.error)
KEYED = ("1", "L", "P", "RGB")  # modes in which one value may stand for transparent


def to_tensor(image: Image.Image | np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1] of a picture, or of an (H, W[, 1|3|4]) array: uint8 or [0, 1]."""
    values = np.asarray(to_rgb(image), np.float32) / 255 if isinstance(image, Image.Image) else _array_values(image)
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def to_pil(x: torch.Tensor) -> Image.Image:
    """The RGB picture of a (1, 3, H, W) or (3, H, W) tensor, clamped to [0, 1]. `ImageError` on NaN."""
    x = x.detach()
    x = x[0] if x.ndim == 4 and x.shape[0] == 1 else x
    if x.ndim != 3 or x.shape[0] != 3:
        raise ImageError(f"a tensor of shape {tuple(x.shape)} is no picture; give (1, 3, H, W) or (3, H, W)")
    if not torch.isfinite(x).all():
        raise ImageError("the tensor holds NaN or infinity, which no picture shows; see where they come from")
    pixels = (x.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().cpu().numpy())


def to_rgb(image: Image.Image | np.ndarray) -> Image.Image:
    """The picture upright, opaque on white, in RGB and without metadata; a new one. Of any mode that has a fixed range:
    `ImageError` for Pillow's I and F, and for what is no picture."""
    if isinstance(image, np.ndarray):
        return to_pil(to_tensor(image))
    if not isinstance(image, Image.Image):
        raise ImageError(f"a {type(image).__name__} is no picture; give a PIL image, or open the file by labkit.open_upload")
    image = _turned(image)
    if image.mode in ("I", "F"):
        raise ImageError(f"a PIL picture of mode {image.mode} has no fixed range; give one of 8 or 16 bits, or an array of "
                         "floats in [0, 1]")
    if image.mode.startswith("I;16"):  # convert("RGB") would clip it at 255
        image = _eight_bits(image)
    if image.mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    keyed = image.mode in KEYED and "transparency" in image.info or image.mode == "P" and image.has_transparency_data
    if keyed or image.mode in ("LA", "PA", "RGBA", "RGBa"):
        image, front = Image.new("RGB", image.size, "white"), image.convert("RGBA")
        image.paste(front, mask=front)
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info = {}
    return image


def _turned(image: Image.Image) -> Image.Image:
    """A copy, turned as the camera says."""
    try:
        return ImageOps.exif_transpose(image)
    except DAMAGE:  # EXIF that nobody can read says nothing about the pixels
        return image.copy()


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, white staying white; a value that stands for transparent goes along."""
    values = np.asarray(image)
    grey = Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    if (key := image.info.get("transparency")) is None:
        return grey
    grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _array_values(array: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1], composited over white."""
    array = np.asarray(array)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ImageError(f"an array of shape {array.shape} is no picture; give (H, W), (H, W, 3 or 4)")
    if array.dtype == np.uint8:
        values = array.astype(np.float32) / 255
    elif np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float32)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ImageError(f"floats must lie in [0, 1]; got {values.min():g} … {values.max():g}")
    else:
        raise ImageError(f"an array of {array.dtype} is no picture; give uint8, or floats in [0, 1]")
    if values.shape[2] == 4:
        values = values[..., :3] * values[..., 3:] + (1 - values[..., 3:])
    return np.array(np.broadcast_to(values, (*values.shape[:2], 3)), order="C")


def open_upload(path_or_bytes: str | os.PathLike | bytes, max_bytes: int = MAX_BYTES,
                max_pixels: int = 16_000_000) -> Image.Image:
    """The RGB picture of a PNG, JPEG, WebP or GIF (its first frame) from anywhere: the one door for pictures.

    Size in bytes is looked at before reading, size in pixels before decoding, and the file is read to its end. Raises
    `ImageError`, which names the file.
    """
    with naming(path_or_bytes):
        return to_rgb(decoded(read_bytes(path_or_bytes, max_bytes), max_pixels))


def decoded(data: bytes, max_pixels: int) -> Image.Image:
    """The picture of these bytes as it is stored. Raises `ImageError`."""
    if data.startswith(SIGNATURE):
        data, width, height = without_texts(data)
        _check_pixels(width, height, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_pixels(*image.size, max_pixels)
                image.seek(0)
                image.load()
                return image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"the picture is too large; give one of at most {max_pixels:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"this is no picture that can be opened here; give {', '.join(FORMATS)}") from None
    except DAMAGE as error:
        raise ImageError(f"the picture is damaged or cut short ({plain(error)}); get it again") from None


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise ImageError(f"the picture is too large: {width} × {height} pixels; give one of at most {most:,}")


@contextmanager
def naming(source: str | os.PathLike | bytes) -> Iterator[None]:
    """Every `ImageError` of the block begins with the file, where there is one."""
    try:
        yield
    except ImageError as error:
        if isinstance(source, bytes):
            raise
        raise type(error)(f"{plain(os.fspath(source), 200)}: {error}") from None


def read_bytes(source: str | os.PathLike | bytes, most: int) -> bytes:
    """The bytes of a picture's file, of which there are at most `most`. Raises `ImageError`."""
    size = len(source) if isinstance(source, bytes) else None
    try:
        if size is None:
            about = os.stat(source)
            if not stat.S_ISREG(about.st_mode):
                kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no ordinary file"
                raise ImageError(f"cannot be read: it is {kind}; give a picture's file")
            size = about.st_size
        if size > most:
            raise ImageError(f"the file is larger than {most / 1e6:g} MB; give a smaller one")
        if isinstance(source, bytes):
            return source
        with open(source, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror}); give a picture's file") from None


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Peak signal-to-noise ratio of two pictures of one size, in dB; inf if they are equal."""
    if a.size != b.size:
        raise ImageError(f"pictures of {a.size} and {b.size} cannot be compared; bring them to one size")
    error = np.square(np.asarray(to_rgb(a), np.float64) - np.asarray(to_rgb(b), np.float64)).mean()
    return 10 * math.log10(255**2 / error) if error else math.inf


def png_bytes(image: Image.Image, chunks: PngImagePlugin.PngInfo | None = None) -> bytes:
    """The picture as the bytes of a PNG, with text chunks."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()
